"""How well one column alone tells the target, between not at all (0.5 or 0) and perfectly (1).

Two classes: the area under the ROC curve. More classes: Goodman and Kruskal's tau,
the share of wrong guesses by frequency that are avoided. A number: R² of its ranks,
which one far value does not decide. No row helps to guess itself, so a column with as
many values as rows tells nothing by that alone. A category is guessed from the same
category in other folds, a number from its neighbours in sorted order, which needs no
bins and no model, and finds thresholds and humps. Rows come in random order. What is
too high is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core.metrics import Task

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

REACH = 2
"""Neighbours on either side."""
FOLDS = 5


@dataclass(frozen=True)
class Target:
    """What is to be told, of `n` rows."""

    values: npt.NDArray[Any]
    """Codes of classes from 0 (int64) or ranks of numbers (float64, equal ones alike), shape `(n,)`."""
    classes: int
    """0 for a number."""

    @property
    def measure(self) -> str:
        """What `of_numbers` and `of_categories` give."""
        if not self.classes:
            return "R² of ranks"
        return "area under the ROC curve" if self.classes == 2 else "Goodman and Kruskal's tau"


def target_of(values: npt.NDArray[Any], task: Task) -> Target:
    """The target from its values, classes or numbers, none missing."""
    if task is Task.REGRESSION:
        return Target(_ranks(values), 0)
    names, codes = np.unique(values, return_inverse=True)
    return Target(codes.astype(np.int64), names.size)


def of_numbers(values: Numbers, target: Target) -> float:
    """How well numbers, NaN where missing, tell the target."""
    order = np.argsort(values, kind="stable")  # missing ones are neighbours of each other
    told = target.values[order]
    if target.classes > 2:
        return _tau(_agreement(told), told)
    guessed = np.empty(values.size)
    guessed[order] = _neighbour_means(told.astype(np.float64))
    if not target.classes:
        return _r2(guessed, target.values)
    return max(auc(guessed, target.values), _rank_auc(values, target.values))


def of_order(values: Numbers, target: Target) -> float:
    """How well the order alone tells the target: for times, whose neighbours are alike by nature.

    Numbers are not asked where some are missing, nor are more than two classes.
    """
    if target.classes > 2:
        return 0.0
    if target.classes:
        return _rank_auc(values, target.values)
    return 0.0 if np.isnan(values).any() else _straight(_ranks(values), target.values)


def of_categories(codes: Codes, target: Target) -> float:
    """How well categories, numbered from 0, tell the target."""
    if target.classes > 2:
        return _tau(_category_agreement(codes, target.values), target.values)
    guessed = _out_of_fold(codes, target.values.astype(np.float64))
    return auc(guessed, target.values) if target.classes == 2 else _r2(guessed, target.values)


def auc(score: Numbers, positive: npt.NDArray[Any]) -> float:
    """Area under the ROC curve of `score` for rows where `positive` is 1, else 0; ties count half.

    From the ranks' sum (Mann and Whitney, 1947).
    """
    hits = int(positive.sum())
    misses = positive.size - hits
    if not hits or not misses:
        return 0.5
    above = float(_ranks(score)[positive == 1].sum()) - hits * (hits + 1) / 2
    return above / (hits * misses)


def _ranks(values: Numbers) -> Numbers:
    """Ranks from 1; equal values have the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Numbers = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _rank_auc(values: Numbers, positive: npt.NDArray[Any]) -> float:
    """The larger of both directions, missing values lowest or highest."""
    missing = np.isnan(values)
    if missing.all():
        return 0.5
    ends = (np.nextafter(values[~missing].min(), -np.inf), np.nextafter(values[~missing].max(), np.inf))
    areas = [auc(np.where(missing, end, values), positive) for end in (ends if missing.any() else ends[:1])]
    return max(max(area, 1 - area) for area in areas)


def _neighbour_means(told: Numbers) -> Numbers:
    """Mean of the neighbours of each value, itself left out."""
    centre = float(told.mean())
    sums = np.concatenate([[0.0], np.cumsum(told - centre)])
    places = np.arange(told.size)
    low, high = np.maximum(places - REACH, 0), np.minimum(places + REACH + 1, told.size)
    means: Numbers = (sums[high] - sums[low] - (told - centre)) / (high - low - 1) + centre
    return means


def _agreement(told: Codes) -> float:
    """Share of pairs of neighbours that are of one class."""
    same = [told[step:] == told[:-step] for step in range(1, REACH + 1)]
    return float(np.concatenate(same).mean())


def _category_agreement(codes: Codes, classes: Codes) -> float:
    """Chance that another row of the same category is of the same class; a category of one row has none."""
    rows = np.bincount(codes)
    _, first, pairs = np.unique(
        codes * (int(classes.max()) + 1) + classes, return_index=True, return_counts=True
    )
    others = np.maximum(rows[codes[first]] - 1, 1)
    return float((pairs * (pairs - 1) / others).sum() / codes.size)


def _tau(agreement: float, classes: Codes) -> float:
    """Goodman and Kruskal's tau (1954), from how often rows alike in the column agree in the class."""
    counts, rows = np.bincount(classes), classes.size
    by_frequency = float((counts * (counts - 1)).sum() / (rows * (rows - 1)))
    return 0.0 if by_frequency >= 1 else max(0.0, (agreement - by_frequency) / (1 - by_frequency))


def _out_of_fold(codes: Codes, told: Numbers) -> Numbers:
    """Mean of the same category in the other folds; of everything where there is none."""
    cells = int(codes.max()) + 1
    place = np.arange(codes.size) % FOLDS * cells + codes
    sums = np.bincount(place, told, FOLDS * cells).reshape(FOLDS, cells)
    rows = np.bincount(place, minlength=FOLDS * cells).reshape(FOLDS, cells)
    others = rows.sum(axis=0) - rows
    means = np.where(others > 0, (sums.sum(axis=0) - sums) / np.maximum(others, 1), told.mean())
    found: Numbers = means.ravel()[place]
    return found


def _r2(guessed: Numbers, told: Numbers) -> float:
    spread = float(((told - told.mean()) ** 2).sum())
    return 0.0 if not spread else max(0.0, 1 - float(((told - guessed) ** 2).sum()) / spread)


def _straight(x: Numbers, y: Numbers) -> float:
    """R² of the straight line."""
    x, y = x - x.mean(), y - y.mean()
    product = float((x * x).sum() * (y * y).sum())
    return 0.0 if not product else float((x * y).sum()) ** 2 / product
