"""Requests to retrain: opened by alarms, deduplicated, rate limited, started one at a time.

    open ──→ started ──→ done | failed
     ↑ │        └─ its process died: open again
     │ └──→ waiting (for the cooldown) ──→ started
     └ a newer one of the same pilot, or another champion than the alarm was about: superseded

Every change is one transaction, so several processes may open and dispatch at
once. The cooldown is counted in the data's own time, which is what a replay
and a live service have in common. Schedules are not known here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from pilotage.core import errors
from pilotage.core.artifacts import Alarm, Trigger, TriggerState
from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import Cause, PilotSpec
from pilotage.pipelines import environments, processes, states, tables
from pilotage.pipelines.states import State

MOST_ATTEMPTS = 3
"""Runs of one trigger that may die before it is given up."""
_PENDING = (TriggerState.OPEN, TriggerState.WAITING)

Launch = Callable[[str], "subprocess.Popen[Any]"]
"""Starts the retraining run of a trigger, given its id, in a process of its own."""


@dataclass(frozen=True)
class Dispatch:
    """A retraining run that was started."""

    trigger: Trigger
    process: subprocess.Popen[Any]


def open_triggers(settings: Settings, spec: PilotSpec, alarms: Sequence[Alarm]) -> list[Trigger]:
    """Open a trigger for each alarm whose cause the pilot retrains on; returns those that are new."""
    engine = tables.connect(settings)
    return [trigger for alarm in alarms if (trigger := _open(engine, spec, alarm)) is not None]


def triggers(settings: Settings, pilot: str | None = None) -> list[Trigger]:
    """All triggers, the newest data first."""
    table = tables.triggers
    query = select(table).order_by(table.c.at.desc())
    if pilot is not None:
        query = query.where(table.c.pilot == pilot)
    with tables.connect(settings).begin() as connection:
        return [_trigger(row) for row in connection.execute(query)]


def dispatch(
    settings: Settings,
    spec: PilotSpec,
    folder: Path,
    *,
    moment: datetime | None = None,
    launch: Launch | None = None,
) -> Dispatch | None:
    """Start the retraining that is due, if one is and none is under way.

    Args:
        settings: the installation.
        spec: the pilot.
        folder: where its pilot.yaml is.
        moment: how far the data's own time has come; the newest alarm's when left out.
        launch: how to start the run; a process of this Python when left out.
    """
    engine = tables.connect(settings)
    champion = Registry(settings).aliases(spec.pilot).get(Alias.CHAMPION)
    with engine.begin() as connection:
        _reopen_dead(connection, spec.pilot)
        due = _due(connection, spec, moment, champion)
        if due is None:
            return None
        _set(
            connection,
            due.id,
            state=TriggerState.STARTED,
            started_at=tables.now(),
            reached=_reached(due, moment),
            attempts=due.attempts + 1,
            claim=asdict(processes.current()),
            run=None,
        )
    try:
        process = (launch or _launcher(settings, folder))(due.id)
    except OSError:
        with engine.begin() as connection:
            _set(connection, due.id, state=TriggerState.OPEN, claim=None)
        raise
    with engine.begin() as connection:
        identity = processes.of(process.pid)
        if identity is not None and _row(connection, due.id).run is None:
            _set(connection, due.id, claim=asdict(identity))
        return Dispatch(_trigger(_row(connection, due.id)), process)


def begin(engine: Engine, trigger: str, run: str) -> None:
    """`run`, in this process, carries out `trigger`.

    Raises:
        NotFound: there is no such trigger.
    """
    with engine.begin() as connection:
        _row(connection, trigger)
        _set(connection, trigger, state=TriggerState.STARTED, run=run, claim=asdict(processes.current()))


def end(engine: Engine, trigger: str, state: State) -> None:
    """The run of `trigger` ended; one that was stopped leaves it open."""
    fate = {State.SUCCEEDED: TriggerState.DONE, State.FAILED: TriggerState.FAILED}.get(
        state, TriggerState.OPEN
    )
    ended = None if fate is TriggerState.OPEN else tables.now()
    with engine.begin() as connection:
        _set(connection, trigger, state=fate, ended_at=ended, claim=None)


def reopen(engine: Engine, trigger: str) -> None:
    """The run of `trigger` could not begin: let a later dispatch start it."""
    with engine.begin() as connection:
        row = _row(connection, trigger)
        if row.state == TriggerState.STARTED and row.run is None:
            _set(connection, trigger, state=TriggerState.OPEN, claim=None, attempts=max(row.attempts - 1, 0))


def _open(engine: Engine, spec: PilotSpec, alarm: Alarm) -> Trigger | None:
    if alarm.cause not in spec.retrain.on:
        return None
    row = {
        "id": states.new_id(),
        "pilot": spec.pilot,
        "version": alarm.version,
        "alarm": alarm.id,
        "cause": str(alarm.cause),
        "at": alarm.end,
        "reason": alarm.message,
        "state": TriggerState.OPEN,
        "opened_at": tables.now(),
        "attempts": 0,
    }
    try:
        with engine.begin() as connection:
            connection.execute(insert(tables.triggers), row)
            return _trigger(_row(connection, str(row["id"])))
    except IntegrityError:
        return None  # this alarm has opened one before


def _due(
    connection: Connection, spec: PilotSpec, moment: datetime | None, champion: int | None
) -> Row[Any] | None:
    """The trigger to start now; older ones give way to the newest, whose run sees their data too.

    One that an alarm about another version than the champion opened is obsolete: late
    labels may tell of a version that has been replaced meanwhile.
    """
    table = tables.triggers
    rows = connection.execute(
        select(table).where(table.c.pilot == spec.pilot).order_by(table.c.at.desc())
    ).all()
    pending = [row for row in rows if row.state in _PENDING]
    if not pending or any(row.state == TriggerState.STARTED for row in rows):
        return None
    current = [row for row in pending if champion is None or row.version == champion]
    for row in pending:
        if row not in current[:1]:
            _set(connection, row.id, state=TriggerState.SUPERSEDED, ended_at=tables.now())
    if not current:
        return None
    newest = current[0]
    started = [row.reached for row in rows if row.reached is not None and row.id != newest.id]
    if started and _reached(newest, moment) < max(started) + spec.retrain.cooldown:
        _set(connection, newest.id, state=TriggerState.WAITING)
        return None
    return newest


def _reached(row: Row[Any], moment: datetime | None) -> datetime:
    """How far the data's own time has come; a trigger that waited starts later than its alarm."""
    at: datetime = row.at
    return at if moment is None else max(at, moment)


def _reopen_dead(connection: Connection, pilot: str) -> None:
    """Open again what was started by a process that is gone; give up what keeps dying."""
    table = tables.triggers
    rows = connection.execute(
        select(table).where(table.c.pilot == pilot, table.c.state == TriggerState.STARTED)
    ).all()
    for row in rows:
        if row.claim is not None and processes.alive(processes.Identity(**row.claim)):
            continue
        if row.attempts >= MOST_ATTEMPTS:
            _set(connection, row.id, state=TriggerState.FAILED, ended_at=tables.now(), claim=None)
        else:
            _set(connection, row.id, state=TriggerState.OPEN, claim=None)


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


def _set(connection: Connection, trigger: str, **values: Any) -> None:
    connection.execute(update(tables.triggers).where(tables.triggers.c.id == trigger), values)


def _row(connection: Connection, trigger: str) -> Row[Any]:
    row = connection.execute(select(tables.triggers).where(tables.triggers.c.id == trigger)).first()
    if row is None:
        raise errors.NotFound(
            f"There is no trigger `{trigger}`.", remedy="The monitor opens them.", trigger=trigger
        )
    return row


def _trigger(row: Row[Any]) -> Trigger:
    return Trigger(
        id=row.id,
        pilot=row.pilot,
        cause=Cause(row.cause),
        version=row.version,
        alarm=row.alarm,
        at=row.at,
        reason=row.reason,
        state=TriggerState(row.state),
        run=row.run,
    )
