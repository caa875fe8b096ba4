"""What the monitor found, read from its index: windows, and where each pilot stands.

Drift by feature and time, and the picture of one feature, are in `drifts`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import pilots, positions, specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core import errors
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.retraining.observations import AlarmState


class Interval(Model):
    """A value with its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class Drifting(Model):
    """How far one column of a window is from the reference."""

    effect: float
    """Population stability index."""
    drifted: bool = False
    persistent: bool = False
    """It has also drifted in as many windows before as pilot.yaml asks for."""
    importance: float | None = None
    """Share of the predictions that rests on the feature."""


class Window(Model):
    """A closed window of what was served."""

    pilot: str
    version: int
    start: datetime
    end: datetime
    rows: int
    requests: int
    errors: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    drifted: int
    """Features."""
    score: Drifting | None
    metric: str | None
    estimated: Interval | None
    """The metric without labels."""
    realized: Interval | None
    """The metric on the rows whose labels have come."""
    labelled: int
    """Rows whose labels have come."""
    alarms: tuple[str, ...] = ()
    """Ids."""


class Monitor(Model):
    """Where a pilot stands."""

    pilot: str
    metric: str
    """That the monitor follows."""
    target: float | None
    """Of the goal, where that is its metric."""
    window_seconds: float
    last: Window | None
    """The last closed window."""
    open_alarms: int
    snoozed_until: datetime | None


def list_monitors(
    desk: Desk, actor: Actor, *, search: str = "", cursor: str | None = None, limit: int = 50
) -> Listing[Monitor]:
    """Where each pilot stands, by name."""
    listing = pilots.list_pilots(desk, actor, search=search, cursor=cursor, limit=limit)
    known = [PilotSpec.model_validate(pilot.spec) for pilot in listing.items]
    return Listing(items=_monitors(desk, known), next=listing.next)


def get_monitor(desk: Desk, actor: Actor, pilot: str) -> Monitor:
    """Where one pilot stands.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    return _monitors(desk, [specs.find(desk, actor, pilot)])[0]


def list_windows(
    desk: Desk,
    actor: Actor,
    pilot: str,
    *,
    version: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    drifted: bool | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Listing[Window]:
    """Closed windows of a pilot, newest first; those that begin from `since` to before `until`.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    specs.require_known(desk, actor, pilot)
    table = tables.windows
    query = select(*COLUMNS).where(table.c.pilot == pilot)
    for condition in (
        None if version is None else table.c.version == version,
        None if since is None else table.c.start >= since,
        None if until is None else table.c.start < until,
        None if drifted is None else (table.c.drifted > 0) == drifted,
    ):
        query = query if condition is None else query.where(condition)
    if cursor is not None:
        order = ((table.c.start, True), (table.c.version, True))
        query = query.where(
            positions.after(order, positions.read(cursor, (positions.moment, positions.number)))
        )
    query = query.order_by(table.c.start.desc(), table.c.version.desc()).limit(limit + 1)
    with tables.reading(desk.engine) as connection:
        rows = connection.execute(query).all()
        items = told(connection, pilot, rows[:limit])
    following = cursor_of(items[-1].start.isoformat(), items[-1].version) if len(rows) > limit else None
    return Listing(items=items, next=following)


def get_window(desk: Desk, actor: Actor, pilot: str, version: int, start: datetime) -> Window:
    """One closed window.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    actor.require(Permission.READ, pilot)
    with tables.reading(desk.engine) as connection:
        return told(connection, pilot, [row_of(connection, pilot, version, start)])[0]


_TABLE = tables.windows
COLUMNS = [column for column in _TABLE.c if column.name != "features"]
"""Of windows, what lists show; drift by feature is long."""


def row_of(connection: Connection, pilot: str, version: int, start: datetime) -> Row[Any]:
    """The row of one window.

    Raises:
        NotFound: it is not there.
    """
    this = and_(_TABLE.c.pilot == pilot, _TABLE.c.version == version, _TABLE.c.start == start)
    row = connection.execute(select(_TABLE).where(this)).first()
    if row is None:
        raise errors.NotFound(
            f"Pilot `{pilot}` has no closed window of version {version} that begins at {start.isoformat()}.",
            remedy=f"`GET /api/v1/pilots/{pilot}/windows` lists them.",
        )
    return row


def told(connection: Connection, pilot: str, rows: Collection[Row[Any]]) -> tuple[Window, ...]:
    """Rows of windows of one pilot, with their alarms; one query for all."""
    if not rows:
        return ()
    table = tables.alarms
    raised: dict[tuple[int, datetime], list[str]] = {}
    query = select(table.c.id, table.c.version, table.c.start).where(
        table.c.pilot == pilot,
        table.c.end > min(row.start for row in rows),
        table.c.end <= max(row.end for row in rows) + timedelta(days=1),
    )
    for alarm in connection.execute(query):
        raised.setdefault((alarm.version, alarm.start), []).append(alarm.id)
    return tuple(_window(row, tuple(raised.get((row.version, row.start), ()))) for row in rows)


def _monitors(desk: Desk, known: Collection[PilotSpec]) -> tuple[Monitor, ...]:
    names = [spec.pilot for spec in known]
    with tables.reading(desk.engine) as connection:
        last = _last(connection, names)
        alarms = _open_alarms(connection, names)
        snoozed = _snoozed(connection, names)
    return tuple(
        Monitor(
            pilot=spec.pilot,
            metric=spec.performance_metric,
            target=target_of(spec),
            window_seconds=spec.monitor.window.total_seconds(),
            last=last.get(spec.pilot),
            open_alarms=alarms.get(spec.pilot, 0),
            snoozed_until=snoozed.get(spec.pilot),
        )
        for spec in known
    )


def target_of(spec: PilotSpec) -> float | None:
    """The goal's target, if the monitor follows the goal's metric."""
    return spec.goal.target if spec.performance_metric == spec.goal.metric else None


def _last(connection: Connection, names: Collection[str]) -> dict[str, Window]:
    """The last window of each pilot; of several versions, that which served most."""
    pilot, other = tables.pilots, _TABLE.alias()
    newest = select(func.max(other.c.start)).where(other.c.pilot == pilot.c.name).scalar_subquery()
    query = (
        select(*COLUMNS)
        .select_from(pilot.join(_TABLE, and_(_TABLE.c.pilot == pilot.c.name, _TABLE.c.start == newest)))
        .where(pilot.c.name.in_(names))
        .order_by(_TABLE.c.rows)
    )
    return {row.pilot: _window(row, ()) for row in connection.execute(query)}


def _open_alarms(connection: Connection, names: Collection[str]) -> dict[str, int]:
    table = tables.alarms
    query = (
        select(table.c.pilot, func.count().label("alarms"))
        .where(table.c.state == AlarmState.OPEN, table.c.pilot.in_(names))
        .group_by(table.c.pilot)
    )
    return {row.pilot: row.alarms for row in connection.execute(query)}


def _snoozed(connection: Connection, names: Collection[str]) -> dict[str, datetime]:
    table = tables.snoozes
    query = select(table.c.pilot, table.c.until).where(table.c.pilot.in_(names), table.c.until > tables.now())
    return {row.pilot: row.until for row in connection.execute(query)}


def _window(row: Row[Any], alarms: tuple[str, ...]) -> Window:
    return Window(
        **{name: getattr(row, name) for name in _SAME},
        score=None if row.score is None else Drifting(**row.score),
        estimated=interval(row.estimated, row.estimated_low, row.estimated_high),
        realized=interval(row.realized, row.realized_low, row.realized_high),
        alarms=alarms,
    )


_SAME = (
    *("pilot", "version", "start", "end", "rows", "requests", "errors"),
    *("latency_p50_ms", "latency_p99_ms", "drifted", "metric", "labelled"),
)
"""What a window has as its row has it."""


def interval(value: float | None, low: float | None, high: float | None) -> Interval | None:
    """A value with its interval, if there is one."""
    return None if value is None else Interval(value=value, low=low, high=high)
