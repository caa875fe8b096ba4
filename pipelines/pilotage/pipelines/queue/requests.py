"""Runs that somebody asks for: they wait in line until one process takes them, and only one does.

    asked: pending ──→ running ──→ succeeded | failed | cancelled | died
             │  ↑         └ interrupted, for instance because `pilotage up` stops
             │  └─────────────────────┘
             └ cancelled

Every change is one transaction with its line of the audit, and may be repeated.
When a run is started, and by whom, is decided by `dispatches`; how one that goes
on is told to stop, by `stops`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from pilotage.core import errors
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, records, states
from pilotage.pipelines.journals.states import STEPS, State
from pilotage.pipelines.machines import people, processes
from pilotage.pipelines.queue import claims
from pilotage.pipelines.queue.parameters import Parameters

_INTERRUPTED = "interrupted in order, carried on later"
_SILENT = timedelta(minutes=2)
"""After which a run of another machine that was to stop, and did not, is given up when asked for again."""
_ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.DIED)


@dataclass(frozen=True)
class Request:
    """A run of the training pipeline that somebody wants."""

    spec: PilotSpec
    """Without what the parameters override."""
    folder: Path
    asked_by: str
    why: str = ""
    parameters: Parameters = field(default_factory=Parameters)
    retry_of: str | None = None
    schedule: str | None = None
    due_at: datetime | None = None
    trigger: str | None = None
    """The one that it answers."""


def ask(connection: Connection, request: Request) -> str:
    """Put a run in line; returns its id.

    Raises:
        SpecError: a parameter does not fit the pilot.
    """
    run = states.new_id()
    spec = request.parameters.apply(request.spec)
    row = {
        "id": run,
        "pilot": spec.pilot,
        "state": State.PENDING,
        "asked_at": tables.now(),
        "asked_by": request.asked_by,
        "why": request.why,
        "parameters": request.parameters.model_dump(mode="json"),
        "retry_of": request.retry_of,
        "schedule": request.schedule,
        "due_at": request.due_at,
        "trigger": request.trigger,
        "folder": str(request.folder),
        "spec": spec.model_dump(mode="json", exclude_unset=True),
    }
    connection.execute(insert(tables.runs), row)
    connection.execute(insert(tables.steps), records.pending_steps(run, STEPS))
    told: dict[str, Any] = {"run": run, "parameters": row["parameters"]}
    for name in ("retry_of", "schedule", "due_at", "trigger"):
        if row[name] is not None:
            told[name] = row[name]
    action = "run" if request.retry_of is None else "retry"
    audits.write(connection, action, spec.pilot, request.asked_by, request.why, **told)
    return run


def claim(engine: Engine, run: str, remote: Mapping[str, Any] | None = None) -> str | None:
    """This process carries `run` out, and no other does; with `remote` it only looks at what does.

    Returns the trigger that the run answers.

    Raises:
        NotFound: there is no such run.
        Conflict: it does not wait any more.
        RunActive: another run of the pilot is in progress.
    """
    table, own = tables.runs, processes.current()
    values = {
        "state": State.RUNNING,
        "host": own.host,
        "boot": own.boot,
        "pid": own.pid,
        "process_started": own.started,
        "started_at": tables.now(),
    }
    with engine.begin() as connection:
        row = _locked(connection, run)
        if row.state != State.PENDING:
            raise errors.Conflict(
                f"Run {run} is {row.state}; only one that is pending can be started.",
                remedy="Nothing is left to do.",
                run=run,
            )
        active = select(table.c.id).where(table.c.pilot == row.pilot, table.c.state == State.RUNNING)
        other = connection.scalar(active.limit(1))
        if other is not None:
            raise errors.RunActive(
                f"Pilot `{row.pilot}` already has a run in progress: {other}.",
                remedy="Wait for it to end, or cancel it.",
                run=other,
            )
        if remote is not None:
            values |= {"remote": {**remote, **(row.remote or {})}, "seen_at": tables.now()}
        tables.lock(connection, tables.IN_USE)
        connection.execute(update(table).where(table.c.id == run), values)
        if row.trigger is not None:
            claims.begin(connection, row.trigger, run)
    return None if row.trigger is None else str(row.trigger)


def cancel(engine: Engine, run: str, who: str, why: str = "") -> State:
    """End a run that waits, or ask the process of one that goes on to stop; returns the state after it.

    One that goes on elsewhere, while it waits for a process that looks at it, is ended by that process.

    Asked again it changes nothing, but for a run of another machine that did not stop for minutes: that
    machine is gone, which cannot be seen from here, and the run has died.

    Raises:
        NotFound: there is no such run.
        Conflict: it ended otherwise.
    """
    table = tables.runs
    with engine.begin() as connection:
        row = _locked(connection, run)
        asked = {"cancel_asked_at": tables.now(), "cancel_asked_by": who}
        if row.state == State.PENDING and row.remote is None:
            ended = {
                "state": State.CANCELLED,
                "ended_at": tables.now(),
                "exit_code": int(errors.ExitCode.FAILED),
            }
            error = {"type": "Cancelled", "message": f"Cancelled by {who} before it began.", "remedy": why}
            connection.execute(update(table).where(table.c.id == run), {**asked, **ended, "error": error})
            records.close_steps(connection, run, State.CANCELLED)
            if row.trigger is not None:
                claims.end(connection, row.trigger, run, State.FAILED)
        elif row.state in records.ACTIVE and row.cancel_asked_at is None:
            connection.execute(update(table).where(table.c.id == run), asked)
        elif row.state == State.RUNNING and row.remote is None and _is_lost(row):
            _give_up(connection, row, who, why)
            return State.DIED
        elif row.state in (*records.ACTIVE, State.CANCELLED):
            return State(row.state)
        else:
            raise errors.Conflict(
                f"Run {run} has {row.state} already and cannot be cancelled.", remedy="", run=run
            )
        audits.write(connection, "cancel", row.pilot, who, why, run=run, was=row.state)
        return State(row.state) if row.state == State.RUNNING or row.remote is not None else State.CANCELLED


def _is_lost(row: Row[Any]) -> bool:
    silent: bool = tables.now() - row.cancel_asked_at > _SILENT
    return silent and row.host != processes.current().host


def _give_up(connection: Connection, row: Row[Any], who: str, why: str) -> None:
    """A run whose machine is gone has died; its trigger is not started again, for the run was cancelled."""
    error = {
        "type": "MachineGone",
        "message": f"{row.host} did not stop the run, and is taken to be gone.",
        "remedy": "Make sure that it is; then retry the run.",
    }
    ended = {
        "state": State.DIED,
        "ended_at": tables.now(),
        "exit_code": int(errors.ExitCode.FAILED),
        "error": error,
    }
    connection.execute(update(tables.runs).where(tables.runs.c.id == row.id), ended)
    records.close_steps(connection, row.id, State.DIED)
    if row.trigger is not None:
        claims.end(connection, row.trigger, row.id, State.FAILED)
    audits.write(connection, "give-up", row.pilot, who, why, run=row.id)


def retry(engine: Engine, run: str, who: str, why: str = "") -> str:
    """Ask for a run like `run`, which ended; its finished steps come from the cache. Returns the new id.

    While a retry of it waits or goes on, that one is meant.

    Raises:
        NotFound: there is no such run.
        Conflict: it has not ended, or was no training.
    """
    table = tables.runs
    with engine.begin() as connection:
        row = _locked(connection, run)
        if row.state not in _ENDED:
            raise errors.Conflict(
                f"Run {run} is {row.state}; only one that ended can be retried.",
                remedy="Wait for it to end, or cancel it.",
                run=run,
            )
        again = select(table.c.id).where(table.c.retry_of == run, table.c.state.not_in(_ENDED))
        known = connection.scalar(again.limit(1))
        if known is not None:
            return str(known)
        names = connection.scalars(select(tables.steps.c.name).where(tables.steps.c.run == run)).all()
        if set(names) != set(STEPS):
            raise errors.Conflict(
                f"Run {run} was no training: its steps are {', '.join(names)}.",
                remedy="Start it again the way it was started.",
                run=run,
            )
        kept = Parameters.model_validate({**row.parameters, "cache": True})
        spec = PilotSpec.model_validate(row.spec)
        return ask(connection, Request(spec, Path(row.folder), who, why, kept, retry_of=run))


def requeue(
    engine: Engine, run: str, why: str = _INTERRUPTED, gone: processes.Identity | None = None
) -> bool:
    """Put a run that was interrupted back in line; whether it was in progress, and not to be cancelled.

    One that is carried out elsewhere is put back even then, so that it is ended there. With `gone` only
    while that process holds it.
    """
    fresh = dict.fromkeys(("started_at", "ended_at", "seconds", "peak_memory_bytes", "log"))
    process = dict.fromkeys(("host", "boot", "pid", "process_started", "started_at", "launch", "seen_at"))
    with engine.begin() as connection:
        row = _locked(connection, run)
        if row.state != State.RUNNING or (row.cancel_asked_at is not None and row.remote is None):
            return False
        if gone is not None and (row.host, row.pid, row.process_started) != (
            gone.host,
            gone.pid,
            gone.started,
        ):
            return False
        told = row.why if why in row.why else "; ".join(filter(None, (row.why, why)))
        values = {**process, "state": State.PENDING, "why": told}
        connection.execute(update(tables.runs).where(tables.runs.c.id == run), values)
        waiting = {
            **fresh,
            "outputs": None,
            "error": None,
            "state": State.PENDING,
            "cached": False,
            "attempt": 0,
        }
        connection.execute(update(tables.steps).where(tables.steps.c.run == run), waiting)
        audits.write(connection, "requeue", row.pilot, people.user(), why, run=run)
    return True


def release(engine: Engine, run: str) -> None:
    """The process that was launched for `run` could not begin yet: let a later dispatch start another."""
    mine = tables.runs.c.id == run, tables.runs.c.state == State.PENDING
    with engine.begin() as connection:
        connection.execute(update(tables.runs).where(*mine), {"launch": None})


def _locked(connection: Connection, run: str) -> Row[Any]:
    """The run as it is while nobody else may change one of its pilot.

    Raises:
        NotFound: there is no such run.
    """
    query = select(tables.runs).where(tables.runs.c.id == run)
    row = connection.execute(query).first()
    if row is None:
        raise errors.NotFound(f"There is no run `{run}`.", remedy="`pilotage runs` lists them.", run=run)
    tables.lock(connection, f"runs of {row.pilot}")
    return connection.execute(query).one()
