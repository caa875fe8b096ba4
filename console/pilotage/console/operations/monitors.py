"""What the monitor found, read from its index: windows, drift by feature and time, distributions."""

from __future__ import annotations

from datetime import datetime

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model


class Interval(Model):
    """A value with its 95 % interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Drifting(Model):
    """How far one column of a window is from the reference."""

    effect: float
    """Population stability index."""
    drifted: bool
    persistent: bool = False
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
    realized: Interval | None
    labelled: int
    """Rows whose labels have come."""
    alarms: tuple[str, ...] = ()
    """Ids."""


class Matrix(Model):
    """Drift of features over time."""

    pilot: str
    limit: float
    """Smallest effect that matters."""
    windows: tuple[Window, ...]
    """Oldest first."""
    features: tuple[str, ...]
    """Most drifted first."""
    cells: tuple[tuple[Drifting | None, ...], ...]
    """A row a feature, a column a window; null where the window has no such feature."""


class Distribution(Model):
    """A feature's values, or the scores, in one window beside the reference."""

    pilot: str
    version: int
    start: datetime
    end: datetime
    feature: str
    kind: str
    """`number` or `category`."""
    labels: tuple[str, ...]
    """Names of the cells."""
    reference: tuple[float, ...]
    """Shares of the cells."""
    window: tuple[float, ...]
    drifting: Drifting
    missing_rate: float
    reference_missing_rate: float
    unseen_rate: float
    reason: str


class Monitor(Model):
    """Where a pilot stands."""

    pilot: str
    metric: str
    """The goal's."""
    target: float | None
    last: Window | None
    """The last closed window."""
    open_alarms: int
    snoozed_until: datetime | None


def list_monitors(
    desk: Desk, actor: Actor, *, search: str = "", cursor: str | None = None, limit: int = 50
) -> Listing[Monitor]:
    """Where each pilot stands, by name."""
    raise NotImplementedError


def get_monitor(desk: Desk, actor: Actor, pilot: str) -> Monitor:
    """Where one pilot stands.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    raise NotImplementedError


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
    """Closed windows of a pilot, newest first; those that begin from `since` to before `until`."""
    raise NotImplementedError


def get_window(desk: Desk, actor: Actor, pilot: str, version: int, start: datetime) -> Window:
    """One closed window.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    raise NotImplementedError


def get_matrix(
    desk: Desk,
    actor: Actor,
    pilot: str,
    *,
    version: int | None = None,
    until: datetime | None = None,
    windows: int = 60,
) -> Matrix:
    """Drift of features over the last `windows` windows, or those that begin before `until`."""
    raise NotImplementedError


def get_distribution(
    desk: Desk, actor: Actor, pilot: str, version: int, start: datetime, feature: str
) -> Distribution:
    """A feature in one window beside the reference; `score` and `prediction` are what the model said.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    raise NotImplementedError
