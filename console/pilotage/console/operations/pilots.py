"""The pilots that this installation knows: added from a folder, kept by name."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select

from pilotage.console.access.actors import Actor, Permission, unknown_pilot
from pilotage.console.operations import positions, sights
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core import pilots
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, catalogues


class Pilot(Model):
    """A pilot that this installation knows."""

    name: str
    owner: str
    description: str
    folder: str
    spec: dict[str, Any]
    """pilot.yaml as it was when it was last checked or run; only what is set there."""
    added_at: datetime
    updated_at: datetime


def list_pilots(
    desk: Desk, actor: Actor, *, search: str = "", cursor: str | None = None, limit: int = 50
) -> Listing[Pilot]:
    """Pilots that the actor may look at, by name; `search` is a part of the name."""
    table = tables.pilots
    query = select(table).order_by(table.c.name).limit(limit + 1)
    query = query.where(sights.visible(actor, table.c.name))
    if search:
        query = query.where(table.c.name.contains(search, autoescape=True))
    if cursor is not None:
        query = query.where(table.c.name > positions.read(cursor, (positions.text,))[0])
    with tables.reading(desk.engine) as connection:
        found = [_pilot(row) for row in connection.execute(query)]
    following = cursor_of(found[limit - 1].name) if len(found) > limit else None
    return Listing(items=tuple(found[:limit]), next=following)


def get_pilot(desk: Desk, actor: Actor, name: str) -> Pilot:
    """One pilot.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    actor.require(Permission.READ, name)
    with tables.reading(desk.engine) as connection:
        row = connection.execute(select(tables.pilots).where(tables.pilots.c.name == name)).first()
    if row is None:
        raise unknown_pilot(name)
    return _pilot(row)


def is_known(desk: Desk, name: str) -> bool:
    """Whether a pilot of that name was taken in."""
    with tables.reading(desk.engine) as connection:
        return connection.scalar(select(tables.pilots.c.name).where(tables.pilots.c.name == name)) is not None


def add_pilot(desk: Desk, actor: Actor, folder: Path) -> Pilot:
    """Take the pilot in `folder` in, or read it again.

    Raises:
        Forbidden: the actor may not.
        NotFound, SpecError: there is no pilot.yaml that can be read.
    """
    actor.require(Permission.ADMINISTER)
    found = pilots.load(folder)
    with desk.engine.begin() as connection:
        if catalogues.put(connection, found.spec, found.folder):
            audits.write(connection, "add", found.name, actor.name, "", folder=str(found.folder))
    return get_pilot(desk, actor, found.name)


def _pilot(row: Row[Any]) -> Pilot:
    spec = PilotSpec.model_validate(row.spec)
    return Pilot(
        name=row.name,
        owner=spec.owner,
        description=spec.description,
        folder=row.folder,
        spec=row.spec,
        added_at=row.added_at,
        updated_at=row.updated_at,
    )
