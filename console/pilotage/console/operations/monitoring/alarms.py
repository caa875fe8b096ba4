"""Alarms: what the monitor says is wrong, and that somebody has seen it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import positions, sights
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core import errors
from pilotage.core.specs import Cause
from pilotage.pipelines import tables
from pilotage.pipelines.retraining import observations
from pilotage.pipelines.retraining.observations import AlarmState


class Alarm(Model):
    """The monitor's verdict that something changed."""

    pilot: str
    id: str
    version: int
    cause: Cause
    start: datetime
    """Of the window."""
    end: datetime
    message: str
    features: tuple[str, ...]
    value: float | None
    limit: float | None
    raised_at: datetime
    state: AlarmState
    acknowledged_at: datetime | None
    who: str | None
    """Acknowledged it."""
    why: str | None
    closed_at: datetime | None
    closed_why: str | None


def list_alarms(
    desk: Desk,
    actor: Actor,
    *,
    pilot: str | None = None,
    state: AlarmState | None = None,
    cause: Cause | None = None,
    version: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Listing[Alarm]:
    """Alarms of one pilot, or of all that the actor may look at, newest window first.

    Raises:
        NotFound: `pilot` is not for this actor.
    """
    table = tables.alarms
    order = ((table.c.end, True), (table.c.pilot, False), (table.c.id, False))
    query = select(table).order_by(table.c.end.desc(), table.c.pilot, table.c.id)
    query = query.where(sights.visible(actor, table.c.pilot, pilot))
    for column, wanted in ((table.c.state, state), (table.c.cause, cause), (table.c.version, version)):
        query = query if wanted is None else query.where(column == wanted)
    if cursor is not None:
        kinds = (positions.moment, positions.text, positions.text)
        query = query.where(positions.after(order, positions.read(cursor, kinds)))
    with tables.reading(desk.engine) as connection:
        found = [_alarm(row) for row in connection.execute(query.limit(limit + 1))]
    last = found[limit - 1] if len(found) > limit else None
    following = cursor_of(last.end.isoformat(), last.pilot, last.id) if last else None
    return Listing(items=tuple(found[:limit]), next=following)


def get_alarm(desk: Desk, actor: Actor, pilot: str, alarm: str) -> Alarm:
    """One alarm.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    actor.require(Permission.READ, pilot)
    table = tables.alarms
    with tables.reading(desk.engine) as connection:
        row = connection.execute(select(table).where(table.c.pilot == pilot, table.c.id == alarm)).first()
    if row is None:
        raise errors.NotFound(
            f"Pilot `{pilot}` has no alarm `{alarm}`.",
            remedy=f"`GET /api/v1/pilots/{pilot}/alarms` lists them.",
        )
    return _alarm(row)


def acknowledge(desk: Desk, actor: Actor, pilot: str, alarm: str, *, why: str = "") -> Alarm:
    """Say that it was seen; the same again, or of one that is over, changes nothing.

    Raises:
        NotFound: it is not there, or not for this actor.
        Forbidden: the actor may not.
    """
    actor.require(Permission.OPERATE, pilot)
    observations.acknowledge(desk.engine, pilot, alarm, who=actor.name, why=why.strip())
    return get_alarm(desk, actor, pilot, alarm)


def _alarm(row: Row[Any]) -> Alarm:
    told = row.details
    return Alarm(
        **{name: getattr(row, name) for name in _SAME},
        acknowledged_at=row.decided_at,
        features=tuple(told.get("features", ())),
        value=told.get("value"),
        limit=told.get("limit"),
    )


_SAME = (
    *("pilot", "id", "version", "cause", "start", "end", "message", "raised_at", "state", "who", "why"),
    *("closed_at", "closed_why"),
)
"""What an alarm has as its row has it."""
