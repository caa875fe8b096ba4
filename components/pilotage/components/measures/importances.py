"""What the goal's metric loses when a feature tells nothing: permutation importance on held-out rows.

Breiman (2001); Fisher, Rudin and Dominici (2019). Each repeat takes other rows and another
permutation, so the spread of the repeats holds both, and Student's interval of their mean is the
importance's. Features that say the same thing share what they tell: permuting one leaves the other.
How far answers move, which needs no truth, is `training.importances`' question; Shapley values are
`reasons`'.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from pilotage.components.datasets import Dataset
from pilotage.components.measures import scores
from pilotage.components.training.importances import copies
from pilotage.core.artifacts.reasons import Span
from pilotage.core.models import Predictor

ROWS = 1000
"""Of a repeat, at most."""
REPEATS = 8
FEWEST_REPEATS = 3
BUDGET_SECONDS = 4.0
"""Of the processor; the repeat in progress is finished."""
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Drops:
    """What the metric loses."""

    rows: int
    repeats: int
    by_feature: dict[str, Span]
    """Empty where there was no time for `FEWEST_REPEATS`."""


def measure(
    predictor: Predictor, rest: Dataset, metric: str, seed: int, budget_seconds: float = BUDGET_SECONDS
) -> Drops:
    """The loss of `metric` by feature.

    Args:
        predictor: of the judged model.
        rest: the held-out rows.
        metric: a scikit-learn scorer's name.
        seed: of the choice of rows and their permutations.
        budget_seconds: no further repeat begins after so much time.
    """
    rng, begun, size = np.random.default_rng(seed), time.process_time(), min(ROWS, rest.rows)
    found: list[npt.NDArray[np.float64]] = []
    for _ in range(REPEATS):
        drop = _once(predictor, rest.take(rng.permutation(rest.rows)[:size]), metric, rng)
        if drop is not None:
            found.append(drop)
        if time.process_time() - begun > budget_seconds:
            break
    if len(found) < FEWEST_REPEATS:
        return Drops(size, len(found), {})
    table = np.array(found)
    means, reach = table.mean(axis=0), _reach(table)
    spans = {
        feature.name: Span(value=float(mean), low=float(mean - half), high=float(mean + half))
        for feature, mean, half in zip(rest.features, means, reach, strict=True)
    }
    return Drops(size, len(found), spans)


def _reach(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Half of Student's 95 % interval of the mean of each column."""
    repeats = table.shape[0]
    half: npt.NDArray[np.float64] = table.std(axis=0, ddof=1) / np.sqrt(repeats) * stdtrit(repeats - 1, 0.975)
    return half


def _once(
    predictor: Predictor, part: Dataset, metric: str, rng: np.random.Generator
) -> npt.NDArray[np.float64] | None:
    """By feature; None where the metric is not defined on these rows."""
    whole = scores.score(metric, scores.outcomes(predictor, part.frame(), part.target))
    if whole is None:
        return None
    names, found = [feature.name for feature in part.features], list[float]()
    together = max(1, _AT_ONCE // part.rows)
    for place in range(0, len(names), together):
        permuted = names[place : place + together]
        many = copies(part, permuted, rng)
        outcomes = scores.outcomes(predictor, many.frame(), many.target)
        for copy in range(len(permuted)):
            value = scores.score(metric, outcomes.take(np.arange(copy * part.rows, (copy + 1) * part.rows)))
            found.append(0.0 if value is None else whole - value)
    return np.array(found)
