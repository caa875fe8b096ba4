"""What a monitor elsewhere found: taken in as if it had been found here, once however often it is told.

A monitor in a cluster has the windows and no database. It asks which reports are
known, and tells the others; alarms and triggers follow here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Model
from pilotage.core import errors
from pilotage.core.artifacts import DriftReport, Trigger
from pilotage.core.registry import Alias
from pilotage.pipelines import tables
from pilotage.pipelines.retraining import observations


class Known(Model):
    """A report that was taken in."""

    version: int
    start: datetime
    created_at: datetime
    """Of the report: one that was made anew has another."""


class Inventory(Model):
    """All reports of a pilot that were taken in."""

    pilot: str
    reports: tuple[Known, ...]


class Observed(Model):
    """What became of reports."""

    pilot: str
    reports: int
    triggers: tuple[Trigger, ...]
    """Those that they opened; none for what was known."""


def get_inventory(desk: Desk, actor: Actor, pilot: str) -> Inventory:
    """Which reports were taken in.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    specs.require_known(desk, actor, pilot)
    table = tables.windows
    query = select(table.c.version, table.c.start, table.c.updated_at.label("created_at"))
    with tables.reading(desk.engine) as connection:
        rows = connection.execute(query.where(table.c.pilot == pilot).order_by(table.c.start))
        return Inventory(pilot=pilot, reports=tuple(Known(**row._mapping) for row in rows))


def report(desk: Desk, actor: Actor, pilot: str, reports: Sequence[DriftReport]) -> Observed:
    """Take reports in; the scheduler answers the triggers that they open.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
        Forbidden: the actor may not.
        DataError: a report is about another pilot.
        Unavailable: the registry does not answer.
    """
    spec = specs.find(desk, actor, pilot)
    actor.require(Permission.REPORT, pilot)
    strange = next((item.pilot for item in reports if item.pilot != pilot), None)
    if strange is not None:
        raise errors.DataError(
            f"A report is about `{strange}`, not about `{pilot}`.", remedy="Tell it under its own name."
        )
    champion = desk.registry.aliases(pilot).get(Alias.CHAMPION)
    opened = observations.observe(desk.settings, spec, reports, champion, told_by=actor.name)
    return Observed(pilot=pilot, reports=len(reports), triggers=tuple(opened))
