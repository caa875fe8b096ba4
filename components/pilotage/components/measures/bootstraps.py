"""95 % bootstrap intervals of scores, in bounded time.

The percentile bootstrap (Efron, 1979) with `RESAMPLES` resamples. Scores that
depend on classes alone are resampled as counts of (truth, prediction) pairs,
and the area under the ROC curve of two classes by weights on sorted rows; both
use every row.
means of something of each row on at most `MOST_ROWS` rows at once, without a
scorer. Other scores are resampled on at most `MOST_ROWS` rows. Where not all rows
are used the interval is narrowed by sqrt(m / n), as for an m-out-of-n bootstrap of a root-n consistent
statistic (Bickel, Götze, van Zwet, 1997). Which scores exist is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from pilotage.components.measures import confusions, scores
from pilotage.components.measures.scores import Outcomes
from pilotage.core.artifacts import Estimate

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]

RESAMPLES = 200
MOST_ROWS = 4000
MOST_CLASSES = 50
"""With more classes, pairs of them are not fewer than rows."""
_CHUNK = 4_000_000


def estimate(metric: str, found: Outcomes, seed: int) -> Estimate:
    """The score of `found` with its 95 % interval; all None where it is not defined."""
    value = scores.score(metric, found)
    if value is None or found.rows < 2:
        return Estimate(value=value)
    return between(value, draws(metric, value, found, np.random.default_rng(seed)))


def draws(metric: str, value: float, found: Outcomes, rng: np.random.Generator) -> Floats:
    """Scores of resamples of at least two rows whose score is `value`, where defined; at most `RESAMPLES`."""
    if metric == "roc_auc" and found.margin is not None:
        return _finite(_areas([found.margin], [found.truth == 1], rng))
    if metric == "roc_auc_ovr" and found.probabilities is not None:
        return _one_against_rest(value, found, rng)
    if metric in confusions.METRICS and 2 <= len(found.classes) <= MOST_CLASSES:
        return _finite(_by_class(metric, found, rng))
    each = scores.of_rows(metric, found)
    if each is not None:
        return _means(value, each, rng, root="root" in metric)
    return _resampled(value, lambda part: scores.score(metric, part), found, rng)


def means(each: Floats, rng: np.random.Generator) -> Floats:
    """Means of resamples of a number of each row."""
    return _means(float(each.mean()), each, rng, root=False)


def interval(
    value: float, statistic: Callable[[Outcomes], float | None], found: Outcomes, rng: np.random.Generator
) -> Estimate:
    """The interval of any root-n consistent `statistic`."""
    return between(value, _resampled(value, statistic, found, rng))


def between(value: float, drawn: Floats) -> Estimate:
    """The value and the interval that resamples give; none where too few of them are defined."""
    if drawn.size < RESAMPLES // 2:
        return Estimate(value=value)
    low, high = (float(limit) for limit in np.quantile(drawn, [0.025, 0.975]))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def _resampled(
    value: float, statistic: Callable[[Outcomes], float | None], found: Outcomes, rng: np.random.Generator
) -> Floats:
    size = min(found.rows, MOST_ROWS)
    drawn = [statistic(found.take(rng.integers(0, found.rows, size))) for _ in range(RESAMPLES)]
    return _narrowed(value, [draw for draw in drawn if draw is not None], size, found.rows)


def _means(value: float, each: Floats, rng: np.random.Generator, *, root: bool) -> Floats:
    """Of losses of rows; `root` takes the square root of the mean, whose sign is negative."""
    size = min(each.size, MOST_ROWS)
    drawn = each[rng.integers(0, each.size, (RESAMPLES, size))].mean(axis=1)
    return _narrowed(value, -np.sqrt(-drawn) if root else drawn, size, each.size)


def _narrowed(value: float, drawn: Iterable[float] | Floats, size: int, rows: int) -> Floats:
    return value + (_finite(drawn) - value) * math.sqrt(size / rows)


def _finite(drawn: Iterable[float] | Floats) -> Floats:
    found = np.asarray(list(drawn), dtype=np.float64)
    return found[np.isfinite(found)]


def _by_class(metric: str, found: Outcomes, rng: np.random.Generator) -> Iterable[float]:
    classes = len(found.classes)
    pairs = np.bincount(found.truth * classes + found.predicted, minlength=classes**2)
    drawn = rng.multinomial(found.rows, pairs / found.rows, size=RESAMPLES)
    counts = drawn.reshape(RESAMPLES, classes, classes).astype(np.float64)
    return [float(value) for value in confusions.values(metric, counts)]


def _one_against_rest(value: float, found: Outcomes, rng: np.random.Generator) -> Floats:
    part = found
    if found.rows > MOST_ROWS:
        part = found.take(rng.permutation(found.rows)[:MOST_ROWS])
    middle = scores.score("roc_auc_ovr", part)
    if part.probabilities is None or middle is None:
        return np.empty(0)
    classes = range(len(part.classes))
    margins = [part.probabilities[:, place] for place in classes]
    areas = _areas(margins, [part.truth == place for place in classes], rng)
    return _narrowed(value, areas - middle + value, part.rows, found.rows)


def _areas(margins: Sequence[Floats], truths: Sequence[Truths], rng: np.random.Generator) -> Floats:
    """Areas under the ROC curve of resamples, averaged over `margins`; shape `(resamples,)`."""
    rows = truths[0].size
    chunk = max(1, _CHUNK // rows)
    sizes = [min(chunk, RESAMPLES - start) for start in range(0, RESAMPLES, chunk)]
    return np.concatenate([_chunk_of_areas(margins, truths, size, rng) for size in sizes])


def _chunk_of_areas(
    margins: Sequence[Floats], truths: Sequence[Truths], size: int, rng: np.random.Generator
) -> Floats:
    rows = truths[0].size
    drawn = rng.integers(0, rows, (size, rows)) + np.arange(size)[:, None] * rows
    weights = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
    areas = [_area(margin, truth, weights) for margin, truth in zip(margins, truths, strict=True)]
    mean: Floats = np.mean(areas, axis=0)
    return mean


def _area(margin: Floats, truth: Truths, weights: npt.NDArray[np.int64]) -> Floats:
    """The Mann-Whitney statistic with ties counted half, for each row of `weights`."""
    order = np.argsort(margin, kind="stable")
    starts = np.flatnonzero(np.diff(margin[order], prepend=np.nan) != 0)
    ranked = weights[:, order].astype(np.float64)
    above = np.add.reduceat(ranked * truth[order], starts, axis=1)
    below = np.add.reduceat(ranked * ~truth[order], starts, axis=1)
    wins = above * (np.cumsum(below, axis=1) - below / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: Floats = wins.sum(axis=1) / (above.sum(axis=1) * below.sum(axis=1))
    return areas
