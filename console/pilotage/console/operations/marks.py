"""Cheap signs that what a page shows has changed; they say that it did, never what.

Each reads a few rows by index. Who may look is asked where the page is opened.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sqlalchemy import Connection, func, select

from pilotage.console.operations.desks import Desk
from pilotage.pipelines import tables
from pilotage.pipelines.journals.states import State

Mark = tuple[object, ...]

_ACTIVE = (State.PENDING, State.RUNNING)


def of_run(desk: Desk, run: str) -> Mark:
    """Of one run and its steps."""
    table, steps = tables.runs, tables.steps
    with tables.reading(desk.engine) as connection:
        row = connection.execute(
            select(table.c.state, table.c.cancel_asked_at, table.c.ended_at, table.c.started_at).where(
                table.c.id == run
            )
        ).first()
        return (row, *_steps(connection, steps.c.run == run))


def of_runs(desk: Desk) -> Mark:
    """Of all runs: the latest, and those that go on."""
    table, steps = tables.runs, tables.steps
    active = select(table.c.id).where(table.c.state.in_(_ACTIVE))
    with tables.reading(desk.engine) as connection:
        latest = connection.scalar(select(func.max(table.c.asked_at)))
        going = connection.execute(
            select(table.c.id, table.c.state, table.c.cancel_asked_at)
            .where(table.c.state.in_(_ACTIVE))
            .order_by(table.c.id)
        ).all()
        return (latest, *going, *_steps(connection, steps.c.run.in_(active)))


def of_pilots(desk: Desk) -> Mark:
    """Of what the overview tells besides runs: decisions, windows, alarms, triggers, schedules, services,
    releases under way."""
    services, windows, pilots = tables.services, tables.windows, tables.pilots
    moving = tables.transitions
    # One step into the index for each pilot; grouping would read all of a year's windows.
    newest = select(func.max(windows.c.start)).where(windows.c.pilot == pilots.c.name)
    with tables.reading(desk.engine) as connection:
        return (
            connection.scalar(select(func.max(tables.audit.c.id))),
            *connection.execute(
                select(tables.alarms.c.state, func.count())
                .where(tables.alarms.c.state != "closed")
                .group_by(tables.alarms.c.state)
                .order_by(tables.alarms.c.state)
            ),
            *connection.execute(
                select(services.c.name, services.c.host, services.c.state).order_by(services.c.name)
            ),
            *connection.execute(select(pilots.c.name, newest.scalar_subquery()).order_by(pilots.c.name)),
            *connection.execute(
                select(moving.c.id, moving.c.stage, moving.c.standing, moving.c.trouble)
                .where(moving.c.ended_at.is_(None))
                .order_by(moving.c.id)
            ),
        )


def of_studies(desk: Desk, pilot: str) -> Mark:
    """Of a pilot's studies: how many there are, and how those are that go on."""
    table = tables.studies
    mine = table.c.pilot == pilot
    with tables.reading(desk.engine) as connection:
        return (
            connection.execute(
                select(func.count(), func.max(table.c.asked_at), func.max(table.c.ended_at)).where(mine)
            ).one(),
            *(
                (row.id, row.state, str(row.progress), row.cancel_asked_at)
                for row in connection.execute(
                    select(table).where(mine, table.c.state.in_(_ACTIVE)).order_by(table.c.id)
                )
            ),
        )


def logs_of(desk: Desk, run: str) -> dict[str, Path]:
    """Where the steps of a run write what they say, by step; those that began."""
    steps = tables.steps
    query = select(steps.c.name, steps.c.log).where(steps.c.run == run, steps.c.log.is_not(None))
    with tables.reading(desk.engine) as connection:
        return {row.name: Path(row.log) for row in connection.execute(query.order_by(steps.c.position))}


def _steps(connection: Connection, which: object) -> Collection[object]:
    steps = tables.steps
    query = select(steps.c.run, steps.c.name, steps.c.state, steps.c.attempt, steps.c.ended_at, steps.c.log)
    return connection.execute(query.where(which).order_by(steps.c.run, steps.c.position)).all()  # type: ignore[arg-type]
