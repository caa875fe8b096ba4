"""Differences between the groups of a column.

Demographic parity difference: the largest minus the smallest selection rate
(Agarwal, Beygelzimer, Dudik, Langford, Wallach, 2018). Equalized odds
difference: the larger of the spreads of true and of false positive rates
(Hardt, Price, Srebro, 2016). With more than two classes each class is taken as
positive in turn and the largest difference counts. Groups of fewer than
`FEWEST_ROWS` rows are left out. Whether a difference is too large is a gate's
question.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pilotage.components.measures import scores
from pilotage.components.measures.scores import Outcomes
from pilotage.core import features
from pilotage.core.artifacts import Fairness, Group
from pilotage.core.metrics import Task

FEWEST_ROWS = 30
MOST_GROUPS = 10
"""Numbers with more different values are grouped at their quantiles."""
QUANTILES = 4
MISSING = "(missing)"

Labels = npt.NDArray[np.object_]


def compare(by: str, groups: Labels, found: Outcomes, metric: str) -> Fairness:
    """The groups of column `by` side by side.

    Args:
        by: the column's name.
        groups: name of each row's group, shape `(n,)`, as `name_groups` gives it.
        found: predictions of the same rows.
        metric: the goal's, for the difference between groups.
    """
    names, counts = np.unique(groups, return_counts=True)
    kept = names[counts >= FEWEST_ROWS]
    parts = {str(name): found.take(groups == name) for name in kept}
    described = tuple(_group(name, part, metric) for name, part in parts.items())
    parity, odds = None, None
    if found.task is Task.CLASSIFICATION and len(parts) >= 2:
        positives = [1] if found.binary else list(range(len(found.classes)))
        rates = [[_rates(part, positive) for part in parts.values()] for positive in positives]
        parity = _largest(_spread(rate[0] for rate in by_group) for by_group in rates)
        odds = _largest(_spread(rate[side] for rate in by_group) for by_group in rates for side in (1, 2))
    return Fairness(
        by=by,
        demographic_parity_difference=parity,
        equalized_odds_difference=odds,
        group_metric_difference=_spread(group.metric for group in described),
        groups=described,
        left_out=int(counts[counts < FEWEST_ROWS].sum()),
    )


def name_groups(values: npt.NDArray[np.generic]) -> Labels:
    """The group of each value: itself, or a range for numbers and times with many different values."""
    if values.dtype.kind in "fM":
        return _name_numbers(values)
    return np.array([MISSING if value is None else str(value) for value in values.tolist()], dtype=object)


def _name_numbers(values: npt.NDArray[np.generic]) -> Labels:
    missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    present = values[~missing]
    names = np.full(values.shape, MISSING, dtype=object)
    if not present.size:
        return names
    distinct = np.unique(present)
    if distinct.size <= MOST_GROUPS:
        names[~missing] = [_text(value) for value in present]
        return names
    edges = np.unique(np.quantile(present, np.linspace(0, 1, QUANTILES + 1), method="inverted_cdf"))
    place = np.clip(np.searchsorted(edges, present, side="left") - 1, 0, max(edges.size - 2, 0))
    ranges = [f"{_text(low)} to {_text(high)}" for low, high in itertools.pairwise(edges)]
    names[~missing] = np.array(ranges, dtype=object)[place]
    return names


def _text(value: object) -> str:
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[D]"))
    return (
        str(features.category_text(value)) if float(str(value)).is_integer() else f"{float(str(value)):.4g}"
    )


def _group(name: str, part: Outcomes, metric: str) -> Group:
    rates: tuple[float | None, float | None, float | None] = (None, None, None)
    if part.binary:
        rates = _rates(part, 1)
    return Group(
        value=name,
        rows=part.rows,
        selection_rate=rates[0],
        true_positive_rate=rates[1],
        false_positive_rate=rates[2],
        metric=scores.score(metric, part),
    )


def _rates(part: Outcomes, positive: int) -> tuple[float | None, float | None, float | None]:
    """Selection rate, true positive rate and false positive rate; None without rows to tell by."""
    selected, actual = part.predicted == positive, part.truth == positive
    return _mean(selected), _mean(selected[actual]), _mean(selected[~actual])


def _mean(truths: npt.NDArray[np.bool_]) -> float | None:
    return float(truths.mean()) if truths.size else None


def _spread(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return max(known) - min(known) if len(known) >= 2 else None


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
