"""Class metrics from counts of (truth, prediction) pairs, for many resamples at once.

The formulas are scikit-learn's with its conventions for classes without rows
(`zero_division` as 0); a test holds them against its scorers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_RATES = ("f1", "jaccard", "precision", "recall")
_AVERAGES = ("macro", "micro", "weighted")
METRICS = frozenset(
    {
        "accuracy",
        "balanced_accuracy",
        "matthews_corrcoef",
        *_RATES,
        *(f"{rate}_{average}" for rate in _RATES for average in _AVERAGES),
    }
)
"""Metrics that `values` knows; those without an average are for two classes."""


def values(metric: str, counts: Floats) -> Floats:
    """The metric of each of `r` resamples.

    Args:
        metric: one of `METRICS`.
        counts: shape `(r, classes, classes)`, truth before prediction, of two classes the positive last.

    Returns:
        Shape `(r,)`; NaN where it is not defined.
    """
    right = np.diagonal(counts, axis1=1, axis2=2)
    actual, said = counts.sum(axis=2), counts.sum(axis=1)
    if metric == "accuracy":
        return _ratio(right.sum(axis=1), actual.sum(axis=1))
    if metric == "balanced_accuracy":
        return _ratio(_ratio(right, actual).sum(axis=1), (actual > 0).sum(axis=1))
    if metric == "matthews_corrcoef":
        return _matthews(right.sum(axis=1), actual, said)
    rate, _, average = metric.partition("_")
    return _averaged(rate, average, right, actual, said)


def _averaged(rate: str, average: str, right: Floats, actual: Floats, said: Floats) -> Floats:
    if average == "micro":
        parts = [part.sum(axis=1, keepdims=True) for part in (right, actual, said)]
        return _rate(rate, *parts)[:, 0]
    by_class = _rate(rate, right, actual, said)
    if average == "macro":
        return _ratio(by_class.sum(axis=1), ((actual + said) > 0).sum(axis=1))
    if average == "weighted":
        return _ratio((by_class * actual).sum(axis=1), actual.sum(axis=1))
    return by_class[:, -1]


def _rate(rate: str, right: Floats, actual: Floats, said: Floats) -> Floats:
    if rate == "f1":
        return _ratio(2 * right, actual + said)
    if rate == "jaccard":
        return _ratio(right, actual + said - right)
    return _ratio(right, said if rate == "precision" else actual)


def _matthews(right: Floats, actual: Floats, said: Floats) -> Floats:
    """Gorodkin (2004), equation for more than two classes."""
    rows = actual.sum(axis=1)
    covariance = right * rows - (actual * said).sum(axis=1)
    spread = (rows**2 - (said**2).sum(axis=1)) * (rows**2 - (actual**2).sum(axis=1))
    return _ratio(covariance, np.sqrt(spread))


def _ratio(above: Floats, below: Floats) -> Floats:
    """`above / below`, 0 where that is 0 / 0."""
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)
