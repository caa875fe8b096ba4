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
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pilotage.components.datasets import Dataset
from pilotage.components.training import estimators
from pilotage.core import errors
from pilotage.core.models import Prediction, Predictor

logger = logging.getLogger(__name__)

MOST_ROWS = 2000
FEWEST_ROWS = 50
"""With fewer, the order of features is mostly chance."""
BUDGET_SECONDS = 2.0
"""For all features together."""


def measure(
    predictor: Predictor, rest: Dataset, name: str, *, seed: int, budget_seconds: float = BUDGET_SECONDS
) -> dict[str, float]:
    """The importance of each feature on held-out rows, of 1 together.

    Args:
        predictor: of the fitted estimator.
        rest: the held-out rows.
        name: the estimator's in messages.
        seed: for the choice of rows and their permutation.
        budget_seconds: rows are halved until all features are expected to take no longer.

    Returns:
        Empty where the model is too slow, fails on permuted rows, or answers the same whatever they hold.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(rest.rows)[:MOST_ROWS]
    try:
        part, said = _affordable(predictor, rest, rows, name, budget_seconds)
        if part is None:
            logger.warning("%s answers too slowly to measure how much each feature matters", name)
            return {}
        changes = {
            feature.name: _change(predictor, part, said, feature.name, name, rng) for feature in part.features
        }
    except errors.EstimatorError as error:
        logger.warning("how much each feature matters is not known: %s", error)
        return {}
    total = sum(changes.values())
    return {feature: change / total for feature, change in changes.items()} if total > 0 else {}


def _affordable(
    predictor: Predictor, rest: Dataset, rows: npt.NDArray[np.int64], name: str, budget_seconds: float
) -> tuple[Dataset | None, Prediction]:
    """As many of the rows as the model answers fast enough, and its answers; None where those are too few.

    Halved rather than fitted to the time, so that runs on one machine nearly always agree.
    """
    while True:
        part = rest.take(rows)
        begin = time.perf_counter()
        said = estimators.predict(predictor, part, name)
        if (time.perf_counter() - begin) * len(part.features) <= budget_seconds:
            return part, said
        if len(rows) // 2 < FEWEST_ROWS:
            return None, said
        rows = rows[: len(rows) // 2]


def _change(
    predictor: Predictor, part: Dataset, said: Prediction, feature: str, name: str, rng: np.random.Generator
) -> float:
    """How far the answers move, on average, when the values of `feature` are permuted."""
    permuted = part.columns[feature][rng.permutation(part.rows)]
    changed = replace(part, columns={**part.columns, feature: permuted})
    numbered = bool(predictor.model.classes) and predictor.model.positive is None
    return _distance(said, estimators.predict(predictor, changed, name), numbered=numbered)


def _distance(one: Prediction, two: Prediction, *, numbered: bool) -> float:
    """Mean total variation distance of the probabilities; without any, mean difference of the scores.

    Where scores without probabilities are but `numbered` classes, it is the share of other classes.
    """
    if one.probabilities is not None and two.probabilities is not None:
        return float(np.abs(one.probabilities - two.probabilities).sum(axis=1).mean() / 2)
    if numbered:
        return float((one.score != two.score).mean())
    return float(np.abs(one.score - two.score).mean())
