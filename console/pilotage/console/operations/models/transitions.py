"""Versions on their way into a cluster, and at its end: where each stands, and why it waits.

Asking for one, and taking one back, are in `decisions`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from pilotage.console.access.actors import Actor
from pilotage.console.operations import positions, specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.pipelines import tables
from pilotage.pipelines.transitions import requests
from pilotage.pipelines.transitions.stages import Stage, transition


class Transition(Model):
    """A version's way into an environment."""

    id: str
    pilot: str
    version: int
    environment: str
    stage: Stage
    action: str
    """`promoted` by Pilotage; `promote`, `approve` or `rollback` by a person."""
    who: str
    why: str
    told: str
    """Where it stands and what it waits for, or why it ended so."""
    trouble: str | None
    """Why the next step cannot be made now; it is tried again."""
    trouble_since: datetime | None
    asked_at: datetime
    committed_at: datetime | None
    taken_up_at: datetime | None
    """When the cluster began to run it."""
    ended_at: datetime | None
    commit: str | None
    branch: str | None
    url: str | None
    """The commit, or the request that waits to be merged."""
    replaced: int | None
    """Champion before it."""


def list_transitions(
    desk: Desk, actor: Actor, pilot: str, *, cursor: str | None = None, limit: int = 50
) -> Listing[Transition]:
    """Releases of a pilot to environments, newest first.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    specs.require_known(desk, actor, pilot)
    table = tables.transitions
    order = ((table.c.asked_at, True), (table.c.id, True))
    query = select(table).where(table.c.pilot == pilot)
    query = query.order_by(table.c.asked_at.desc(), table.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        at = positions.read(cursor, (positions.moment, positions.text))
        query = query.where(positions.after(order, at))
    with tables.reading(desk.engine) as connection:
        found = [told(transition(row)) for row in connection.execute(query)]
    last = found[limit - 1] if len(found) > limit else None
    following = cursor_of(last.asked_at.isoformat(), last.id) if last else None
    return Listing(items=tuple(found[:limit]), next=following)


def under_way(desk: Desk, pilot: str) -> Transition | None:
    """The release that goes on; who asks was asked whether they may look already."""
    found = requests.going(desk.engine, pilot, desk.settings.release_environment)
    return None if found is None else told(found)


def told(found: object) -> Transition:
    """A transition as the API sends it."""
    return Transition(**{name: getattr(found, name) for name in Transition.model_fields})
