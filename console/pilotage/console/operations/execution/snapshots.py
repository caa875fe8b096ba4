"""Snapshots: the data sets that runs used, known from the runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from pilotage.console.access.actors import Actor
from pilotage.console.operations import positions, sights
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import run_files
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core import errors
from pilotage.pipelines import tables

_STEP = "ingest"


class Snapshot(Model):
    """A data set that runs of a pilot used."""

    digest: str
    pilot: str
    runs: int
    last_run: str
    last_used_at: datetime


def list_snapshots(
    desk: Desk, actor: Actor, *, pilot: str | None = None, cursor: str | None = None, limit: int = 50
) -> Listing[Snapshot]:
    """Snapshots of pilots that the actor may look at, the last used first.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    runs, steps = tables.runs, tables.steps
    digest = steps.c.outputs["snapshot"]["digest"].as_string().label("digest")
    last = func.max(runs.c.id).label("last_run")
    query = (
        select(digest, runs.c.pilot, func.count().label("runs"), last, func.max(runs.c.asked_at).label("at"))
        .join(runs, runs.c.id == steps.c.run)
        .where(steps.c.name == _STEP, digest.is_not(None))
        .group_by(digest, runs.c.pilot)
        .order_by(last.desc())
        .limit(limit + 1)
    )
    query = query.where(sights.visible(actor, runs.c.pilot, pilot))
    if cursor is not None:
        query = query.having(func.max(runs.c.id) < positions.read(cursor, (positions.text,))[0])
    with tables.reading(desk.engine) as connection:
        rows = connection.execute(query).all()
    found = [
        Snapshot(
            digest=row.digest, pilot=row.pilot, runs=row.runs, last_run=row.last_run, last_used_at=row.at
        )
        for row in rows
    ]
    following = cursor_of(found[limit - 1].last_run) if len(found) > limit else None
    return Listing(items=tuple(found[:limit]), next=following)


def get_snapshot(desk: Desk, actor: Actor, digest: str) -> dict[str, Any]:
    """The manifest of one snapshot.

    Raises:
        NotFound: no run that this actor may look at used it.
    """
    runs, steps = tables.runs, tables.steps
    used = steps.c.outputs["snapshot"]["digest"].as_string() == digest
    query = select(runs.c.id).join(steps, steps.c.run == runs.c.id).where(steps.c.name == _STEP, used)
    query = query.where(sights.visible(actor, runs.c.pilot))
    with tables.reading(desk.engine) as connection:
        run = connection.scalar(query.order_by(runs.c.id.desc()).limit(1))
    if run is None:
        raise errors.NotFound(f"There is no snapshot `{digest}`.", remedy="Snapshots are known from runs.")
    return run_files.get_manifest(desk, actor, run)
