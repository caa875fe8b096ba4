"""Which version was champion when, by whose word and why: the audit read as a history."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from pilotage.console.access.actors import Actor
from pilotage.console.operations import positions, specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.pipelines import tables

_ACTIONS = ("promoted", "promote", "approve", "rollback")


class Release(Model):
    """A version that became champion."""

    pilot: str
    version: int
    replaced: int | None
    """The champion before."""
    action: str
    """`promoted` by Pilotage; `promote`, `approve` or `rollback` by a person."""
    who: str
    why: str
    at: datetime
    until: datetime | None
    """When the next one took its place; null while it serves."""


def list_releases(
    desk: Desk, actor: Actor, pilot: str, *, cursor: str | None = None, limit: int = 50
) -> Listing[Release]:
    """Champions of a pilot, newest first.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    specs.require_known(desk, actor, pilot)
    table = tables.audit
    query = (
        select(table)
        .where(table.c.pilot == pilot, table.c.action.in_(_ACTIONS))
        .order_by(table.c.at.desc(), table.c.id.desc())
        .limit(limit + 1)
    )
    until = None
    if cursor is not None:
        at, number = positions.read(cursor, (positions.moment, positions.number))
        order = ((table.c.at, True), (table.c.id, True))
        query, until = query.where(positions.after(order, (at, number))), at
    with tables.reading(desk.engine) as connection:
        rows = connection.execute(query).all()
    items = []
    for row in rows[:limit]:
        items.append(
            Release(
                pilot=pilot,
                version=row.version,
                replaced=row.details.get("replaced"),
                action=row.action,
                who=row.who,
                why=row.why,
                at=row.at,
                until=until,
            )
        )
        until = row.at
    more = len(rows) > limit
    return Listing(
        items=tuple(items),
        next=cursor_of(rows[limit - 1].at.isoformat(), rows[limit - 1].id) if more else None,
    )
