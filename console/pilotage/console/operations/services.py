"""The processes that `pilotage up` keeps running, and how they are."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import or_, select

from pilotage.console.access.actors import Actor
from pilotage.console.operations import sights
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model
from pilotage.console.supervision.states import ServiceKind, ServiceState
from pilotage.pipelines import tables

_SILENT_SECONDS = 30.0
"""After which nothing is known of a service any more."""


class Service(Model):
    """One process that is kept running."""

    name: str
    host: str
    kind: ServiceKind
    pilot: str | None
    url: str | None
    state: ServiceState
    pid: int | None
    restarts: int
    since: datetime
    """When it came into this state."""
    seen_at: datetime
    """When its supervisor last said so."""
    detail: str


def list_services(desk: Desk, actor: Actor) -> Listing[Service]:
    """Every service that the actor may know of, by name; one whose supervisor fell silent is `lost`."""
    table = tables.services
    query = select(table).order_by(table.c.name, table.c.host)
    query = query.where(or_(table.c.pilot.is_(None), sights.visible(actor, table.c.pilot)))
    silent = tables.now() - timedelta(seconds=_SILENT_SECONDS)
    with tables.reading(desk.engine) as connection:
        rows = connection.execute(query).all()
    found = []
    for row in rows:
        values = {name: getattr(row, name) for name in Service.model_fields}
        if row.seen_at < silent and row.state != ServiceState.STOPPED:
            values["state"] = ServiceState.LOST
        found.append(Service(**values))
    return Listing(items=tuple(found))
