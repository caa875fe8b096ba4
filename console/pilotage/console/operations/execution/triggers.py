"""What asked for retrainings, and letting them wait; asking for one now is to start a run, see `runs`."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import positions, sights, specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core import errors
from pilotage.core.artifacts import TriggerState, Wait
from pilotage.core.specs import Cause
from pilotage.pipelines import tables
from pilotage.pipelines.retraining import waits

LONGEST = timedelta(days=366)
"""Of a snooze."""


class Trigger(Model):
    """A request to retrain."""

    id: str
    pilot: str
    version: int
    """The one that the alarm is about."""
    alarm: str
    cause: Cause
    at: datetime
    """In the data's own time."""
    reason: str
    state: TriggerState
    opened_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    run: str | None
    waits_for: Wait | None
    until: datetime | None


class Snooze(Model):
    """No retraining of a pilot starts before."""

    pilot: str
    until: datetime
    who: str
    why: str
    at: datetime


def list_triggers(
    desk: Desk,
    actor: Actor,
    *,
    pilot: str | None = None,
    state: TriggerState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Listing[Trigger]:
    """Triggers of one pilot, or of all that the actor may look at, newest data first.

    Raises:
        NotFound: `pilot` is not for this actor.
    """
    table = tables.triggers
    order = ((table.c.at, True), (table.c.id, True))
    query = select(*(table.c[name] for name in Trigger.model_fields))
    query = query.order_by(table.c.at.desc(), table.c.id.desc())
    query = query.where(sights.visible(actor, table.c.pilot, pilot))
    if state is not None:
        query = query.where(table.c.state == state)
    if cursor is not None:
        kinds = (positions.moment, positions.text)
        query = query.where(positions.after(order, positions.read(cursor, kinds)))
    with tables.reading(desk.engine) as connection:
        found = [Trigger(**row._mapping) for row in connection.execute(query.limit(limit + 1))]
    last = found[limit - 1] if len(found) > limit else None
    following = cursor_of(last.at.isoformat(), last.id) if last else None
    return Listing(items=tuple(found[:limit]), next=following)


def get_snooze(desk: Desk, actor: Actor, pilot: str) -> Snooze | None:
    """The snooze that is in force.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    specs.require_known(desk, actor, pilot)
    table = tables.snoozes
    with tables.reading(desk.engine) as connection:
        row = connection.execute(
            select(table).where(table.c.pilot == pilot, table.c.until > tables.now())
        ).first()
    return None if row is None else Snooze(**row._mapping)


def snooze(desk: Desk, actor: Actor, pilot: str, duration: timedelta, *, why: str) -> Snooze:
    """Let no retraining start for a while; takes the place of a snooze before.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
        Forbidden: the actor may not.
        SettingsError: nothing says why, or it is longer than a year.
    """
    _require(desk, actor, pilot)
    if not timedelta(0) < duration <= LONGEST:
        raise errors.SettingsError(
            f"A snooze of {duration} is not longer than nothing and at most {LONGEST.days} days.",
            remedy="Say how long, such as 6h, 2d or 1w.",
        )
    return Snooze(**vars(waits.snooze(desk.settings, pilot, duration, who=actor.name, why=why)))


def unsnooze(desk: Desk, actor: Actor, pilot: str, *, why: str = "") -> Snooze | None:
    """End a snooze; returns it, or None when there was none.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
        Forbidden: the actor may not.
    """
    _require(desk, actor, pilot)
    ended = waits.unsnooze(desk.settings, pilot, who=actor.name, why=why.strip())
    return None if ended is None else Snooze(**vars(ended))


def _require(desk: Desk, actor: Actor, pilot: str) -> None:
    specs.require_known(desk, actor, pilot)
    actor.require(Permission.OPERATE, pilot)
