"""95 % bootstrap intervals of scores, in bounded time.

The percentile bootstrap (Efron, 1979) with `RESAMPLES` resamples. Scores that
depend on classes alone are resampled as counts of (truth, prediction) pairs,
and the area under the ROC curve by weights on sorted rows; both use every row.
Other scores are resampled on at most `MOST_ROWS` rows and the interval is
narrowed by sqrt(m / n), as for an m-out-of-n bootstrap of a root-n consistent
statistic (Bickel, Götze, van Zwet, 1997). Which scores exist is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from pilotage.components import scores
from pilotage.components.scores import Outcomes
from pilotage.core.artifacts import Estimate
from pilotage.core.metrics import Task

Floats = npt.NDArray[np.float64]

RESAMPLES = 200
MOST_ROWS = 4000
MOST_CLASSES = 50
"""With more classes, pairs of them are not fewer than rows."""
_CHUNK = 4_000_000
_BY_CLASS = frozenset(
    {
        "accuracy",
        "balanced_accuracy",
        "f1",
        "jaccard",
        "precision",
        "recall",
        "matthews_corrcoef",
        "positive_likelihood_ratio",
        "neg_negative_likelihood_ratio",
        *(
            f"{name}_{how}"
            for name in ("f1", "jaccard", "precision", "recall")
            for how in ("macro", "micro", "weighted")
        ),
    }
)


def estimate(metric: str, found: Outcomes, seed: int) -> Estimate:
    """The score of `found` with its 95 % interval; all None where it is not defined."""
    value = scores.score(metric, found)
    if value is None or found.rows < 2:
        return Estimate(value=value)
    rng = np.random.default_rng(seed)
    if metric == "roc_auc" and found.margin is not None:
        return _between(value, _areas(found, rng))
    if metric in _BY_CLASS and found.task is Task.CLASSIFICATION and len(found.classes) <= MOST_CLASSES:
        return _between(value, _by_class(metric, found, rng))
    return interval(value, lambda part: scores.score(metric, part), found, rng)


def interval(
    value: float, statistic: Callable[[Outcomes], float | None], found: Outcomes, rng: np.random.Generator
) -> Estimate:
    """The interval of any root-n consistent `statistic`."""
    size = min(found.rows, MOST_ROWS)
    draws = (statistic(found.take(rng.integers(0, found.rows, size))) for _ in range(RESAMPLES))
    return _between(value, draws, shrink=math.sqrt(size / found.rows))


def _between(value: float, draws: Iterable[float | None], shrink: float = 1.0) -> Estimate:
    known = [draw for draw in draws if draw is not None and math.isfinite(draw)]
    if len(known) < RESAMPLES // 2:
        return Estimate(value=value)
    low, high = (float(limit) for limit in np.quantile(known, [0.025, 0.975]))
    low, high = value + (low - value) * shrink, value + (high - value) * shrink
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def _by_class(metric: str, found: Outcomes, rng: np.random.Generator) -> Iterable[float | None]:
    pairs, counts = np.unique(np.column_stack([found.truth, found.predicted]), axis=0, return_counts=True)
    cells = Outcomes(found.task, pairs[:, 0], pairs[:, 1], found.classes)
    for drawn in rng.multinomial(found.rows, counts / found.rows, size=RESAMPLES):
        yield scores.weighted_score(metric, cells, drawn)


def _areas(found: Outcomes, rng: np.random.Generator) -> Floats:
    """Areas under the ROC curve of resamples, as Mann-Whitney statistics with ties counted half."""
    margin = found.margin if found.margin is not None else np.zeros(found.rows)
    order = np.argsort(margin, kind="stable")
    ranked, positive = margin[order], found.truth[order] == 1
    starts = np.flatnonzero(np.diff(ranked, prepend=np.nan) != 0)
    chunk = max(1, _CHUNK // found.rows)
    sizes = [min(chunk, RESAMPLES - start) for start in range(0, RESAMPLES, chunk)]
    return np.concatenate([_chunk_of_areas(positive, starts, size, rng) for size in sizes])


def _chunk_of_areas(
    positive: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64], size: int, rng: np.random.Generator
) -> Floats:
    rows = positive.size
    drawn = rng.integers(0, rows, (size, rows))
    drawn += np.arange(size)[:, None] * rows
    weights = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)
    above = np.add.reduceat(weights * positive, starts, axis=1)
    below = np.add.reduceat(weights * ~positive, starts, axis=1)
    wins = above * (np.cumsum(below, axis=1) - below / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: Floats = wins.sum(axis=1) / (above.sum(axis=1) * below.sum(axis=1))
    return areas
