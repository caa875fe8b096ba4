"""Versions of all pilots that wait for a person, or waited."""

from __future__ import annotations

from sqlalchemy import select

from pilotage.console.access.actors import Actor
from pilotage.console.operations import positions, sights
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, cursor_of
from pilotage.console.operations.models import versions
from pilotage.console.operations.models.versions import Approval
from pilotage.pipelines import tables
from pilotage.pipelines.decisions.approvals import ApprovalState


def list_approvals(
    desk: Desk,
    actor: Actor,
    *,
    pilot: str | None = None,
    state: ApprovalState | None = ApprovalState.PENDING,
    cursor: str | None = None,
    limit: int = 50,
) -> Listing[Approval]:
    """Questions to people, newest first; of one state, or all when `state` is None.

    Raises:
        NotFound: `pilot` is not for this actor.
    """
    table = tables.approvals
    order = ((table.c.asked_at, True), (table.c.pilot, False), (table.c.version, True))
    query = select(table).order_by(table.c.asked_at.desc(), table.c.pilot, table.c.version.desc())
    query = query.where(sights.visible(actor, table.c.pilot, pilot))
    if state is not None:
        query = query.where(table.c.state == state)
    if cursor is not None:
        kinds = (positions.moment, positions.text, positions.number)
        query = query.where(positions.after(order, positions.read(cursor, kinds)))
    with tables.reading(desk.engine) as connection:
        found = [versions.approval(row) for row in connection.execute(query.limit(limit + 1))]
    last = found[limit - 1] if len(found) > limit else None
    following = cursor_of(last.asked_at.isoformat(), last.pilot, last.version) if last else None
    return Listing(items=tuple(found[:limit]), next=following)
