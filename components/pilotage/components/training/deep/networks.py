"""The estimator `mlp`: a network of fully connected layers, trained until rows it does not see get no better.

It takes a matrix without missing values, as `encodings.for_networks` makes it. What is
stored and served is `stored()`: the weights as plain arrays, which need no PyTorch.
The same seed gives the same weights on the same machine's processor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from pilotage.components.training.deep import modules, torches
from pilotage.components.training.deep.modules import Floats, Shape, State
from pilotage.core import errors
from pilotage.core.encoders import NetworkClassifier, NetworkRegressor

logger = logging.getLogger(__name__)

_FEWEST_ASIDE = 20
"""With fewer rows to stop by, training runs for all its epochs."""
_MOST_GAIN = 1e-4
"""A loss that falls by less than this share is not better."""


@dataclass(frozen=True)
class Targets:
    """What a network is trained towards."""

    values: npt.NDArray[Any]
    classes: npt.NDArray[Any] | None = None
    mean: float = 0.0
    scale: float = 1.0

    @property
    def outputs(self) -> int:
        return 1 if self.classes is None else len(self.classes)


def class_targets(y: Any) -> Targets:
    """Classes numbered from 0 in sorted order."""
    classes, numbers = np.unique(np.asarray(y), return_inverse=True)
    return Targets(numbers.astype(np.int64), classes)


def number_targets(y: Any) -> Targets:
    """Numbers, centred and divided by their standard deviation."""
    numbers = np.asarray(y, dtype=np.float64)
    scale = float(numbers.std()) or 1.0
    return Targets(
        ((numbers - numbers.mean()) / scale).astype(np.float32), mean=float(numbers.mean()), scale=scale
    )


def finished(weights: State, targets: Targets) -> NetworkClassifier | NetworkRegressor:
    """What answers with the `weights` of a trained module, in double precision and without PyTorch."""
    names = sorted({int(name.partition(".")[0]) for name in weights})
    matrices = [weights[f"{name}.weight"].T.astype(np.float64) for name in names]
    biases = [weights[f"{name}.bias"].astype(np.float64) for name in names]
    if targets.classes is not None:
        return NetworkClassifier.of(matrices, biases, targets.classes)
    matrices[-1] = matrices[-1] * targets.scale
    biases[-1] = biases[-1] * targets.scale + targets.mean
    return NetworkRegressor.of(matrices, biases)


class _Mlp(BaseEstimator):  # type: ignore[misc]
    """What both tasks share."""

    _targets: Callable[[Any], Targets]

    def __init__(
        self,
        hidden: int = 128,
        layers: int = 2,
        dropout: float = 0.1,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 128,
        epochs: int = 200,
        patience: int = 15,
        validation: float = 0.1,
        device: str = "auto",
        random_state: int = 0,
        n_jobs: int = 1,
    ) -> None:
        self.hidden = hidden
        self.layers = layers
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.validation = validation
        self.device = device
        self.random_state = random_state
        self.n_jobs = n_jobs

    def check(self) -> None:
        """Raise EstimatorError for the first parameter that cannot be."""
        whole = {"hidden": 1, "layers": 0, "batch_size": 1, "epochs": 1, "patience": 1}
        for name, least in whole.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise _wrong(name, value, f"a whole number of at least {least}")
        above = {"learning_rate": (0.0, 10.0), "weight_decay": (-1.0, 1e3)}
        for name, (low, high) in above.items():
            if not _number(value := getattr(self, name)) or not low < value < high:
                raise _wrong(name, value, "a number above 0" if low == 0 else "a number from 0")
        for name in ("dropout", "validation"):
            if not _number(value := getattr(self, name)) or not 0 <= value < 1:
                raise _wrong(name, value, "a share from 0 to below 1")
        torches.device(self.device, modules.WHAT)

    def fit(self, X: Any, y: Any) -> Self:
        """Train on all rows but those that say when to stop.

        Raises:
            EstimatorError: a parameter is wrong, or the loss stopped being a number.
            MissingExtra: PyTorch is not installed.
        """
        self.check()
        x = np.ascontiguousarray(X, dtype=np.float32)
        if not np.isfinite(x).all():
            raise errors.EstimatorError(
                "`mlp` got a value that is not finite.", remedy="Look at the features."
            )
        targets = type(self)._targets(y)
        threads = max(int(self.n_jobs), 1)
        with torches.seeded(modules.WHAT, int(self.random_state), threads):
            if torches.device(self.device, modules.WHAT) == torches.Device.CPU:
                weights = self._train(x, targets, "cpu")
            else:
                weights = self._train(x, targets, "cuda")
        self.network_ = finished(weights, targets)
        if targets.classes is not None:
            self.classes_ = targets.classes
        return self

    def _train(self, x: Floats, targets: Targets, where: str) -> State:
        """The weights at the epoch that was best for the rows aside."""
        rng = np.random.default_rng(int(self.random_state))
        aside = rows_aside(targets, float(self.validation), rng)
        y = targets.values
        module = modules.build(self.shape(x.shape[1], targets.outputs)).to(where)
        measure = modules.loss(0 if targets.classes is None else targets.outputs)
        step = modules.optimizer(
            module, learning_rate=float(self.learning_rate), weight_decay=float(self.weight_decay)
        )
        inside = ~aside
        best, kept, since, epoch = np.inf, modules.state(module), 0, 0
        for epoch in range(1, int(self.epochs) + 1):
            parts = modules.batches(x[inside], y[inside], int(self.batch_size), rng)
            found = modules.train_epoch(module, step, parts, measure)
            if not np.isfinite(found):
                raise errors.EstimatorError(
                    f"The loss of `mlp` was {found} in epoch {epoch}.",
                    remedy="Lower `train.params.learning_rate`.",
                )
            if not aside.any():
                kept = modules.state(module)
                continue
            found = modules.judge(module, x[aside], y[aside], measure)
            since += 1
            if found < best * (1 - _MOST_GAIN):
                best, kept, since = found, modules.state(module), 0
            if since >= int(self.patience):
                break
        self.epochs_ = epoch - since
        logger.info("mlp: best after %d of %d epochs, %d rows aside", self.epochs_, epoch, int(aside.sum()))
        return kept

    def shape(self, inputs: int, outputs: int) -> Shape:
        """Of its network for so many inputs and outputs."""
        return Shape(inputs, outputs, int(self.hidden), int(self.layers), float(self.dropout))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """What the stored network predicts."""
        found: npt.NDArray[Any] = self.network_.predict(X)
        return found

    def stored(self) -> NetworkClassifier | NetworkRegressor:
        """What is kept of it."""
        return self.network_


class MlpClassifier(ClassifierMixin, _Mlp):  # type: ignore[misc]
    """`mlp` for classes."""

    _targets = staticmethod(class_targets)

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities by class, shape `(n, classes)`."""
        found: npt.NDArray[np.float64] = self.network_.predict_proba(X)
        return found


class MlpRegressor(RegressorMixin, _Mlp):  # type: ignore[misc]
    """`mlp` for numbers."""

    _targets = staticmethod(number_targets)


def rows_aside(targets: Targets, share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which training rows only say when to stop: a share of each class; none where they were too few."""
    rows = len(targets.values)
    aside = np.zeros(rows, dtype=bool)
    groups = [np.arange(rows)]
    if targets.classes is not None:
        groups = [np.flatnonzero(targets.values == number) for number in range(targets.outputs)]
    for group in groups:
        aside[rng.permutation(group)[: round(share * len(group))]] = True
    if aside.sum() < _FEWEST_ASIDE:
        aside[:] = False
    return aside


def _number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _wrong(name: str, value: object, expected: str) -> errors.EstimatorError:
    return errors.EstimatorError(
        f"`{name}` of `mlp` is {value!r}, expected {expected}.", remedy=f"Correct `train.params.{name}`."
    )
