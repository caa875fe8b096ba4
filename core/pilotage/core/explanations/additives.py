"""Exact contributions of models that add up functions of single features, as linear ones do.

For such a model the Shapley value of a feature is its own term less the term's
mean over the background (Lundberg and Lee, 2017, corollary 1), whichever way the
feature is encoded. That the model is such a sum is tested on background rows
where all features differ, not assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core.explanations import backgrounds
from pilotage.core.explanations.attributions import Array, Sums
from pilotage.core.features import Columns

Function = Callable[[Columns], Array]
"""Outputs of rows, shape `(rows, outputs)`."""

TOLERANCE = 1e-9
"""How far a sum of terms may be from the whole, by the terms' size."""
ROWS_TOGETHER = 5_000
"""Changed rows that the model is asked for together, which shares the cost of asking."""


class Additive:
    """A sum of functions of single features."""

    def __init__(self, function: Function, background: Columns) -> None:
        self._function = function
        self._background = background
        self._middle = function({name: column[:1] for name, column in background.items()})[0]
        terms = self._terms(background)
        self._means = terms.mean(axis=0)
        whole = function(background)
        size = float(np.abs(terms).sum(axis=1).max() + np.abs(self._middle).max())
        self.holds = close(self._middle + terms.sum(axis=1), whole, TOLERANCE, size)
        """Whether the function is such a sum on the background."""

    def explain(self, columns: Columns) -> Sums:
        """Contributions to the outputs of rows."""
        return Sums(
            base=self._middle + self._means.sum(axis=0), contributions=self._terms(columns) - self._means
        )

    def _terms(self, columns: Columns) -> Array:
        """What each feature changes alone in the first background row, shape `(rows, features, outputs)`."""
        features, rows = len(columns), len(next(iter(columns.values())))
        at_once = max(1, ROWS_TOGETHER // rows)
        parts: list[npt.NDArray[np.float64]] = []
        for begin in range(0, features, at_once):
            mask = np.eye(features, dtype=np.bool_)[begin : begin + at_once]
            taken = np.tile(np.arange(rows), len(mask))
            first = np.zeros(len(taken), dtype=np.intp)
            changed = backgrounds.mix(columns, self._background, taken, first, np.repeat(mask, rows, axis=0))
            parts.append(self._function(changed).reshape(len(mask), rows, -1) - self._middle)
        return np.concatenate(parts).transpose(1, 0, 2)


def close(sums: Array, whole: Array, tolerance: float, size: float = 1.0) -> bool:
    """Whether two tables of outputs are the same but for rounding in terms of the given size."""
    return sums.shape == whole.shape and bool(np.allclose(sums, whole, rtol=0, atol=tolerance * size))


def is_linear(estimator: Any) -> bool:
    """Whether the last step is a linear model; what comes before it decides whether the whole is additive."""
    from sklearn.pipeline import Pipeline

    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    return hasattr(last, "coef_")


def raw_output(estimator: Any, frame: Any) -> Array:
    """What a linear model adds up: the decision of a classifier, else the prediction; `(rows, outputs)`."""
    ask = getattr(estimator, "decision_function", None) or estimator.predict
    found = np.asarray(ask(frame), dtype=np.float64)
    return found.reshape(len(found), -1)
