"""Runs: what ran and what each step did; starting, cancelling and retrying.

A run's log and reports are in `run_files`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from pilotage.console.access.actors import Actor, Permission, unknown_pilot
from pilotage.console.operations import positions, sights
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core import errors, pilots
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.queue import requests
from pilotage.pipelines.queue.parameters import Parameters

_LONGEST_ID = 64
"""Letters of a run's id; databases refuse patterns that are far longer."""


class StepSummary(Model):
    """One step of a run, in short."""

    name: str
    state: State
    cached: bool
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None


class Step(StepSummary):
    """One step of a run."""

    attempt: int
    peak_memory_bytes: int | None
    has_log: bool
    inputs: dict[str, Any]
    """Content digest by artifact."""
    outputs: dict[str, Any]
    """Digest and place by artifact."""
    metrics: dict[str, float]
    error: dict[str, Any] | None


class RunSummary(Model):
    """One run, in short."""

    id: str
    pilot: str
    state: State
    asked_at: datetime
    asked_by: str
    why: str
    trigger: str | None
    """Id of the trigger that it answers."""
    schedule: str | None
    """Id of the schedule that asked for it."""
    due_at: datetime | None
    """The moment of the schedule that it is for."""
    retry_of: str | None
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    """From start to end; null while it goes on."""
    cancel_asked_by: str | None
    exit_code: int | None
    message: str
    """What went wrong; empty where nothing did."""
    version: int | None
    promoted: bool
    decision: str | None
    steps: tuple[StepSummary, ...]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in (State.PENDING, State.RUNNING)


class Run(RunSummary):
    """One run."""

    folder: str
    parameters: dict[str, Any]
    spec: dict[str, Any]
    """What is set in pilot.yaml, the run's overrides in it."""
    cancel_asked_at: datetime | None
    error: dict[str, Any] | None
    """Type, message and remedy."""
    result: dict[str, Any] | None
    """What `pilotage run --json` prints: metrics, gates, version, decision."""
    steps: tuple[Step, ...]

    def step(self, name: str) -> Step:
        """The step of that name.

        Raises:
            NotFound: the run has none.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise errors.NotFound(
            f"Run {self.id} has no step `{name}`.",
            remedy=f"Its steps are {', '.join(step.name for step in self.steps)}.",
        )


def list_runs(
    desk: Desk,
    actor: Actor,
    *,
    pilot: str | None = None,
    state: State | None = None,
    trigger: str | None = None,
    schedule: str | None = None,
    since: datetime | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Listing[RunSummary]:
    """Runs that the actor may look at, newest first, with the states of their steps.

    Args:
        desk: the installation.
        actor: who asks.
        pilot: only its runs.
        state: only runs that are in it.
        trigger: only those that answer it; `any` for those that answer some trigger.
        schedule: only those that it asked for; `any` for those that some schedule asked for.
        since: only those asked for then or later.
        cursor: `next` of the page before.
        limit: at most so many.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    table = tables.runs
    query = select(table).order_by(table.c.asked_at.desc(), table.c.id.desc()).limit(limit + 1)
    query = query.where(
        sights.visible(actor, table.c.pilot, pilot),
        *_wanted(table.c.trigger, trigger),
        *_wanted(table.c.schedule, schedule),
    )
    if state is not None:
        query = query.where(table.c.state == state)
    if since is not None:
        query = query.where(table.c.asked_at >= since)
    query = _after(query, cursor)
    with tables.reading(desk.engine) as connection:
        rows = connection.execute(query).all()
        steps = _steps(connection, [row.id for row in rows[:limit]])
    items = tuple(RunSummary(**_summary(row), steps=steps.get(row.id, ())) for row in rows[:limit])
    following = cursor_of(items[-1].asked_at.isoformat(), items[-1].id) if len(rows) > limit else None
    return Listing(items=items, next=following)


def get_run(desk: Desk, actor: Actor, run: str) -> Run:
    """The run with this id, or the only one whose id begins so.

    Raises:
        NotFound: there is none for this actor, or more than one.
    """
    with tables.reading(desk.engine) as connection:
        row = _find(connection, actor, run)
        return _run(connection, row)


def find_run(desk: Desk, actor: Actor, run: str) -> Row[Any]:
    """The row of the run with this id, or of the only one whose id begins so.

    Raises:
        NotFound: there is none for this actor, or more than one.
    """
    with tables.reading(desk.engine) as connection:
        return _find(connection, actor, run)


def start_run(
    desk: Desk, actor: Actor, pilot: str, *, why: str = "", parameters: Parameters | None = None
) -> Run:
    """Ask for a run of the training pipeline; it waits until no other run of the pilot goes on.

    Raises:
        NotFound, Forbidden: the pilot is not there, or the actor may not.
        SpecError: pilot.yaml is wrong, or a parameter does not fit it.
    """
    actor.require(Permission.OPERATE, pilot)
    with desk.engine.begin() as connection:
        entry = _entry(connection, pilot)
        wanted = parameters or Parameters()
        run = requests.ask(connection, requests.Request(entry.spec, entry.folder, actor.name, why, wanted))
    return get_run(desk, actor, run)


def cancel_run(desk: Desk, actor: Actor, run: str, *, why: str = "") -> Run:
    """End a run that waits, or ask one that goes on to stop; asked again it changes nothing.

    Raises:
        NotFound, Forbidden: the run is not there, or the actor may not.
        Conflict: it ended otherwise.
    """
    found = _operated(desk, actor, run)
    requests.cancel(desk.engine, found, actor.name, why)
    return get_run(desk, actor, found)


def retry_run(desk: Desk, actor: Actor, run: str, *, why: str = "") -> Run:
    """Ask for a run like one that ended; steps that succeeded come from the cache.

    Raises:
        NotFound, Forbidden: the run is not there, or the actor may not.
        Conflict: it has not ended.
    """
    found = _operated(desk, actor, run)
    return get_run(desk, actor, requests.retry(desk.engine, found, actor.name, why))


def _operated(desk: Desk, actor: Actor, run: str) -> str:
    """The id of a run that the actor may change."""
    with tables.reading(desk.engine) as connection:
        row = _find(connection, actor, run)
    actor.require(Permission.OPERATE, row.pilot)
    return str(row.id)


def _entry(connection: Connection, pilot: str) -> catalogues.Entry:
    """The pilot as its file is now; as it was read last where the file is not on this machine."""
    try:
        known = catalogues.get(connection, pilot)
    except errors.NotFound as error:
        raise unknown_pilot(pilot) from error
    if not (known.folder / pilots.FILE_NAME).is_file():
        return known
    found = pilots.load(known.folder)
    if found.name != pilot:
        return known
    catalogues.put(connection, found.spec, found.folder)
    return catalogues.Entry(pilot, found.folder, found.spec)


def _find(connection: Connection, actor: Actor, run: str) -> Row[Any]:
    table = tables.runs
    known = sights.visible(actor, table.c.pilot)
    query = select(table).where(table.c.id.startswith(run, autoescape=True), known)
    rows = connection.execute(query.limit(2)).all() if len(run) <= _LONGEST_ID else []
    exact = [row for row in rows if row.id == run] or rows
    if len(exact) != 1 or not run:
        what = "is no run" if not exact else "is more than one run"
        shown = run[:_LONGEST_ID]
        raise errors.NotFound(f"There {what} `{shown}`.", remedy="`pilotage runs` lists them.", run=shown)
    return exact[0]


def _wanted(column: ColumnElement[Any], value: str | None) -> list[ColumnElement[bool]]:
    if value is None:
        return []
    return [column.is_not(None) if value == "any" else column == value]


def _after(query: Select[Any], cursor: str | None) -> Select[Any]:
    if cursor is None:
        return query
    order = ((tables.runs.c.asked_at, True), (tables.runs.c.id, True))
    return query.where(positions.after(order, positions.read(cursor, (positions.moment, positions.text))))


def _steps(connection: Connection, runs: Sequence[str]) -> dict[str, tuple[StepSummary, ...]]:
    table = tables.steps
    query = (
        select(
            *(table.c.run, table.c.name, table.c.state, table.c.cached),
            *(table.c.started_at, table.c.ended_at, table.c.seconds),
        )
        .where(table.c.run.in_(runs))
        .order_by(table.c.run, table.c.position)
    )
    found: dict[str, tuple[StepSummary, ...]] = {}
    for row in connection.execute(query) if runs else ():
        values = dict(row._mapping)
        run = values.pop("run")
        found[run] = (*found.get(run, ()), StepSummary(**values))
    return found


def _run(connection: Connection, row: Row[Any]) -> Run:
    table = tables.steps
    steps: Iterable[Row[Any]] = connection.execute(
        select(table).where(table.c.run == row.id).order_by(table.c.position)
    )
    return Run(
        **_summary(row),
        folder=row.folder,
        parameters=row.parameters,
        spec=row.spec,
        cancel_asked_at=row.cancel_asked_at,
        error=row.error,
        result=row.result,
        steps=tuple(_step(step) for step in steps),
    )


def _summary(row: Row[Any]) -> dict[str, Any]:
    result = row.result or {}
    whole = row.started_at is not None and row.ended_at is not None
    return {
        **{name: getattr(row, name) for name in _SAME},
        "seconds": (row.ended_at - row.started_at).total_seconds() if whole else None,
        "message": str((row.error or {}).get("message", "")),
        "version": result.get("version"),
        "promoted": bool(result.get("promoted")),
        "decision": result.get("decision"),
    }


_SAME = (
    *("id", "pilot", "state", "asked_at", "asked_by", "why", "trigger", "schedule", "due_at", "retry_of"),
    *("started_at", "ended_at", "cancel_asked_by", "exit_code"),
)
"""What a summary has as the row has it."""


def _step(row: Row[Any]) -> Step:
    return Step(
        name=row.name,
        state=row.state,
        cached=row.cached,
        started_at=row.started_at,
        ended_at=row.ended_at,
        seconds=row.seconds,
        attempt=row.attempt,
        peak_memory_bytes=row.peak_memory_bytes,
        has_log=row.log is not None,
        inputs=row.inputs or {},
        outputs=row.outputs or {},
        metrics=row.metrics or {},
        error=row.error,
    )
