"""Schedules: when runs are asked for by the clock, and pausing, resuming and running one now."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row, select

from pilotage.console.access.actors import Actor, Permission, unknown_pilot
from pilotage.console.operations import positions, sights
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import runs
from pilotage.console.operations.execution.runs import Run
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.retraining import schedules
from pilotage.pipelines.retraining.schedules import ScheduleState, Source

_SHOWN = 5
"""Moments to come."""


class Schedule(Model):
    """When runs of a pilot are asked for."""

    id: str
    pilot: str
    source: Source
    cron: str
    words: str
    """The cron expression in words, its time zone with it."""
    time_zone: str
    state: ScheduleState
    next_at: datetime | None
    """Null while it is paused."""
    coming: tuple[datetime, ...]
    """The next five moments, in the schedule's time zone; those that would be while it is paused."""
    last_due_at: datetime | None
    last_run: str | None
    last_state: State | None
    """Of the last run."""
    missed: int
    """Moments that passed without a run of their own: one run made up for several, or an earlier one still
    went on."""
    created_at: datetime
    created_by: str


def list_schedules(
    desk: Desk, actor: Actor, *, pilot: str | None = None, cursor: str | None = None, limit: int = 50
) -> Listing[Schedule]:
    """Schedules of pilots that the actor may look at, by pilot.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    table = tables.schedules
    query = _select().order_by(table.c.pilot, table.c.id).limit(limit + 1)
    query = query.where(sights.visible(actor, table.c.pilot, pilot))
    if cursor is not None:
        after, last = positions.read(cursor, (positions.text, positions.text))
        query = query.where((table.c.pilot > after) | ((table.c.pilot == after) & (table.c.id > last)))
    with tables.reading(desk.engine) as connection:
        found = [_schedule(row) for row in connection.execute(query)]
    following = cursor_of(found[limit - 1].pilot, found[limit - 1].id) if len(found) > limit else None
    return Listing(items=tuple(found[:limit]), next=following)


def get_schedule(desk: Desk, actor: Actor, schedule: str) -> Schedule:
    """One schedule.

    Raises:
        NotFound: there is none for this actor.
    """
    with tables.reading(desk.engine) as connection:
        row = connection.execute(_select().where(tables.schedules.c.id == schedule)).first()
    if row is None or not actor.may(Permission.READ, row.pilot):
        raise schedules.unknown(schedule)
    return _schedule(row)


def add_schedule(desk: Desk, actor: Actor, pilot: str, cron: str, time_zone: str = "UTC") -> Schedule:
    """Let runs of `pilot` be asked for at the moments of a cron expression in a time zone.

    Raises:
        NotFound, Forbidden: the pilot is not there, or the actor may not.
        SettingsError: the expression or the zone is wrong.
    """
    actor.require(Permission.OPERATE, pilot)
    try:
        made = schedules.add(desk.engine, pilot, cron, time_zone, actor.name)
    except errors.NotFound as error:
        raise unknown_pilot(pilot) from error
    return get_schedule(desk, actor, made)


def pause_schedule(desk: Desk, actor: Actor, schedule: str, *, why: str = "") -> Schedule:
    """Let it ask for nothing until it is resumed.

    Raises:
        NotFound, Forbidden: it is not there, or the actor may not.
    """
    _require(desk, actor, schedule)
    schedules.pause(desk.engine, schedule, actor.name, why)
    return get_schedule(desk, actor, schedule)


def resume_schedule(desk: Desk, actor: Actor, schedule: str, *, why: str = "") -> Schedule:
    """Let it go on from now; what passed while it was paused is not made up for.

    Raises:
        NotFound, Forbidden: it is not there, or the actor may not.
    """
    _require(desk, actor, schedule)
    schedules.resume(desk.engine, schedule, actor.name, why)
    return get_schedule(desk, actor, schedule)


def run_schedule(desk: Desk, actor: Actor, schedule: str, *, why: str = "") -> Run:
    """Ask for its run now, whether or not it is paused; its moments stay as they are.

    Raises:
        NotFound, Forbidden: it is not there, or the actor may not.
    """
    _require(desk, actor, schedule)
    return runs.get_run(desk, actor, schedules.run_now(desk.engine, schedule, actor.name, why))


def remove_schedule(desk: Desk, actor: Actor, schedule: str, *, why: str = "") -> None:
    """Forget a schedule that a person made; its runs stay.

    Raises:
        NotFound, Forbidden: it is not there, or the actor may not.
        Conflict: it is written in pilot.yaml.
    """
    _require(desk, actor, schedule)
    schedules.remove(desk.engine, schedule, actor.name, why)


def _require(desk: Desk, actor: Actor, schedule: str) -> None:
    actor.require(Permission.OPERATE, get_schedule(desk, actor, schedule).pilot)


def _select() -> Any:
    last = tables.runs.c.id == tables.schedules.c.last_run
    return select(tables.schedules, tables.runs.c.state.label("last_state")).outerjoin(tables.runs, last)


def _schedule(row: Row[Any]) -> Schedule:
    zone = ZoneInfo(row.time_zone)
    coming = schedules.moments(row.cron, zone, tables.now(), _SHOWN)
    words = schedules.words(row.cron)
    return Schedule(**row._mapping, words=f"{words} ({row.time_zone})", coming=coming)
