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
_CALLS = 100
"""Single rows of a round."""
_LEAST_CALLS = 200
"""That a 99th percentile takes."""
_RESAMPLES = 200
_BLOCK_SECONDS = 0.25
"""After which a round leaves a slow model, at its first call at the earliest."""
_Times = npt.NDArray[np.float64]
_Rounds = list[_Times]
"""Of one model: microseconds a row of each call, by round."""


@dataclass(frozen=True)
class Time:
    """How fast one is."""

    row_microseconds: float
    row: Share
    row_p99_microseconds: float | None
    row_p99: Share | None
    """None of fewer than 200 calls."""
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
    return [_time(alone[place], alone[0], together[place], together[0]) for place in range(len(models))]


def _time(alone: _Rounds, first_alone: _Rounds, together: _Rounds, first_together: _Rounds) -> Time:
    rows, batches = _medians(alone), _medians(together)
    tail = _tail(alone, first_alone)
    return Time(
        row_microseconds=float(np.median(rows)),
        row=_share(rows, _medians(first_alone)),
        row_p99_microseconds=_p99(alone) if tail is not None else None,
        row_p99=tail,
        batch_microseconds=float(np.median(batches)),
        batch=_share(batches, _medians(first_together)),
    )


def _columns(rows: Dataset, places: Sequence[int]) -> Columns:
    return {name: values[np.asarray(places)] for name, values in rows.columns.items()}


def _rounds(models: Sequence[Answering], asked: Sequence[Columns], rows: int) -> list[_Rounds]:
    """Every model's times."""
    for model in models:
        model.predict(asked[0])
    found: list[_Rounds] = [[] for _ in models]
    for number in range(ROUNDS):
        for step in range(len(models)):
            place = (step + number) % len(models)
            found[place].append(_block(models[place], asked) * 1e6 / rows)
    return found


def _block(model: Answering, asked: Sequence[Columns]) -> _Times:
    end, taken = time.perf_counter() + _BLOCK_SECONDS, []
    for columns in asked:
        began = time.perf_counter()
        model.predict(columns)
        now = time.perf_counter()
        taken.append(now - began)
        if now > end:
            break
    return np.array(taken)


def _medians(rounds: _Rounds) -> _Times:
    return np.array([float(np.median(calls)) for calls in rounds])


def _p99(rounds: _Rounds) -> float:
    return float(np.percentile(np.concatenate(rounds), 99))


def _tail(mine: _Rounds, first: _Rounds) -> Share | None:
    """The share of 99th percentiles, with a 95 % interval: both are taken of the same resampled rounds."""
    if min(sum(map(len, mine)), sum(map(len, first))) < _LEAST_CALLS:
        return None
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(_RESAMPLES):
        places = rng.integers(0, len(first), len(first))
        draws.append(_p99([mine[place] for place in places]) / _p99([first[place] for place in places]))
    low, high = np.percentile(draws, [2.5, 97.5])
    return Share(value=_p99(mine) / _p99(first), low=float(low), high=float(high))


def _share(mine: _Times, first: _Times) -> Share:
    low, middle, high = np.percentile(mine / first, [25, 50, 75])
    return Share(value=float(middle), low=float(low), high=float(high))
