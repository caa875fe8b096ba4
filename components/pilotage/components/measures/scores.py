"""What predictions are worth by scikit-learn's scorers, on predictions that are already made.

Scorers ask estimators; here they ask what is stored, so that a model predicts
the held-out rows once for all metrics, slices and resamples. Classes are
numbered, the positive one last, so that every scorer means the same class.
Intervals are the work of `bootstraps`.
"""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer

from pilotage.core.artifacts import Scalar
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction, Predictor

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

BINARY = (
    "roc_auc",
    "average_precision",
    "neg_log_loss",
    "neg_brier_score",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
)
MULTICLASS = ("accuracy", "balanced_accuracy", "f1_macro", "neg_log_loss", "roc_auc_ovr")
REGRESSION = ("neg_mean_absolute_error", "neg_root_mean_squared_error", "neg_median_absolute_error", "r2")


@dataclass(frozen=True)
class Outcomes:
    """Truth and prediction of `n` rows; classes are numbers from 0, of two the positive one is 1."""

    task: Task
    truth: Array
    """int64 class numbers or float64, shape `(n,)`."""
    predicted: Array
    """Likewise."""
    classes: tuple[Scalar, ...] = ()
    """What the numbers stand for."""
    probabilities: npt.NDArray[np.float64] | None = None
    """Shape `(n, classes)`; None where the estimator has none."""
    margin: npt.NDArray[np.float64] | None = None
    """Of two classes: larger where the positive one is likelier."""

    @property
    def rows(self) -> int:
        return int(self.truth.shape[0])

    @property
    def binary(self) -> bool:
        return len(self.classes) == 2

    def take(self, rows: npt.NDArray[Any]) -> Outcomes:
        """The outcomes of some rows, by position or mask."""
        return Outcomes(
            task=self.task,
            truth=self.truth[rows],
            predicted=self.predicted[rows],
            classes=self.classes,
            probabilities=None if self.probabilities is None else self.probabilities[rows],
            margin=None if self.margin is None else self.margin[rows],
        )


def standard_metrics(task: Task, classes: int) -> tuple[str, ...]:
    """Metrics that every scorecard of the task shows."""
    if task is Task.REGRESSION:
        return REGRESSION
    return BINARY if classes == 2 else MULTICLASS


def outcomes(
    predictor: Predictor, frame: Any, truth: Array, order: tuple[Scalar, ...] | None = None
) -> Outcomes:
    """What `predictor` makes of `frame`, beside what is true.

    Args:
        predictor: what is asked.
        frame: `n` rows of its input.
        truth: classes or numbers, shape `(n,)`.
        order: the classes in the order of their numbers, more than it knows perhaps; its own when left out.
    """
    return judge(predictor, predictor.predict_frame(frame), truth, order)


def judge(
    predictor: Predictor, found: Prediction, truth: Array, order: tuple[Scalar, ...] | None = None
) -> Outcomes:
    """As `outcomes`, of the predictions `found` that `predictor` has already made."""
    model = predictor.model
    if model.task is Task.REGRESSION:
        return Outcomes(Task.REGRESSION, np.asarray(truth, dtype=np.float64), found.predictions)
    order = order or class_order(model.classes, model.positive)
    predicted = numbered(found.predictions, order)
    probabilities, margin = found.probabilities, None
    if probabilities is not None:
        known = [place for place, value in enumerate(order) if value in model.classes]
        widened = np.zeros((probabilities.shape[0], len(order)))
        widened[:, known] = probabilities[:, [model.classes.index(order[place]) for place in known]]
        probabilities = widened
    if len(order) == 2:
        scored = probabilities is not None or hasattr(predictor.estimator, "decision_function")
        margin = found.score if scored else predicted.astype(np.float64)
    return Outcomes(
        task=Task.CLASSIFICATION,
        truth=numbered(truth, order),
        predicted=predicted,
        classes=order,
        probabilities=probabilities,
        margin=margin,
    )


def class_order(classes: tuple[Scalar, ...], positive: Scalar | None) -> tuple[Scalar, ...]:
    """The classes in the order of their numbers: as they are, but of two the positive one last."""
    if positive is None or len(classes) != 2:
        return classes
    return (*(value for value in classes if value != positive), positive)


def numbered(values: Array, order: tuple[Scalar, ...]) -> npt.NDArray[np.int64]:
    """The numbers of class `values`; -1 for one that is not in `order`."""
    number = {value: position for position, value in enumerate(order)}
    return np.array([number.get(value, -1) for value in values.tolist()], dtype=np.int64)


def score(metric: str, found: Outcomes) -> float | None:
    """The value of a scikit-learn scorer, greater is better; None where it is not defined on these rows."""
    if metric == "neg_log_loss":
        return _negative_log_loss(found)
    stored = _stored(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = float(get_scorer(metric)(stored, np.arange(found.rows), found.truth))
        except (ValueError, AttributeError, ZeroDivisionError) as error:
            logger.debug("%s is not defined on %d rows: %s", metric, found.rows, error)
            return None
    return value if math.isfinite(value) else None


def of_rows(metric: str, found: Outcomes) -> npt.NDArray[np.float64] | None:
    """What each row adds to a metric that is a mean over rows, or the root of one; None of others."""
    if found.task is Task.REGRESSION:
        error = found.predicted - found.truth
        if metric == "neg_mean_absolute_error":
            absolute: npt.NDArray[np.float64] = -np.abs(error)
            return absolute
        squared = metric in ("neg_mean_squared_error", "neg_root_mean_squared_error")
        return -np.square(error) if squared else None
    if found.probabilities is None or (found.truth < 0).any():
        return None
    if metric == "neg_log_loss":
        return _log_likelihoods(found)
    if metric == "neg_brier_score" and found.binary:
        return -np.square(found.probabilities[:, 1] - found.truth)
    return None


def _negative_log_loss(found: Outcomes) -> float | None:
    """As scikit-learn's, but defined also where a class does not occur among the rows."""
    if found.probabilities is None or not found.rows or (found.truth < 0).any():
        return None
    return float(_log_likelihoods(found).mean())


def _log_likelihoods(found: Outcomes) -> npt.NDArray[np.float64]:
    assert found.probabilities is not None  # noqa: S101 - asked only where there are some
    likelihood = found.probabilities[np.arange(found.rows), found.truth]
    return np.log(np.clip(likelihood, np.finfo(np.float64).eps, 1.0))


class _Numbers(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor whose input are positions of stored predictions."""

    def __init__(self, found: Outcomes) -> None:
        self.found = found

    def predict(self, rows: Array) -> Array:
        return self.found.predicted[rows]


class _Classes(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose input are positions of stored predictions."""

    def __init__(self, found: Outcomes) -> None:
        self.found = found
        self.classes_ = _class_numbers(len(found.classes))

    def predict(self, rows: Array) -> Array:
        return self.found.predicted[rows]


class _Margins(_Classes):
    def decision_function(self, rows: Array) -> Array:
        assert self.found.margin is not None  # noqa: S101 - chosen only where there is one
        return self.found.margin[rows]


class _Probabilities(_Classes):
    def predict_proba(self, rows: Array) -> Array:
        assert self.found.probabilities is not None  # noqa: S101 - chosen only where there are some
        return self.found.probabilities[rows]


@lru_cache(maxsize=64)
def _class_numbers(classes: int) -> Array:
    return np.arange(classes)


def _stored(found: Outcomes) -> Any:
    if found.task is Task.REGRESSION:
        return _Numbers(found)
    if found.probabilities is not None:
        return _Probabilities(found)
    return _Margins(found) if found.margin is not None else _Classes(found)
