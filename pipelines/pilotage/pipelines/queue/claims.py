"""Who carries a trigger out: claimed once, ended once, and free again when its process is gone.

Each function is part of a transaction, or one; a state and the event that tells
of it change together. Which trigger is due is not decided here.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, update

from pilotage.core import errors
from pilotage.core.artifacts import Trigger, TriggerState, Wait
from pilotage.core.specs import Cause
from pilotage.pipelines import tables
from pilotage.pipelines.journals import outbox
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import processes

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
"""Processes of one trigger that may die before it is given up."""
_ENDED = (TriggerState.DONE, TriggerState.FAILED, TriggerState.SUPERSEDED)


def begin(connection: Connection, trigger: str, run: str) -> None:
    """`run`, in this process, carries out `trigger`; in the transaction that records the run.

    Raises:
        NotFound: there is no such trigger.
        RunActive: another process carries it, or another of the same pilot, out.
        Refusal: it ended.
    """
    row = _locked(connection, trigger)
    own = processes.current()
    _require_free(connection, row, own, run)
    launched = row.claim is not None and processes.same(processes.Identity(**row.claim), own)
    counted = launched or _is_asked(row, run)
    change(
        connection,
        trigger,
        state=TriggerState.STARTED,
        started_at=row.started_at or tables.now(),
        reached=row.reached or row.at,
        attempts=row.attempts if counted else row.attempts + 1,
        run=run,
        claim=asdict(own),
        waits_for=None,
        until=None,
    )
    tell(connection, Kind.TRIGGER_STARTED, trigger)


def end(connection: Connection, trigger: str, run: str, state: State) -> None:
    """`run` of `trigger` ended; one that was stopped leaves it open. In the transaction that ends the run."""
    row = _locked(connection, trigger)
    if row.state != TriggerState.STARTED or row.run != run:
        logger.warning("run %s ended, but trigger %s is %s for run %s", run, trigger, row.state, row.run)
        return
    _settle(connection, row, state)


def reopen(engine: Engine, trigger: str) -> None:
    """This process, which was launched for `trigger`, could not begin: let a later dispatch start it."""
    mine = (processes.current(), processes.of(os.getppid()))
    with engine.begin() as connection:
        row = _locked(connection, trigger)
        if any(one is not None and _is_held_by(row, one) for one in mine):
            _reopen(connection, row, counted=_is_held_by(row, mine[0]))


def withdraw(engine: Engine, trigger: str, pid: int) -> None:
    """The launched process `pid` was told to stop and is gone: if it had not begun, it was no attempt."""
    with engine.begin() as connection:
        row = _locked(connection, trigger)
        claim = None if row.claim is None else processes.Identity(**row.claim)
        if claim is None or claim.pid != pid or processes.alive(claim):
            return
        if row.state == TriggerState.STARTED and row.run is None:
            _reopen(connection, row, counted=True)


def reopen_dead(connection: Connection, pilot: str) -> None:
    """Open again what was started by a process that is gone; give up what keeps dying."""
    table, runs = tables.triggers, tables.runs
    rows = connection.execute(
        select(table).where(table.c.pilot == pilot, table.c.state == TriggerState.STARTED)
    ).all()
    for row in rows:
        if _is_alive(row) or _waits_in_line(connection, row):
            continue
        run = connection.execute(select(runs.c.state, runs.c.remote).where(runs.c.id == row.run)).first()
        ended = run.state if run is not None else None
        if run is not None and run.remote is not None and ended in (State.PENDING, State.RUNNING):
            continue  # it goes on elsewhere, and another process will look at it
        if ended in (State.SUCCEEDED, State.FAILED):  # versions before this one did not end both at once
            _settle(connection, row, State(ended))
        elif row.attempts >= MOST_ATTEMPTS:
            _settle(connection, row, State.FAILED)
        else:
            _reopen(connection, row, counted=False)


def hand_over(
    connection: Connection,
    trigger: str,
    own: dict[str, Any],
    child: processes.Identity | None,
    *,
    launched: bool = False,
) -> Trigger:
    """Pass this process's claim on to the one that it launched, unless that has begun or all is over.

    From then on the child's death is noticed, and counted. Without a child the trigger is open again.
    """
    row = _locked(connection, trigger)
    if row.state == TriggerState.STARTED and row.run is None and row.claim == own:
        if child is not None:
            change(connection, trigger, claim=asdict(child), attempts=row.attempts + 1)
        else:
            change(connection, trigger, attempts=row.attempts + launched)
            _reopen(connection, _row(connection, trigger), counted=False)
    return artifact(_row(connection, trigger))


def supersede(connection: Connection, trigger: str) -> None:
    """Another one makes this trigger needless."""
    ended = {"state": TriggerState.SUPERSEDED, "ended_at": tables.now(), "claim": None}
    change(connection, trigger, **ended, waits_for=None, until=None)
    tell(connection, Kind.TRIGGER_ENDED, trigger)


def tell(connection: Connection, kind: Kind, trigger: str) -> Trigger:
    """Tell of what has just become of the trigger."""
    told = artifact(_row(connection, trigger))
    outbox.emit(connection, kind, told.pilot, f"trigger/{told.id}", told.model_dump(mode="json"))
    return told


def change(connection: Connection, trigger: str, **values: Any) -> None:
    connection.execute(update(tables.triggers).where(tables.triggers.c.id == trigger), values)


def artifact(row: Row[Any]) -> Trigger:
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
        waits_for=Wait(row.waits_for) if row.waits_for else None,
        until=row.until,
    )


def _require_free(connection: Connection, row: Row[Any], own: processes.Identity, run: str) -> None:
    if row.state in _ENDED:
        raise errors.Refusal(f"Trigger `{row.id}` is {row.state} already.", remedy="Nothing is left to do.")
    table = tables.triggers
    started = select(table).where(table.c.pilot == row.pilot, table.c.state == TriggerState.STARTED)
    for other in connection.execute(started).all():
        if other.id == row.id and (other.run in (None, run) or _is_held_by(other, own)):
            continue  # it was launched, perhaps twice, and nobody has begun
        if _is_alive(other) or _waits_in_line(connection, other):
            raise errors.RunActive(
                f"Pilot `{row.pilot}` already has a retraining in progress: trigger `{other.id}`.",
                remedy="Wait for it to end.",
                run=other.run,
            )


def _is_alive(row: Row[Any]) -> bool:
    return row.claim is not None and processes.alive(processes.Identity(**row.claim))


def _is_asked(row: Row[Any], run: str) -> bool:
    """Whether `run` was put in line for the trigger, which counted as an attempt."""
    return row.claim is None and row.run == run


def _waits_in_line(connection: Connection, row: Row[Any]) -> bool:
    """Whether the trigger's run was put in line, and nobody took it yet, or its process was interrupted."""
    runs = tables.runs
    state = connection.scalar(select(runs.c.state).where(runs.c.id == row.run))
    return state == State.PENDING


def _is_held_by(row: Row[Any], process: processes.Identity | None) -> bool:
    return (
        process is not None
        and row.claim is not None
        and processes.same(processes.Identity(**row.claim), process)
    )


def _settle(connection: Connection, row: Row[Any], state: State) -> None:
    """The trigger shares the fate of its run."""
    fate = {State.SUCCEEDED: TriggerState.DONE, State.FAILED: TriggerState.FAILED}.get(state)
    if fate is None:
        _reopen(connection, row, counted=True)
        return
    change(connection, row.id, state=fate, ended_at=tables.now(), claim=None)
    tell(connection, Kind.TRIGGER_ENDED, row.id)


def _reopen(connection: Connection, row: Row[Any], *, counted: bool) -> None:
    """Let a later dispatch start it; with `counted` an attempt that did not die is taken off again.

    Nobody is told where nobody was told that it had started.
    """
    values: dict[str, Any] = {"attempts": max(row.attempts - 1, 0)} if counted else {}
    change(connection, row.id, state=TriggerState.OPEN, claim=None, **values)
    if row.run is not None:
        tell(connection, Kind.TRIGGER_REOPENED, row.id)


def _locked(connection: Connection, trigger: str) -> Row[Any]:
    """The trigger as it is while nobody else may change one of its pilot."""
    tables.lock(connection, _row(connection, trigger).pilot)
    return _row(connection, trigger)


def _row(connection: Connection, trigger: str) -> Row[Any]:
    row = connection.execute(select(tables.triggers).where(tables.triggers.c.id == trigger)).first()
    if row is None:
        raise errors.NotFound(
            f"There is no trigger `{trigger}`.", remedy="The monitor opens them.", trigger=trigger
        )
    return row
