"""The best method for a model: exact where its sums are what it really predicts, else estimated.

An exact method is believed only where base and contributions add up to the
prediction that the model makes the usual way, on every answer; so a model that a
library reads wrongly is estimated and not explained wrongly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core.artifacts import Scalar
from pilotage.core.explanations import additives, backgrounds, samplers, trees
from pilotage.core.explanations.additives import Additive
from pilotage.core.explanations.attributions import (
    Array,
    Attribution,
    Budget,
    Method,
    Output,
    Sums,
)
from pilotage.core.features import Columns, to_frame
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction, Predictor
from pilotage.core.profiles import ReferenceProfile

logger = logging.getLogger(__name__)

TOLERANCE = 1e-5
"""Between what contributions add up to and the prediction, by their size; XGBoost computes in 32 bits."""

Exact = Callable[[Columns], Sums]


class Explainer:
    """Explains the predictions of one trained model; for one thread."""

    def __init__(self, predictor: Predictor, profile: ReferenceProfile) -> None:
        self._predictor = predictor
        self._model = predictor.model
        self._names = tuple(feature.name for feature in self._model.features)
        self._background = backgrounds.draw(self._model.features, profile)

    def explain(self, columns: Columns, budget: Budget) -> Attribution:
        """Contributions to the prediction of each row, at least one.

        Of a classifier with two classes they are those to the positive class or, without one, to the
        second; with more classes, those to the class that is predicted.

        Raises:
            ValueError, TypeError: the model cannot take a row.
        """
        prediction = self._predictor.predict(columns)
        for method, exact in self._exact:
            try:
                sums = exact(columns)
            except Exception as error:  # libraries raise what they like; the estimate asks the model alone
                logger.info("%s of %s failed: %r", method, self._model.pilot, error)
                continue
            output = self._output_of(sums, prediction)
            if output is not None:
                return self._chosen(method, output, sums, prediction)
            logger.info("%s of %s does not add up to the prediction", method, self._model.pilot)
        return self._estimated(columns, prediction, budget)

    @cached_property
    def _exact(self) -> list[tuple[Method, Exact]]:
        """The exact methods that this model may have, at most one of them."""
        estimator = self._predictor.estimator
        if additives.is_linear(estimator):
            try:
                sums = Additive(
                    lambda columns: additives.raw_output(estimator, to_frame(columns)), self._background
                )
            except Exception as error:
                logger.info("%s cannot take background rows: %r", self._model.pilot, error)
                return []
            return [(Method.LINEAR, sums.explain)] if sums.holds else []
        tell = trees.explainer(estimator, self._names)
        return [] if tell is None else [(Method.TREE, lambda columns: tell(to_frame(columns)))]

    def _output_of(self, sums: Sums, prediction: Prediction) -> Output | None:
        """Which output of the model the totals of `sums` are, judged by its prediction; None if none."""
        totals = sums.totals
        if self._model.task is Task.REGRESSION:
            told = prediction.score[:, np.newaxis]
            if additives.close(totals, told, TOLERANCE, sums.size):
                return Output.NUMBER
            positive = bool((told > 0).all())
            return (
                Output.LOG
                if positive and additives.close(totals, np.log(told), TOLERANCE, sums.size)
                else None
            )
        if prediction.probabilities is None:
            score = (-1.0 if self._positive == 0 else 1.0) * prediction.score[:, np.newaxis]
            return Output.SCORE if additives.close(totals, score, TOLERANCE, sums.size) else None
        told = prediction.probabilities
        if totals.shape[1] == 1:
            odds = 1 / (1 + np.exp(-np.clip(totals, -700, 700)))
            return Output.LOG_ODDS if additives.close(odds, told[:, 1:], TOLERANCE) else None
        if additives.close(totals, told, TOLERANCE):
            return Output.PROBABILITY
        return Output.MARGIN if additives.close(_softmax(totals), told, TOLERANCE) else None

    @property
    def _positive(self) -> int | None:
        """Position of the class that a model of two classes is explained for; None for more."""
        if len(self._model.classes) != 2:
            return None
        return 1 if self._model.positive is None else self._model.classes.index(self._model.positive)

    def _chosen(self, method: Method, output: Output, sums: Sums, prediction: Prediction) -> Attribution:
        """One output of `sums` for each row."""
        rows = np.arange(len(sums.contributions))
        which, sign = self._which(prediction), 1.0
        if sums.base.shape == (1,):  # one output for both classes speaks of the second
            sign = -1.0 if self._positive == 0 else 1.0
            picked = np.zeros(len(rows), dtype=np.intp)
        else:
            picked = which
        return Attribution(
            method=method,
            output=output,
            features=self._names,
            base=sign * sums.base[picked],
            contributions=sign * sums.contributions[rows, :, picked],
            values=sign * sums.totals[rows, picked],
            classes=self._classes(which),
        )

    def _which(self, prediction: Prediction) -> npt.NDArray[np.intp]:
        """Position of the class that each row is explained for; 0 for regression."""
        rows = len(prediction.predictions)
        if self._model.task is Task.REGRESSION:
            return np.zeros(rows, dtype=np.intp)
        if self._positive is not None:
            return np.full(rows, self._positive, dtype=np.intp)
        return np.array([self._model.classes.index(value) for value in prediction.predictions.tolist()])

    def _classes(self, which: npt.NDArray[np.intp]) -> tuple[Scalar, ...] | None:
        if self._model.task is Task.REGRESSION:
            return None
        return tuple(self._model.classes[position] for position in which)

    def _estimated(self, columns: Columns, prediction: Prediction, budget: Budget) -> Attribution:
        which = self._which(prediction)
        found = samplers.estimate(self._outputs, columns, self._background, which, budget)
        return Attribution(
            method=Method.PERMUTATION,
            output=self._estimated_output(prediction),
            features=self._names,
            base=found.base,
            contributions=found.contributions,
            values=found.values,
            classes=self._classes(which),
            standard_errors=found.standard_errors,
            evaluations=found.evaluations,
        )

    def _estimated_output(self, prediction: Prediction) -> Output:
        if self._model.task is Task.REGRESSION:
            return Output.NUMBER
        return Output.SCORE if prediction.probabilities is None else Output.PROBABILITY

    def _outputs(self, columns: Columns) -> Array:
        """What is estimated: probabilities by class, the number, or a score for each class."""
        prediction = self._predictor.predict(columns)
        if prediction.probabilities is not None:
            return prediction.probabilities
        if self._model.task is Task.REGRESSION:
            return prediction.score[:, np.newaxis]
        if self._positive is not None and _decides(self._predictor.estimator, self._model.positive):
            return np.repeat(prediction.score[:, np.newaxis], 2, axis=1)
        known = np.array(self._model.classes, dtype=object)
        return np.asarray(prediction.predictions.astype(object)[:, np.newaxis] == known, dtype=np.float64)


def _decides(estimator: Any, positive: Scalar | None) -> bool:
    """Whether the prediction's score is a decision function's, towards the positive class."""
    return positive is not None and hasattr(estimator, "decision_function")


def _softmax(totals: Array) -> Array:
    raised = np.exp(totals - totals.max(axis=1, keepdims=True))
    shares: Array = raised / raised.sum(axis=1, keepdims=True)
    return shares
