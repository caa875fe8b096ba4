"""What a pilot has brought: money over time against its baseline, or its metric against the target.

Measured money is that of rows whose labels have come, and of no others; what all rows
have brought is told beside it as an estimate with an interval.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, func, select

from pilotage.console.access.actors import Actor
from pilotage.console.operations import specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Model
from pilotage.console.operations.monitoring import monitors
from pilotage.console.operations.monitoring.monitors import Interval
from pilotage.core import errors
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import days
from pilotage.pipelines.journals.days import Z95

MOST_POINTS = 2000
"""Of one series."""
_DAY = timedelta(days=1)


class Period(StrEnum):
    """How long one point of a series is."""

    WINDOW = "window"
    DAY = "day"
    WEEK = "week"
    """From Monday."""
    MONTH = "month"


class Amount(Model):
    """What predictions brought in some time."""

    currency: str
    rows: int
    """Served."""
    labelled: int
    """Of them, rows whose labels have come: what `measured` and `baseline` are about."""
    measured: float
    """What the predictions of the labelled rows brought."""
    baseline: float
    """What the constant guess of the baseline would have brought on the same rows."""
    gain: float
    """`measured` less `baseline`."""
    estimated: Interval | None
    """The gain for `estimated_rows`, if the labelled rows are a fair sample of their window; null where no
    window has enough labels."""
    estimated_rows: int
    """Served in windows with enough labels to estimate."""


class Point(Model):
    """One step of the series."""

    start: datetime
    end: datetime
    version: int | None
    """Of a window; null of longer periods."""
    amount: Amount | None
    """Null for pilots without prices."""
    realized: Interval | None
    """The metric on labelled rows; of longer periods the mean over windows, weighted by these rows."""
    estimated: Interval | None
    """The metric without labels; likewise, weighted by served rows."""


class Value(Model):
    """What a pilot has brought."""

    pilot: str
    metric: str
    target: float | None
    currency: str | None
    """Null where pilot.yaml says no `goal.value`: then only the metric is told."""
    period: Period
    total: Amount | None
    points: tuple[Point, ...]
    """Oldest first."""


@dataclass(frozen=True)
class _Sums:
    """Sums of rows of windows or of days."""

    rows: int
    labelled: int
    value: float
    baseline: float
    gain: float
    variance: float
    gain_rows: int


def get_value(
    desk: Desk,
    actor: Actor,
    pilot: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    period: Period | None = None,
) -> Value:
    """What a pilot has brought in windows that begin from `since` to before `until`.

    Longer periods than windows are made of whole days in UTC; the period is chosen by the length of time
    when it is left out.

    Raises:
        NotFound: it is not there, or not for this actor.
        SettingsError: there are too many windows to tell each.
    """
    return count(desk, specs.find(desk, actor, pilot), since=since, until=until, period=period)


def count(
    desk: Desk,
    spec: PilotSpec,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    period: Period | None = None,
) -> Value:
    """As `get_value`, of a pilot whose pilot.yaml is at hand."""
    with tables.reading(desk.engine) as connection:
        chosen = period or _fitting(connection, spec.pilot, since, until)
        points = (
            _windows(connection, spec, since, until)
            if chosen is Period.WINDOW
            else _days(connection, spec, since, until, chosen)
        )
    value = spec.goal.value
    return Value(
        pilot=spec.pilot,
        metric=spec.performance_metric,
        target=monitors.target_of(spec),
        currency=value.currency if value else None,
        period=chosen,
        total=add(value.currency, [point.amount for point in points if point.amount]) if value else None,
        points=tuple(points),
    )


def totals(desk: Desk, actor: Actor, pilots: Collection[str]) -> dict[str, Amount]:
    """What each of `pilots` has brought until now, in one query; those without prices are left out."""
    wanted = pilots if actor.readable is None else actor.readable.intersection(pilots)
    table = tables.days
    sums = [
        func.sum(table.c[name]).label(name)
        for name in ("rows", "labelled", "value", "baseline", "gain", "gain_variance", "gain_rows")
    ]
    query = (
        select(table.c.pilot, table.c.currency, *sums)
        .where(table.c.pilot.in_(wanted), table.c.currency.is_not(None))
        .group_by(table.c.pilot, table.c.currency)
        .order_by(func.max(table.c.day))  # prices may have been in another currency before
    )
    with tables.reading(desk.engine) as connection:
        return {row.pilot: _amount(row.currency, _of_day(row)) for row in connection.execute(query)}


def add(currency: str, amounts: Sequence[Amount]) -> Amount:
    """Several amounts together; their estimates are independent, so that variances add up."""
    known = [(amount, amount.estimated) for amount in amounts if amount.estimated is not None]
    return _amount(
        currency,
        _Sums(
            rows=sum(amount.rows for amount in amounts),
            labelled=sum(amount.labelled for amount in amounts),
            value=math.fsum(amount.measured for amount in amounts),
            baseline=math.fsum(amount.baseline for amount in amounts),
            gain=math.fsum(found.value for _, found in known),
            variance=math.fsum(_error(found) ** 2 for _, found in known),
            gain_rows=sum(amount.estimated_rows for amount, _ in known),
        ),
    )


def _error(found: Interval) -> float:
    return 0.0 if found.high is None or found.low is None else (found.high - found.low) / (2 * Z95)


def _amount(currency: str, sums: _Sums) -> Amount:
    half = Z95 * math.sqrt(max(sums.variance, 0.0))
    estimated = Interval(value=sums.gain, low=sums.gain - half, high=sums.gain + half)
    return Amount(
        currency=currency,
        rows=sums.rows,
        labelled=sums.labelled,
        measured=sums.value,
        baseline=sums.baseline,
        gain=sums.value - sums.baseline,
        estimated=estimated if sums.gain_rows else None,
        estimated_rows=sums.gain_rows,
    )


def _of_day(row: Row[Any]) -> _Sums:
    return _Sums(
        rows=row.rows,
        labelled=row.labelled,
        value=row.value,
        baseline=row.baseline,
        gain=row.gain,
        variance=row.gain_variance,
        gain_rows=row.gain_rows,
    )


def _of_window(row: Row[Any], currency: str) -> _Sums:
    priced, known = row.currency == currency, row.currency == currency and row.gain is not None
    return _Sums(
        rows=row.rows,
        labelled=row.labelled if priced else 0,
        value=row.value if priced else 0.0,
        baseline=row.baseline if priced else 0.0,
        gain=row.gain if known else 0.0,
        variance=row.gain_error**2 if known else 0.0,
        gain_rows=row.rows if known else 0,
    )


def _fitting(connection: Connection, pilot: str, since: datetime | None, until: datetime | None) -> Period:
    """The shortest period that makes no more than some 120 points."""
    table = tables.days
    query = select(func.min(table.c.day), func.max(table.c.day), func.sum(table.c.windows)).where(
        *_between(table.c.pilot, table.c.day, pilot, since and days.day_of(since), until)
    )
    first, last, count = connection.execute(query).one()
    if first is None or count <= 60:
        return Period.WINDOW
    length = (last - first).days + 1
    return Period.DAY if length <= 120 else Period.WEEK if length <= 840 else Period.MONTH


def _between(owner: Any, time: Any, pilot: str, since: datetime | None, until: datetime | None) -> list[Any]:
    conditions = [owner == pilot]
    conditions += [] if since is None else [time >= since]
    return conditions + ([] if until is None else [time < until])


def _windows(
    connection: Connection, spec: PilotSpec, since: datetime | None, until: datetime | None
) -> list[Point]:
    table = tables.windows
    query = (
        select(*monitors.COLUMNS)
        .where(*_between(table.c.pilot, table.c.start, spec.pilot, since, until))
        .order_by(table.c.start, table.c.version)
        .limit(MOST_POINTS + 1)
    )
    rows = connection.execute(query).all()
    if len(rows) > MOST_POINTS:
        raise errors.SettingsError(
            f"There are more than {MOST_POINTS} windows in this time, too many to tell each.",
            remedy="Ask for a longer `period`, or for less time with `since` and `until`.",
        )
    value = spec.goal.value
    return [
        Point(
            start=row.start,
            end=row.end,
            version=row.version,
            amount=_amount(value.currency, _of_window(row, value.currency)) if value else None,
            realized=monitors.interval(row.realized, row.realized_low, row.realized_high),
            estimated=monitors.interval(row.estimated, row.estimated_low, row.estimated_high),
        )
        for row in rows
    ]


def _days(
    connection: Connection,
    spec: PilotSpec,
    since: datetime | None,
    until: datetime | None,
    period: Period,
) -> list[Point]:
    table = tables.days
    whole = since and days.day_of(since)
    query = select(table).where(*_between(table.c.pilot, table.c.day, spec.pilot, whole, until))
    rows = connection.execute(query.order_by(table.c.day)).all()
    parts = groupby(rows, lambda row: begin_of(row.day, period))
    return [_point(spec, start, period, list(part)) for start, part in parts]


def _point(spec: PilotSpec, start: datetime, period: Period, rows: Sequence[Row[Any]]) -> Point:
    value = spec.goal.value
    amounts = [
        _amount(row.currency, _of_day(row)) for row in rows if value and row.currency == value.currency
    ]
    return Point(
        start=start,
        end=end_of(start, period),
        version=None,
        amount=add(value.currency, amounts) if value else None,
        realized=_mean((row.realized, row.realized_error, row.realized_rows) for row in rows),
        estimated=_mean((row.estimated, row.estimated_error, row.estimated_rows) for row in rows),
    )


def _mean(parts: Iterable[tuple[float | None, float | None, int]]) -> Interval | None:
    """The weighted mean of a metric with its interval, of value, standard error and weight."""
    known = [(value, error, weight) for value, error, weight in parts if value is not None and weight]
    total = sum(weight for _, _, weight in known)
    if not total:
        return None
    mean = math.fsum(value * weight for value, _, weight in known) / total
    certain = [(error, weight) for _, error, weight in known if error is not None]
    if len(certain) < len(known):
        return Interval(value=mean)
    half = Z95 * math.sqrt(math.fsum((error * weight) ** 2 for error, weight in certain)) / total
    return Interval(value=mean, low=mean - half, high=mean + half)


def begin_of(day: datetime, period: Period) -> datetime:
    """The beginning of the period that a day is in."""
    if period is Period.WEEK:
        return day - day.weekday() * _DAY
    return day.replace(day=1) if period is Period.MONTH else day


def end_of(start: datetime, period: Period) -> datetime:
    """The end of the period that begins at `start`."""
    if period is Period.MONTH:
        return datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)
    return start + (7 * _DAY if period is Period.WEEK else _DAY)
