"""Requests to retrain: opened by alarms, deduplicated, rate limited, carried out exactly once.

    open ──→ started ──→ done | failed
     ↑ │        └─ stopped, or its process died: open again
     │ └──→ waiting (see `waits`) ──→ started
     └ a newer one of the same pilot, or another champion than the alarm was about: superseded

Every change is one transaction, together with the event that tells of it, so
several processes may open and dispatch at once and each may be killed anywhere.
A launched process has nothing until it claims its trigger, in the transaction
that records its run; the first to claim it is the only one. The trigger ends in
the transaction that ends the run: see `claims`. Schedules are not known here.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select

from pilotage.core.artifacts import Alarm, Trigger, TriggerState, Wait
from pilotage.core.registry import Alias, Registry
from pilotage.core.registry.clients import RUN_TAG
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.journals import catalogues, outbox, states
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.machines import environments, leases, processes
from pilotage.pipelines.machines.leases import Lease
from pilotage.pipelines.queue import claims, requests
from pilotage.pipelines.retraining import budgets, waits

_PENDING = (TriggerState.OPEN, TriggerState.WAITING)
_CARRIED_OUT = (TriggerState.DONE, TriggerState.FAILED)

Launch = Callable[[str], "subprocess.Popen[Any]"]
"""Starts the retraining run of a trigger, given its id, in a process of its own."""


@dataclass(frozen=True)
class Dispatch:
    """A retraining run that was started."""

    trigger: Trigger
    process: subprocess.Popen[Any]


def open_triggers(settings: Settings, spec: PilotSpec, alarms: Sequence[Alarm]) -> list[Trigger]:
    """Tell of each alarm, and open a trigger where the pilot retrains on its cause; returns the new ones.

    An alarm that was seen before changes nothing.
    """
    with tables.connect(settings).begin() as connection:
        tables.lock(connection, spec.pilot)
        return open_within(connection, spec, alarms)


def open_within(
    connection: Connection, spec: PilotSpec, alarms: Sequence[Alarm], told_by: str | None = None
) -> list[Trigger]:
    """As `open_triggers`, in the transaction of the caller, who holds the pilot's lock.

    `told_by` names who told of the alarms from elsewhere; the scheduler answers such triggers.
    """
    if not alarms:
        return []
    table = tables.triggers
    opened = []
    known = set(connection.scalars(select(table.c.alarm).where(table.c.pilot == spec.pilot)))
    told = outbox.events(connection, spec.pilot, Kind.ALARM_RAISED)
    for alarm in alarms:
        if alarm.id in known:
            continue
        event = _alarm_event(alarm)
        if event not in told:
            told.add(event)
            outbox.emit(
                connection,
                Kind.ALARM_RAISED,
                spec.pilot,
                f"alarm/{alarm.id}",
                alarm.model_dump(mode="json"),
                event=event,
            )
        if alarm.cause in spec.retrain.on:
            known.add(alarm.id)
            opened.append(_open(connection, spec.pilot, alarm, told_by))
    return opened


def triggers(settings: Settings, pilot: str | None = None) -> list[Trigger]:
    """All triggers, the newest data first."""
    table = tables.triggers
    query = select(table).order_by(table.c.at.desc())
    if pilot is not None:
        query = query.where(table.c.pilot == pilot)
    with tables.connect(settings).begin() as connection:
        return [claims.artifact(row) for row in connection.execute(query)]


def dispatch(
    settings: Settings,
    spec: PilotSpec,
    folder: Path,
    *,
    moment: datetime | None = None,
    clock: datetime | None = None,
    launch: Launch | None = None,
) -> Dispatch | None:
    """Start the retraining that is due, if one is and none is under way.

    Args:
        settings: the installation.
        spec: the pilot.
        folder: where its pilot.yaml is.
        moment: how far the data's own time has come; the newest alarm's when left out.
        clock: the time, for snoozes and quiet hours; now when left out.
        launch: how to start the run; a process of this Python when left out.
    """
    engine = tables.connect(settings)
    champion = _champion(settings, spec.pilot)
    own = asdict(processes.current())
    with engine.begin() as connection:
        tables.lock(connection, spec.pilot)
        claims.reopen_dead(connection, spec.pilot)
        due = _due(connection, settings, spec, moment, clock or tables.now(), champion)
        if due is None:
            return None
        claims.change(
            connection,
            due.id,
            state=TriggerState.STARTED,
            started_at=tables.now(),
            reached=_reached(due, moment),
            claim=own,
            run=None,
            waits_for=None,
            until=None,
        )
    try:
        process = (launch or _launcher(settings, folder))(due.id)
    except BaseException:
        with engine.begin() as connection:
            claims.hand_over(connection, due.id, own, None)
        raise
    with engine.begin() as connection:
        child = processes.of(process.pid)
        return Dispatch(claims.hand_over(connection, due.id, own, child, launched=True), process)


def told_elsewhere(engine: Engine) -> list[str]:
    """Pilots with a trigger that is not over, and that a monitor without this database opened."""
    table = tables.triggers
    living = (*_PENDING, TriggerState.STARTED)
    query = select(table.c.pilot).where(table.c.told_by.is_not(None), table.c.state.in_(living))
    with tables.reading(engine) as connection:
        return sorted(set(connection.scalars(query)))


def ask(settings: Settings, pilot: str, lease: Lease | None, *, clock: datetime | None = None) -> str | None:
    """Put the retraining that is due in line, if one is and none is under way; returns the run's id.

    Trigger and run change in one transaction, so there is one run however often this is repeated; where it
    is carried out is decided by whoever dispatches it.

    Args:
        settings: the installation.
        pilot: whose triggers.
        lease: the leader's. None where nobody else can be.
        clock: the time, for snoozes and quiet hours; now when left out.

    Raises:
        LeaseLost: another process leads.
        NotFound: the pilot is not known here.
        Unavailable: the registry does not answer.
    """
    engine = tables.connect(settings)
    champion = _champion(settings, pilot)
    with engine.begin() as connection:
        leases.require(connection, lease)
        tables.lock(connection, pilot)
        entry = catalogues.get(connection, pilot)
        claims.reopen_dead(connection, pilot)
        due = _due(connection, settings, entry.spec, None, clock or tables.now(), champion)
        if due is None:
            return None
        wish = requests.Request(entry.spec, entry.folder, promotions.PLATFORM, due.reason, trigger=due.id)
        run = requests.ask(connection, wish)
        claims.change(
            connection,
            due.id,
            state=TriggerState.STARTED,
            started_at=tables.now(),
            reached=due.at,
            attempts=due.attempts + 1,
            claim=None,
            run=run,
            waits_for=None,
            until=None,
        )
        return run


def _alarm_event(alarm: Alarm) -> str:
    """An event's id that is the same for the same alarm."""
    return "alm_" + hashlib.sha256(f"{alarm.pilot}\0{alarm.id}".encode()).hexdigest()[:32]


def _open(connection: Connection, pilot: str, alarm: Alarm, told_by: str | None) -> Trigger:
    row = {
        "id": states.new_id(),
        "pilot": pilot,
        "version": alarm.version,
        "alarm": alarm.id,
        "cause": str(alarm.cause),
        "at": alarm.end,
        "reason": alarm.message,
        "state": TriggerState.OPEN,
        "opened_at": tables.now(),
        "attempts": 0,
        "told_by": told_by,
    }
    connection.execute(insert(tables.triggers), row)
    return claims.tell(connection, Kind.TRIGGER_OPENED, str(row["id"]))


def _champion(settings: Settings, pilot: str) -> tuple[int | None, str | None]:
    """The champion's version and the run that made it."""
    registry = Registry(settings)
    version = registry.aliases(pilot).get(Alias.CHAMPION)
    if version is None:
        return None, None
    runs = [known.tags.get(RUN_TAG) for known in registry.versions(pilot) if known.version == version]
    return version, next(iter(runs), None)


def _due(
    connection: Connection,
    settings: Settings,
    spec: PilotSpec,
    moment: datetime | None,
    clock: datetime,
    champion: tuple[int | None, str | None],
) -> Row[Any] | None:
    """The trigger to start now; older ones give way to the newest, whose run sees their data too."""
    table = tables.triggers
    rows = connection.execute(
        select(table).where(table.c.pilot == spec.pilot).order_by(table.c.at.desc(), table.c.id.desc())
    ).all()
    pending = [row for row in rows if row.state in _PENDING]
    if not pending or any(row.state == TriggerState.STARTED for row in rows):
        return None
    current = _give_way(connection, pending, champion)
    if current is None:
        return None
    started = [row.reached for row in rows if row.reached is not None and row.state in _CARRIED_OUT]
    waiting = waits.find(connection, spec.pilot, spec.retrain, _reached(current, moment), started, clock)
    spent = budgets.refuse(connection, settings, spec, clock) if waiting is None else None
    if spent is not None:
        waiting = waits.Waiting(Wait.SPENT, spent.end)
    if waiting is None:
        return current
    claims.change(
        connection,
        current.id,
        state=TriggerState.WAITING,
        waits_for=str(waiting.reason),
        until=waiting.until,
    )
    if current.waits_for != waiting.reason:
        claims.tell(connection, Kind.TRIGGER_WAITING, current.id)
    return None


def _give_way(
    connection: Connection, pending: Sequence[Row[Any]], champion: tuple[int | None, str | None]
) -> Row[Any] | None:
    """Supersede all but the newest of `pending`, which is returned with the others' dead processes counted.

    One that an alarm about another version than the champion opened is obsolete: late
    labels may tell of a version that has been replaced meanwhile. Not so the trigger whose
    own run died after it had made the champion: what that run left undone is still to do.
    """
    version, run = champion
    runs = tables.runs
    unfinished = None
    if run is not None:
        unfinished = connection.scalar(select(runs.c.trigger).where(runs.c.id == run))
    current = [row for row in pending if version is None or row.version == version or row.id == unfinished]
    for row in pending:
        if row not in current[:1]:
            claims.supersede(connection, row.id)
    if not current:
        return None
    claims.change(connection, current[0].id, attempts=max(row.attempts for row in current))
    return current[0]


def _reached(row: Row[Any], moment: datetime | None) -> datetime:
    """How far the data's own time has come; a trigger that waited starts later than its alarm."""
    at: datetime = row.at
    return at if moment is None else max(at, moment)


def _launcher(settings: Settings, folder: Path) -> Launch:
    def launch(trigger: str) -> subprocess.Popen[Any]:
        settings.logs.mkdir(parents=True, exist_ok=True)
        with (settings.logs / f"trigger-{trigger}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
                [sys.executable, "-m", "pilotage.pipelines", "run", "--trigger", trigger, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environments.variables(settings)},
            )

    return launch
