"""Models that are an ONNX graph and nothing else: what is left of a version that was made smaller.

They stand behind an encoding in a pipeline as a trained estimator does, so they are stored,
judged, signed and served like one; skops holds them, for they are arrays and text.
How a graph is made is `pilotage.components.shrinking`'s question; nothing is fitted here.
This and `encoders` are the modules of core that need scikit-learn.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from pilotage.core import errors
from pilotage.core.artifacts import Link
from pilotage.core.forms.sessions import DOUBLE, logistic, open_session, softmax

_SESSION = "_session"


class _Graph(BaseEstimator):  # type: ignore[misc]
    """What both kinds share: asking the graph for the numbers of an encoded matrix."""

    def __init__(self, graph: Any, base: Any, link: str, single: bool = False, classes: Any = None) -> None:
        """Hold a graph.

        Args:
            graph: its bytes, as an array of uint8.
            base: what is added to its outputs, shape `(outputs,)`.
            link: a `Link`, from outputs to numbers or probabilities.
            single: whether inputs are rounded to 32 bits first.
            classes: of a classifier, in order.
        """
        self.graph = graph
        self.base = base
        self.link = link
        self.single = single
        self.classes = classes

    def fit(self, X: Any, y: Any = None) -> Self:
        """There is nothing to fit.

        Raises:
            EstimatorError: always.
        """
        raise errors.EstimatorError(
            "A model that was made smaller is a graph and cannot be fitted.",
            remedy="Run the pilot again, and shrink the version that it makes.",
        )

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__getstate__().items() if key != _SESSION}

    def outputs(self, X: Any) -> npt.NDArray[np.float64]:
        """The graph's outputs with the base, shape `(n, outputs)`, before the link."""
        session = self.__dict__.get(_SESSION)
        if session is None:
            session = self.__dict__[_SESSION] = open_session(np.asarray(self.graph, dtype=np.uint8).tobytes())
        matrix = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float64)
        entry = session.get_inputs()[0]
        with np.errstate(over="ignore"):
            if self.single:
                matrix = matrix.astype(np.float32).astype(np.float64)
            if entry.type != DOUBLE:
                matrix = matrix.astype(np.float32)
        found = session.run(None, {entry.name: matrix})[0].astype(np.float64)
        return np.asarray(found + np.asarray(self.base, dtype=np.float64))


class GraphRegressor(RegressorMixin, _Graph):  # type: ignore[misc]
    """A graph that gives a number a row."""

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Numbers for an encoded matrix, shape `(n,)`."""
        found = self.outputs(X)[:, 0]
        return found if self.link == Link.IDENTITY else np.asarray(np.exp(found))


class GraphClassifier(ClassifierMixin, _Graph):  # type: ignore[misc]
    """A graph that gives probabilities."""

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """The classes in the order of the probabilities."""
        return np.asarray(self.classes)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The likeliest class of each row of an encoded matrix."""
        chosen: npt.NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return chosen

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities by class, shape `(n, classes)`."""
        found = self.outputs(X)
        if self.link in (Link.LOGISTIC, Link.SECOND):
            second = logistic(found[:, 0]) if self.link == Link.LOGISTIC else found[:, 0]
            return np.column_stack([1.0 - second, second])
        return softmax(found) if self.link == Link.SOFTMAX else found
