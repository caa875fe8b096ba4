"""What happened to a pilot: versions, releases, alarms and retrainings, over its performance.

Windows, alarms and triggers are told in the data's own time, which a replay or
a late load sets apart from the clock's; so a version is shown from the first
window that it served. What people decided keeps the time of the clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import triggers
from pilotage.console.operations.execution.triggers import Trigger
from pilotage.console.operations.listings import Model
from pilotage.console.operations.models import releases
from pilotage.console.operations.models.releases import Release
from pilotage.console.operations.monitoring import alarms, values
from pilotage.console.operations.monitoring.alarms import Alarm
from pilotage.console.operations.monitoring.values import Value
from pilotage.pipelines import tables

_MOST = 50
"""Latest events of a kind."""


class Kind(StrEnum):
    """What happened."""

    RELEASE = "release"
    ALARM = "alarm"
    RETRAINING = "retraining"


class Span(Model):
    """From when on a version served, in the data's own time."""

    version: int
    start: datetime


class Event(Model):
    """One thing that happened."""

    kind: Kind
    at: datetime
    """In the data's own time where it has one, otherwise the clock's."""
    on_the_clock: bool
    version: int | None
    state: str
    what: str
    who: str
    run: str | None = None


class Chronicle(Model):
    """A pilot's past."""

    value: Value
    """Performance and value over time."""
    spans: tuple[Span, ...]
    """Oldest first."""
    events: tuple[Event, ...]
    """Newest first; those of one kind in their own order."""
    last_trigger: Trigger | None


def get_chronicle(desk: Desk, actor: Actor, pilot: str) -> Chronicle:
    """What happened to one pilot.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    value = values.get_value(desk, actor, pilot)
    spans = _spans(desk, pilot)
    begins = {span.version: span.start for span in spans}
    released = releases.list_releases(desk, actor, pilot, limit=_MOST).items
    raised = alarms.list_alarms(desk, actor, pilot=pilot, limit=_MOST).items
    asked = triggers.list_triggers(desk, actor, pilot=pilot, limit=_MOST).items
    events: Iterable[Event] = (
        *(_release(item, begins) for item in released),
        *(_alarm(item) for item in raised),
        *(_retraining(item) for item in asked),
    )
    return Chronicle(
        value=value,
        spans=spans,
        events=tuple(sorted(events, key=lambda event: event.at, reverse=True)),
        last_trigger=asked[0] if asked else None,
    )


def _spans(desk: Desk, pilot: str) -> tuple[Span, ...]:
    table = tables.windows
    start = func.min(table.c.start).label("start")
    query = select(table.c.version, start).where(table.c.pilot == pilot).group_by(table.c.version)
    with tables.reading(desk.engine) as connection:
        found = [Span(version=row.version, start=row.start) for row in connection.execute(query)]
    return tuple(sorted(found, key=lambda span: span.start))


def _release(item: Release, begins: dict[int, datetime]) -> Event:
    """A release stands where its version began to serve, unless it came back by a rollback."""
    served = begins.get(item.version) if item.action != "rollback" else None
    instead = f" in place of {item.replaced}" if item.replaced else ""
    verb = {
        "promoted": "was promoted by its gates",
        "promote": "was promoted",
        "approve": "was approved",
        "rollback": "came back by a rollback",
    }
    reason = f": {item.why}" if item.why else ""
    return Event(
        kind=Kind.RELEASE,
        at=served or item.at,
        on_the_clock=served is None,
        version=item.version,
        state=item.action,
        what=f"Version {item.version} {verb.get(item.action, item.action)}{instead}{reason}",
        who=item.who,
    )


def _alarm(item: Alarm) -> Event:
    return Event(
        kind=Kind.ALARM,
        at=item.end,
        on_the_clock=False,
        version=item.version,
        state=item.state,
        what=item.message,
        who=item.who or "",
    )


def _retraining(item: Trigger) -> Event:
    return Event(
        kind=Kind.RETRAINING,
        at=item.at,
        on_the_clock=False,
        version=item.version,
        state=item.state,
        what=item.reason,
        who="",
        run=item.run,
    )
