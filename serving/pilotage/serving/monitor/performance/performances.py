"""How well a version really did: its metric on the rows whose labels have come.

The metric is scikit-learn's scorer of that name, asked about recorded predictions, so
that it means what it meant in evaluation. Sources: DeLong, DeLong and Clarke-Pearson
(1988) for the area under the ROC curve; Efron (1979) for everything else.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer

from pilotage.core.artifacts import Estimate, Performance
from pilotage.core.metrics import Task, task_of
from pilotage.serving.monitor.performance.outcomes import Outcomes

LEAST_LABELLED = 100
"""Labelled rows from which performance is judged."""
LEAST_OF_A_CLASS = 10
"""Of them, rows of each of at least two classes."""
DRAWS = 200
"""Bootstrap samples; fewer for large windows, see `_draws`."""
_Z95 = 1.959963984540054


class _Recorded(BaseEstimator):  # type: ignore[misc]
    """Answers with what was predicted; its rows are positions in the record."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes

    def predict(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        return self.outcomes.predictions[rows]


class _RecordedNumbers(RegressorMixin, _Recorded):  # type: ignore[misc]
    pass


class _RecordedClasses(ClassifierMixin, _Recorded):  # type: ignore[misc]
    def __init__(self, outcomes: Outcomes, classes: int) -> None:
        super().__init__(outcomes)
        self.classes_ = np.arange(classes, dtype=np.float64)

    def decision_function(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        return self.outcomes.score[rows]


class _RecordedProbabilities(_RecordedClasses):
    def predict_proba(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        assert self.outcomes.probabilities is not None  # noqa: S101 - chosen by `recorded`
        return self.outcomes.probabilities[rows]


@dataclass(frozen=True)
class Scored:
    """A metric and its standard error; NaN where it cannot be computed."""

    value: float
    error: float


def evaluate(
    outcomes: Outcomes, metric: str, classes: int, reference: Estimate, max_drop: float, rate: float
) -> Performance | None:
    """The realized `metric` beside the `reference` of the version's scorecard.

    It has dropped when it lies at least `max_drop` below the reference and a one-sided
    test at level `rate` says that it is below, with the errors of both values.

    Args:
        outcomes: labelled rows of the window.
        metric: name of a scikit-learn scorer.
        classes: number of classes; 0 for regression.
        reference: its value on held-out rows.
        max_drop: smallest drop that matters.
        rate: how often a drop may be claimed where there is none.

    Returns:
        None when the reference has no value to compare with.
    """
    expected = reference.value
    if expected is None:
        return None
    labelled = len(outcomes.truth)
    unknown = Performance(
        metric=metric, value=None, reference=expected, labelled=labelled, rows=outcomes.logged, dropped=False
    )
    obstacle = _obstacle(outcomes, metric)
    if obstacle:
        return unknown.model_copy(update={"reason": obstacle})
    scored = score(outcomes, metric, classes)
    if np.isnan(scored.value):
        return unknown.model_copy(update={"reason": f"{metric} is not defined for these rows"})
    low, high = scored.value - _Z95 * scored.error, scored.value + _Z95 * scored.error
    error = float(np.hypot(scored.error, _reference_error(reference)))
    drop = expected - scored.value
    dropped = bool(drop >= max_drop and drop > float(special.ndtri(1 - rate)) * error)
    certain = not np.isnan(scored.error)
    return unknown.model_copy(
        update={
            "value": scored.value,
            "low": low if certain else None,
            "high": high if certain else None,
            "dropped": dropped,
            "reason": _reason(drop, max_drop, outcomes, dropped=dropped),
        }
    )


def _obstacle(outcomes: Outcomes, metric: str) -> str:
    """Why the metric cannot be judged yet, or nothing."""
    labelled = len(outcomes.truth)
    if labelled < LEAST_LABELLED:
        return f"{labelled} labelled rows; at least {LEAST_LABELLED} are needed"
    if task_of(metric) is Task.CLASSIFICATION:
        _, counts = np.unique(outcomes.truth, return_counts=True)
        if (counts >= LEAST_OF_A_CLASS).sum() < 2:
            return f"fewer than two classes have {LEAST_OF_A_CLASS} labelled rows"
    return ""


def _reference_error(reference: Estimate) -> float:
    if reference.low is None or reference.high is None:
        return 0.0
    return (reference.high - reference.low) / (2 * _Z95)


def _reason(drop: float, max_drop: float, outcomes: Outcomes, *, dropped: bool) -> str:
    parts = []
    if dropped:
        parts.append(f"{drop:.3g} below the reference; {max_drop:g} is tolerated")
    elif drop >= max_drop:
        parts.append(f"{drop:.3g} below the reference, but that may be chance with so few labelled rows")
    if outcomes.unusable:
        parts.append(
            f"{outcomes.unusable} labels are none of the model's classes or no number and were left out"
        )
    return "; ".join(parts)


def score(outcomes: Outcomes, metric: str, classes: int) -> Scored:
    """`metric` on all labelled rows, with its standard error."""
    if metric == "roc_auc":
        return _auc(outcomes)
    scorer, record = get_scorer(metric), recorded(outcomes, metric, classes)
    value = _asked(scorer, record, outcomes, np.arange(len(outcomes.truth)))
    generator = np.random.default_rng(0)
    size = len(outcomes.truth)
    samples = (generator.integers(0, size, size) for _ in range(_draws(size)))
    values = np.array([_asked(scorer, record, outcomes, sample) for sample in samples])
    values = values[np.isfinite(values)]
    return Scored(value, float(values.std(ddof=1)) if len(values) > 1 else float("nan"))


def _draws(size: int) -> int:
    """Bootstrap samples for which some 4 million rows are scored at most, but at least 50."""
    return int(np.clip(4_000_000 // max(size, 1), 50, DRAWS))


def recorded(outcomes: Outcomes, metric: str, classes: int) -> _Recorded:
    """An estimator that answers what was predicted, for scorers; rows are positions in `outcomes`."""
    if task_of(metric) is Task.REGRESSION:
        return _RecordedNumbers(outcomes)
    if outcomes.probabilities is None:
        return _RecordedClasses(outcomes, classes)
    return _RecordedProbabilities(outcomes, classes)


def _asked(scorer: Any, record: _Recorded, outcomes: Outcomes, rows: npt.NDArray[np.intp]) -> float:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class that a sample lacks; the value says enough
            return float(scorer(record, rows, outcomes.truth[rows]))
    except (ValueError, AttributeError):
        return float("nan")


def _auc(outcomes: Outcomes) -> Scored:
    """Area under the ROC curve and DeLong's standard error, from midranks (Sun and Xu, 2014)."""
    positive = outcomes.truth == 1
    scores = outcomes.score if outcomes.probabilities is None else outcomes.probabilities[:, 1]
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        return Scored(float("nan"), float("nan"))
    ranks = stats.rankdata(scores)
    of_positive = (ranks[positive] - stats.rankdata(scores[positive])) / n
    of_negative = 1 - (ranks[~positive] - stats.rankdata(scores[~positive])) / m
    variance = of_positive.var(ddof=1) / m + of_negative.var(ddof=1) / n
    return Scored(float(of_positive.mean()), float(np.sqrt(variance)))
