"""What a pilot has brought: money over time against its baseline, or its metric against the target."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Model
from pilotage.console.operations.monitors import Interval


class Period(StrEnum):
    """How long one point of a series is."""

    WINDOW = "window"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Amount(Model):
    """What predictions brought in some time."""

    rows: int
    """Served."""
    labelled: int
    """Of them, rows whose labels have come: what `measured` is about."""
    measured: float
    """What the predictions of the labelled rows brought."""
    baseline: float
    """What the constant guess of the baseline would have brought on the same rows."""
    gain: float
    """`measured` less `baseline`."""
    estimated: Interval | None
    """`gain` for all rows, if the labelled ones are a fair sample of each window; null without labels."""
    estimated_rows: int
    """Served in windows with enough labels to say so; the estimate is about these."""


class Point(Model):
    """One step of the series."""

    start: datetime
    end: datetime
    amount: Amount | None
    """Null for pilots without prices."""
    realized: Interval | None
    """The goal's metric."""
    estimated: Interval | None


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


def get_value(
    desk: Desk,
    actor: Actor,
    pilot: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    period: Period | None = None,
) -> Value:
    """What a pilot has brought over time; `period` is chosen to give at most some 120 points.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    raise NotImplementedError


def totals(desk: Desk, actor: Actor, pilots: Collection[str]) -> dict[str, Amount]:
    """What each of `pilots` has brought until now, in one query; those without prices are left out."""
    raise NotImplementedError
