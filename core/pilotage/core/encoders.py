"""The scikit-learn pieces that stored models need and scikit-learn does not have.

They live here because the room that trains and the room that serves must both
be able to import them; this and `graph_models` are the modules of core that need scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.validation import check_is_fitted

from pilotage.core import embeddings, errors
from pilotage.core.features import time_parts
from pilotage.core.forms.sessions import softmax

_PARTS = ("day", "month", "weekday", "hour")


class TimeParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns columns of datetimes into days since 1970, month, weekday and hour; NaN where missing."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the names of the columns of frame `X`."""
        self.feature_names_in_ = np.array([str(name) for name in X.columns], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """Parts of the times in `X`, shape `(n, 4 * columns)`."""
        check_is_fitted(self)
        return np.column_stack([time_parts(X[name].to_numpy()) for name in self.feature_names_in_])

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Names such as `ordered_at.weekday`."""
        return np.array(
            [f"{name}.{part}" for name in self.feature_names_in_ for part in _PARTS], dtype=object
        )


class Embedded(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns one column of texts or images into the vectors of a pre-trained encoder."""

    def __init__(self, encoder: str = "", width: int = 0, threads: int = 1) -> None:
        self.encoder = encoder
        self.width = width
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> Self:
        """Take the column; nothing is learned."""
        self.n_features_in_ = 1
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """The vectors of the only column of frame `X`, shape `(n, width)`; zeros where it is missing."""
        self._held = embeddings.embedding(self.encoder)
        return self._held.vectors(X.iloc[:, 0].to_numpy(dtype=object), self.threads)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_held", None)
        return state

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Numbers of the vector's places."""
        return np.array([str(place) for place in range(self.width)], dtype=object)


class LabelEncoded(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose inner one needs the classes numbered from 0, as XGBoost's does."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Number the classes of `y` in sorted order and fit the inner classifier."""
        self.encoder_ = LabelEncoder().fit(y)
        self.classes_ = self.encoder_.classes_
        self.estimator_ = clone(self.estimator).fit(X, self.encoder_.transform(y), **fit_params)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Classes of `X`."""
        check_is_fitted(self)
        classes: npt.NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return classes

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities by class, shape `(n, classes)`."""
        check_is_fitted(self)
        probabilities: npt.NDArray[np.float64] = self.estimator_.predict_proba(X)
        return probabilities


class _Network(BaseEstimator):  # type: ignore[misc]
    """Fully connected layers with rectifiers between them, computed in double precision."""

    weights_: list[npt.NDArray[np.float64]]
    """Of each layer, shape `(inputs, outputs)`."""
    biases_: list[npt.NDArray[np.float64]]

    def fit(self, X: Any, y: Any = None) -> Self:
        """Never: it is trained where `mlp` is; scikit-learn takes only what has this method.

        Raises:
            EstimatorError: always.
        """
        raise errors.EstimatorError("A stored network cannot be trained.", remedy="Fit `mlp` anew.")

    def outputs(self, X: Any) -> npt.NDArray[np.float64]:
        """The last layer's, shape `(n, outputs)`."""
        check_is_fitted(self)
        found: npt.NDArray[np.float64] = np.asarray(X, dtype=np.float64)
        last = len(self.weights_) - 1
        for place, (weight, bias) in enumerate(zip(self.weights_, self.biases_, strict=True)):
            found = found @ weight + bias
            if place < last:
                found = np.maximum(found, 0.0)
        return found


class NetworkClassifier(ClassifierMixin, _Network):  # type: ignore[misc]
    """A trained network that tells classes apart; its outputs are their logarithms up to a constant."""

    @classmethod
    def of(cls, weights: Sequence[Any], biases: Sequence[Any], classes: Any) -> Self:
        """The network with these layers."""
        made = cls()
        made.weights_, made.biases_, made.classes_ = list(weights), list(biases), np.asarray(classes)
        return made

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities by class, shape `(n, classes)`."""
        return softmax(self.outputs(X))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Classes of `X`."""
        classes: npt.NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return classes


class NetworkRegressor(RegressorMixin, _Network):  # type: ignore[misc]
    """A trained network that predicts a number, its only output."""

    @classmethod
    def of(cls, weights: Sequence[Any], biases: Sequence[Any]) -> Self:
        """The network with these layers."""
        made = cls()
        made.weights_, made.biases_ = list(weights), list(biases)
        return made

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """The numbers for `X`, shape `(n,)`."""
        numbers: npt.NDArray[np.float64] = self.outputs(X)[:, 0]
        return numbers
