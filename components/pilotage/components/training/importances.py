"""How much a fitted model's answers depend on each feature, for the monitor to weigh what drifts.

A feature's column is permuted over some held-out rows and the model is asked again
(permutation importance; Breiman, 2001; Fisher, Rudin and Dominici, 2019). What counts is how
far the answers move, not how much worse they become, so no truth is needed: a shift in
a feature that the model leans on matters before labels come. Features that say the
same thing share what they tell. Shapley values of single rows are the server's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pilotage.components.datasets import Dataset
from pilotage.components.training import estimators
from pilotage.core import errors
from pilotage.core.models import Prediction, Predictor

logger = logging.getLogger(__name__)

ROUNDS = (60, 120, 240, 480, 1100)
"""Rows of each round; there are as many rounds as there is time for, and the first must be had."""
BUDGET_SECONDS = 2.0
"""Of the processor, so that a busy machine measures as well as an idle one."""
_MOST_WAIT = 10
"""Seconds of the clock for each second of the budget, for models that wait instead of computing."""
_MOST_AT_ONCE = 10_000
"""Rows of a call: many features share one, for with few rows most of its time is spent on getting ready."""


def measure(
    predictor: Predictor, rest: Dataset, name: str, *, seed: int, budget_seconds: float = BUDGET_SECONDS
) -> dict[str, float]:
    """The importance of each feature on up to 2,000 held-out rows, of 1 together.

    Args:
        predictor: of the fitted estimator.
        rest: the held-out rows.
        name: the estimator's in messages.
        seed: for the choice of rows and their permutation.
        budget_seconds: processor time that it may take; one call of the model can go beyond it.

    Returns:
        Empty where the model is too slow, fails on permuted rows, or answers the same whatever they hold.
    """
    rng = np.random.default_rng(seed)
    try:
        with threadpool_limits(limits=1):  # for few rows, more threads mostly wait for each other
            changes = _in_rounds(predictor, rest, name, rng, budget_seconds)
    except errors.EstimatorError as error:
        logger.warning("how much each feature matters is not known: %s", error)
        return {}
    if changes is None:
        logger.warning("%s answers too slowly to measure how much each feature matters", name)
        return {}
    total = float(changes.sum())
    if total <= 0:
        return {}
    return {item.name: float(change) / total for item, change in zip(rest.features, changes, strict=True)}


class _Spent:
    """Time since it was made."""

    def __init__(self) -> None:
        self._processor, self._clock = time.process_time(), time.perf_counter()

    @property
    def seconds(self) -> float:
        """Of the processor, or a tenth of the clock's where that is more."""
        waited = (time.perf_counter() - self._clock) / _MOST_WAIT
        return max(time.process_time() - self._processor, waited)


def _in_rounds(
    predictor: Predictor, rest: Dataset, name: str, rng: np.random.Generator, budget_seconds: float
) -> npt.NDArray[np.float64] | None:
    """How far the answers moved by feature, over as many rounds as there was time for; None for none."""
    order, spent = rng.permutation(rest.rows), _Spent()
    changes, used, pace = np.zeros(len(rest.features)), 0, 0.0
    for rows in ROUNDS:
        part, before = rest.take(order[used : used + rows]), spent.seconds
        if not part.rows or before + pace * part.rows > budget_seconds:
            break
        found = _changes(predictor, part, name, rng, spent, budget_seconds)
        if found is None:
            break
        changes, used = changes + found, used + part.rows
        pace = (spent.seconds - before) / part.rows
    return changes if used else None


def _changes(
    predictor: Predictor,
    part: Dataset,
    name: str,
    rng: np.random.Generator,
    spent: _Spent,
    budget_seconds: float,
) -> npt.NDArray[np.float64] | None:
    """How far the answers move when a feature is permuted, by feature, summed over rows; None if too late."""
    before = spent.seconds
    said = estimators.predict(predictor, part, name)
    after = spent.seconds
    calls = (budget_seconds - after) / 4 / max(after - before, 1e-9)
    at_once = max(1, min(_MOST_AT_ONCE // part.rows, int(calls)))
    found: list[npt.NDArray[np.float64]] = []
    for place in range(0, len(part.features), at_once):
        if spent.seconds > budget_seconds:
            return None
        permuted = [feature.name for feature in part.features[place : place + at_once]]
        changed = estimators.predict(predictor, copies(part, permuted, rng), name)
        numbered = bool(predictor.model.classes) and predictor.model.positive is None
        found.append(_distances(said, changed, numbered=numbered).sum(axis=1))
    return np.concatenate(found)


def copies(part: Dataset, permuted: Sequence[str], rng: np.random.Generator) -> Dataset:
    """The rows once for each of the features `permuted`, each time with the values of that one permuted."""
    columns = {name: np.tile(column, len(permuted)) for name, column in part.columns.items()}
    for copy, name in enumerate(permuted):
        rows = slice(copy * part.rows, (copy + 1) * part.rows)
        columns[name][rows] = part.columns[name][rng.permutation(part.rows)]
    return Dataset(part.features, columns, np.tile(part.target, len(permuted)))


def _distances(one: Prediction, many: Prediction, *, numbered: bool) -> npt.NDArray[np.float64]:
    """Of the answers `many` for copies of `n` rows from those for the rows, shape `(copies, n)`.

    Total variation distances of the probabilities; without any, differences of the scores; where
    these are but `numbered` classes, 1 for another class.
    """
    rows = len(one.score)
    found: npt.NDArray[np.float64]
    if one.probabilities is not None and many.probabilities is not None:
        copies = many.probabilities.reshape(-1, *one.probabilities.shape)
        found = np.abs(copies - one.probabilities).sum(axis=2) / 2
        return found
    scores = many.score.reshape(-1, rows)
    found = (scores != one.score).astype(np.float64) if numbered else np.abs(scores - one.score)
    return found
