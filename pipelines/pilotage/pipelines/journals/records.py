"""What ran, written while it happens: runs and their steps.

A run's row names the process that carries it out, so that the next start can
tell a run that goes on from one whose process died. Nothing is executed here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, null, select, update

from pilotage.core import errors
from pilotage.core.artifacts import Usage
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues, usages
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import people, processes

logger = logging.getLogger(__name__)


ACTIVE = (State.PENDING, State.RUNNING)

Along = Callable[[Connection], None]
"""What else a transaction changes."""


@dataclass(frozen=True)
class StepRecord:
    """One step of a run, as it is known now."""

    run: str
    name: str
    state: State
    cached: bool
    attempt: int
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    """From start to end of the last attempt."""
    peak_memory_bytes: int | None
    log: Path | None
    inputs: Mapping[str, Any]
    """Content digest by artifact."""
    outputs: Mapping[str, Any]
    """Digest and place by artifact."""
    metrics: Mapping[str, float]
    error: Mapping[str, Any] | None


@dataclass(frozen=True)
class RunRecord:
    """One run, as it is known now."""

    id: str
    pilot: str
    state: State
    asked_at: datetime
    asked_by: str
    why: str
    parameters: Mapping[str, Any]
    retry_of: str | None
    """The run whose end it makes up for."""
    schedule: str | None
    due_at: datetime | None
    """The moment of the schedule that it is for."""
    trigger: str | None
    folder: Path
    spec: Mapping[str, Any]
    started_at: datetime | None
    """None while it waits for a process."""
    ended_at: datetime | None
    cancel_asked_at: datetime | None
    cancel_asked_by: str | None
    exit_code: int | None
    error: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    process: processes.Identity | None
    remote: Mapping[str, Any] | None = None
    """What carries it out elsewhere, `id` once it is known there; None for a run of this machine."""


class Records:
    """Runs and steps in the database behind `engine`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def begin_run(
        self,
        run: str,
        spec: PilotSpec,
        folder: Path,
        steps: Sequence[str],
        trigger: str | None = None,
        *,
        asked_by: str = "",
        remote: Mapping[str, Any] | None = None,
        along: Along | None = None,
    ) -> None:
        """Record that this process starts `run` with `steps` to come, and `along` with it or not at all.

        With `remote` it is carried out elsewhere, and this process only looks at it.
        """
        own = processes.current()
        row = {
            "id": run,
            "pilot": spec.pilot,
            "state": State.RUNNING,
            "asked_at": tables.now(),
            "asked_by": asked_by or people.user(),
            "why": "",
            "parameters": {},
            "trigger": trigger,
            "folder": str(folder),
            "spec": spec.model_dump(mode="json", exclude_unset=True),
            "host": own.host,
            "boot": own.boot,
            "pid": own.pid,
            "process_started": own.started,
            "started_at": tables.now(),
            "remote": dict(remote) if remote is not None else null(),
            "seen_at": tables.now(),
        }
        with self.engine.begin() as connection:
            tables.lock(connection, tables.IN_USE)
            catalogues.put(connection, spec, folder)
            connection.execute(insert(tables.runs), row)
            connection.execute(insert(tables.steps), pending_steps(run, steps))
            if along is not None:
                along(connection)

    def see(self, run: str) -> None:
        """Say that this process carries `run` out, while it does."""
        own = processes.current()
        table = tables.runs
        mine = (
            table.c.id == run,
            table.c.state == State.RUNNING,
            table.c.host == own.host,
            table.c.pid == own.pid,
        )
        with self.engine.begin() as connection:
            connection.execute(update(table).where(*mine).values(seen_at=tables.now()))

    def update_step(self, run: str, name: str, **values: Any) -> None:
        """Set columns of one step."""
        with self.engine.begin() as connection:
            connection.execute(
                update(tables.steps).where(tables.steps.c.run == run, tables.steps.c.name == name), values
            )

    def keep_usage(
        self, run: str, part: str, usage: Usage, *, attempt: int | None = None, at: datetime | None = None
    ) -> None:
        """Record what an attempt of a step, or what goes on beside steps, used."""
        with self.engine.begin() as connection:
            pilot = connection.scalar(select(tables.runs.c.pilot).where(tables.runs.c.id == run))
            usages.keep(connection, usages.Kind.RUN, run, part, str(pilot), usage, attempt=attempt, at=at)

    def end_run(
        self,
        run: str,
        state: State,
        exit_code: int,
        *,
        error: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
        along: Along | None = None,
    ) -> None:
        """Record the end of `run`, and `along` with it or not at all.

        Steps that never started become skipped, one that runs shares its fate.
        """
        with self.engine.begin() as connection:
            close_steps(connection, run, state)
            connection.execute(
                update(tables.runs).where(tables.runs.c.id == run),
                {
                    "state": state,
                    "exit_code": exit_code,
                    "error": dict(error) if error else None,
                    "result": dict(result) if result else None,
                    "ended_at": tables.now(),
                },
            )
            if along is not None:
                along(connection)

    def bury(self) -> list[RunRecord]:
        """Mark every active run whose process is gone as died; returns these."""
        with self.engine.begin() as connection:
            active = select(tables.runs).where(tables.runs.c.state.in_(ACTIVE))
            rows = connection.execute(active.order_by(tables.runs.c.id)).all()
            dead, now = [], tables.now()
            for row in rows:
                record = _run(row)
                if record.remote is not None or record.process is None:
                    continue  # what becomes of one that is carried out elsewhere: see `remotes`
                if processes.lives(record.process, row.seen_at, now):
                    continue
                if _bury(connection, record.id, record.process):
                    dead.append(record)
        return dead

    def runs(self, pilot: str | None = None, limit: int = 50) -> list[RunRecord]:
        """The latest runs, newest first."""
        query = select(tables.runs).order_by(tables.runs.c.asked_at.desc()).limit(limit)
        if pilot is not None:
            query = query.where(tables.runs.c.pilot == pilot)
        with tables.reading(self.engine) as connection:
            return [_run(row) for row in connection.execute(query)]

    def run(self, run: str) -> RunRecord:
        """The run with this id, or the only one whose id begins so.

        Raises:
            NotFound: there is none, or more than one.
        """
        query = select(tables.runs).where(tables.runs.c.id.startswith(run, autoescape=True)).limit(2)
        with tables.reading(self.engine) as connection:
            rows = connection.execute(query).all()
        exact = [row for row in rows if row.id == run] or rows
        if len(exact) != 1:
            what = "is no run" if not exact else "is more than one run"
            raise errors.NotFound(f"There {what} `{run}`.", remedy="`pilotage runs` lists them.", run=run)
        return _run(exact[0])

    def steps(self, run: str) -> list[StepRecord]:
        """The steps of a run in their order."""
        query = select(tables.steps).where(tables.steps.c.run == run).order_by(tables.steps.c.position)
        with tables.reading(self.engine) as connection:
            return [_step(row) for row in connection.execute(query)]


def pending_steps(run: str, steps: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of steps that are to come."""
    return [
        {
            "run": run,
            "name": name,
            "position": position,
            "state": State.PENDING,
            "cached": False,
            "attempt": 0,
        }
        for position, name in enumerate(steps)
    ]


def close_steps(connection: Connection, run: str, state: State) -> None:
    """`run` ended in `state`: steps that never started become skipped, one that runs shares its fate."""
    mine = tables.steps.c.run == run
    fate = state if state in (State.FAILED, State.CANCELLED, State.DIED) else State.FAILED
    connection.execute(
        update(tables.steps).where(mine, tables.steps.c.state == State.RUNNING),
        {"state": fate, "ended_at": tables.now()},
    )
    connection.execute(
        update(tables.steps).where(mine, tables.steps.c.state == State.PENDING), {"state": State.SKIPPED}
    )


def _bury(connection: Connection, run: str, gone: processes.Identity) -> bool:
    """Mark `run` as died, unless its process left it otherwise since it was read; whether it did."""
    table = tables.runs
    same = table.c.pid == gone.pid, table.c.process_started == gone.started
    error = {
        "type": "ProcessDied",
        "message": f"Process {gone.pid} went away before the run ended.",
        "remedy": "Run it again; finished steps are taken from the cache.",
    }
    values = {
        "state": State.DIED,
        "exit_code": int(errors.ExitCode.FAILED),
        "ended_at": tables.now(),
        "error": error,
    }
    mine = update(table).where(table.c.id == run, table.c.state == State.RUNNING, *same)
    if connection.execute(mine.values(values)).rowcount == 0:
        return False
    close_steps(connection, run, State.DIED)
    logger.warning("run %s died: its process %d is gone", run, gone.pid)
    return True


def _run(row: Row[Any]) -> RunRecord:
    return RunRecord(
        id=row.id,
        pilot=row.pilot,
        state=State(row.state),
        asked_at=row.asked_at,
        asked_by=row.asked_by,
        why=row.why,
        parameters=row.parameters,
        retry_of=row.retry_of,
        schedule=row.schedule,
        due_at=row.due_at,
        trigger=row.trigger,
        folder=Path(row.folder),
        spec=row.spec,
        started_at=row.started_at,
        ended_at=row.ended_at,
        cancel_asked_at=row.cancel_asked_at,
        cancel_asked_by=row.cancel_asked_by,
        exit_code=row.exit_code,
        error=row.error,
        result=row.result,
        process=None
        if row.pid is None
        else processes.Identity(host=row.host, boot=row.boot, pid=row.pid, started=row.process_started),
        remote=row.remote,
    )


def _step(row: Row[Any]) -> StepRecord:
    return StepRecord(
        run=row.run,
        name=row.name,
        state=State(row.state),
        cached=row.cached,
        attempt=row.attempt,
        started_at=row.started_at,
        ended_at=row.ended_at,
        seconds=row.seconds,
        peak_memory_bytes=row.peak_memory_bytes,
        log=Path(row.log) if row.log else None,
        inputs=row.inputs or {},
        outputs=row.outputs or {},
        metrics=row.metrics or {},
        error=row.error,
    )
