"""How fast models are beside each other: measured in turn, so that a busy machine slows all of them.

Each round asks every model for the same rows, in an order that changes; what counts are
the shares of one round, for times of different rounds may not be compared.
How fast one model is alone is `latencies`' question.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pilotage.components.datasets import Dataset
from pilotage.core.artifacts import Share
from pilotage.core.features import Columns
from pilotage.core.models import Answering

BATCH_ROWS = 1000
ROUNDS = 15
_CALLS = 40
"""Single rows of a round."""
_BLOCK_SECONDS = 0.25
"""After which a round leaves a slow model, at its first call at the earliest."""
_Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Time:
    """How fast one is."""

    row_microseconds: float
    row: Share
    batch_microseconds: float
    """For each row of a batch."""
    batch: Share


def run(models: Sequence[Answering], rows: Dataset) -> list[Time]:
    """Times of `models`, as shares of the first one's."""
    size = min(rows.rows, BATCH_ROWS)
    singles = [
        _columns(rows, [place]) for place in np.linspace(0, rows.rows - 1, min(_CALLS, rows.rows)).astype(int)
    ]
    batch = _columns(rows, list(range(size)))
    with threadpool_limits(1):
        alone = _rounds(models, singles, 1)
        together = _rounds(models, [batch], size)
    return [
        Time(
            row_microseconds=float(np.median(alone[place])),
            row=_share(alone[place], alone[0]),
            batch_microseconds=float(np.median(together[place])),
            batch=_share(together[place], together[0]),
        )
        for place in range(len(models))
    ]


def _columns(rows: Dataset, places: Sequence[int]) -> Columns:
    return {name: values[np.asarray(places)] for name, values in rows.columns.items()}


def _rounds(models: Sequence[Answering], asked: Sequence[Columns], rows: int) -> _Times:
    """Microseconds a row, shape `(models, rounds)`: of a round the median call."""
    for model in models:
        model.predict(asked[0])
    found = np.empty((len(models), ROUNDS))
    for number in range(ROUNDS):
        for step in range(len(models)):
            place = (step + number) % len(models)
            found[place, number] = _block(models[place], asked) * 1e6 / rows
    return found


def _block(model: Answering, asked: Sequence[Columns]) -> float:
    end, taken = time.perf_counter() + _BLOCK_SECONDS, []
    for columns in asked:
        began = time.perf_counter()
        model.predict(columns)
        now = time.perf_counter()
        taken.append(now - began)
        if now > end:
            break
    return float(np.median(taken))


def _share(mine: _Times, first: _Times) -> Share:
    low, middle, high = np.percentile(mine / first, [25, 50, 75])
    return Share(value=float(middle), low=float(low), high=float(high))
