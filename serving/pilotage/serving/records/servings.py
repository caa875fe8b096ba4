"""What was served, as requests leave it for the recorder, and many of it put together to be counted at once.

Counting is vectorised over all that came since the last look, because what it costs
is taken from the requests of the same process. Windows and files are not known here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pilotage.core.features import Columns, category_text
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction
from pilotage.serving.versions.lives import Live

FARTHEST_AHEAD = timedelta(days=366)
"""An event time beyond this, or before 1970, is taken for a mistake and replaced by the arrival time."""
_MISSING = np.datetime64("NaT", "us")
_EPOCH = np.datetime64(0, "us")

Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Served:
    """Requests that were answered together."""

    live: Live
    rows: int
    columns: Columns
    ids: list[str | None] | None
    times: Times | None
    prediction: Prediction
    sizes: list[int]
    """Rows of each request; `rows` in all."""
    latencies_ms: list[float]
    """Of each request."""
    arrived: datetime


class Joined(NamedTuple):
    """All rows of several, one after the other, and their requests."""

    columns: Columns
    scores: npt.NDArray[np.float64]
    predictions: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64] | None
    ids: list[str | None] | None
    """By row; None when no row has one."""
    times: Times
    """When each row happened, in UTC; the arrival where it does not say or cannot be true."""
    sizes: npt.NDArray[np.intp]
    """Rows of each request."""
    latencies_ms: npt.NDArray[np.float64]
    """Of each request."""


def join(items: Sequence[Served]) -> Joined:
    """What one version answered, put together."""
    shares = [item.prediction.probabilities for item in items]
    held = [share for share in shares if share is not None]
    return Joined(
        {name: np.concatenate([item.columns[name] for item in items]) for name in items[0].columns},
        np.concatenate([item.prediction.score for item in items]),
        np.concatenate([item.prediction.predictions for item in items]),
        np.concatenate(held) if len(held) == len(items) else None,
        _ids(items),
        _times(items),
        np.fromiter(itertools.chain.from_iterable(item.sizes for item in items), np.intp),
        np.fromiter(itertools.chain.from_iterable(item.latencies_ms for item in items), np.float64),
    )


def _ids(items: Sequence[Served]) -> list[str | None] | None:
    if all(item.ids is None for item in items):
        return None
    return [value for item in items for value in item.ids or [None] * item.rows]


def _times(items: Sequence[Served]) -> Times:
    came = np.array([item.arrived.replace(tzinfo=None) for item in items], "datetime64[us]")
    arrived = np.repeat(came, [item.rows for item in items])
    if all(item.times is None for item in items):
        return arrived
    given = np.concatenate(
        [np.full(item.rows, _MISSING) if item.times is None else item.times for item in items]
    )
    believable = (given >= _EPOCH) & (given <= arrived + np.timedelta64(FARTHEST_AHEAD))
    return np.where(believable, given, arrived)


def latest_of_requests(starts: Times, sizes: npt.NDArray[np.intp]) -> Times:
    """The latest of the windows' starts of each request's rows, of which it has `sizes`, none 0."""
    found: Times = np.maximum.reduceat(starts, np.cumsum(sizes) - sizes)
    return found


def spell(live: Live, values: Sequence[Any]) -> list[str]:
    """Predictions as windows and the row log spell them: classes as categories are, numbers in full."""
    if live.model.task is Task.REGRESSION:
        return [repr(float(value)) for value in values]
    return [category_text(value) or "" for value in values]
