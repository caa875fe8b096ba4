"""One training on a part of the rows, with a smaller or larger model, or with a part of the features.

The held-out rows are the same for all, so that trials differ by what is tried alone. Which trials make a
forecast is decided elsewhere; nothing is stored here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components.datasets import Dataset
from pilotage.components.measures import scores
from pilotage.components.training import estimators, searches
from pilotage.components.training.deep.embedders import Embedder
from pilotage.core import errors
from pilotage.core.artifacts import Scalar
from pilotage.core.metrics import CLASSIFICATION, REGRESSION, Task
from pilotage.core.specs import PilotSpec

Rows = npt.NDArray[np.int64]

_SIZES: Mapping[str, tuple[str, int]] = {
    "hist_gradient_boosting": ("max_iter", 100),
    "lightgbm": ("n_estimators", 100),
    "xgboost": ("n_estimators", 200),
    "random_forest": ("n_estimators", 100),
    "mlp": ("hidden", 128),
}
"""The parameter that makes an estimator's model larger, and what it is when nothing is said."""


@dataclass(frozen=True)
class Trial:
    """What is tried."""

    rows: int
    repeat: int = 0
    """Decides which rows they are and the estimator's seed."""
    scale: float = 1.0
    """Of the model's size, in that of pilot.yaml."""
    share: float = 1.0
    """Of the features."""

    @property
    def words(self) -> str:
        """For people."""
        told = f"{self.rows:,} rows"
        if self.scale != 1.0:
            told += f", a model {self.scale:g} times as large"
        if self.share != 1.0:
            told += f", {self.share:.0%} of the features"
        return f"{told}, repeat {self.repeat + 1}"


@dataclass(frozen=True)
class Outcome:
    """What came of a trial."""

    metric: float
    loss: float
    cpu_seconds: float
    wall_seconds: float


def size_parameter(spec: PilotSpec) -> tuple[str, int] | None:
    """What makes the pilot's model larger, and how large it is; None where nothing does."""
    known = _SIZES.get(spec.train.estimator)
    if known is None:
        return None
    name, usual = known
    value = spec.train.params.get(name, usual)
    return (name, int(value)) if isinstance(value, (int, float)) and value >= 1 else None


def has_loss(metric: str) -> bool:
    """Whether a metric can be told as a loss that ends at 0."""
    if metric not in CLASSIFICATION | REGRESSION:
        return False
    return metric.startswith("neg_") or metric != "positive_likelihood_ratio"


def loss_of(metric: str, value: float) -> float:
    """A metric as a loss: what it is short of 1, or its negative where it is one of scikit-learn's `neg_`."""
    return -value if metric.startswith("neg_") else 1.0 - value


def metric_of(metric: str, loss: float) -> float:
    """The other way round."""
    return -loss if metric.startswith("neg_") else 1.0 - loss


def nested(dataset: Dataset, task: Task, seed: int) -> Rows:
    """All rows in an order whose every beginning is a sample: random, with classes in their shares."""
    rng = np.random.default_rng(seed)
    place = rng.permutation(dataset.rows).astype(float)
    if task is Task.CLASSIFICATION:
        _, members = np.unique(dataset.target, return_inverse=True)
        for name in range(int(members.max()) + 1):
            mine = np.flatnonzero(members == name)
            place[mine] = (rng.permutation(len(mine)) + rng.random()) / len(mine)
    return np.argsort(place, kind="stable").astype(np.int64)


def smallest(dataset: Dataset, task: Task) -> int:
    """Rows below which a subset says little: 20 of each class, and enough for two of the rarest."""
    if task is Task.REGRESSION:
        return 100
    _, counts = np.unique(dataset.target, return_counts=True)
    return int(max(100, 20 * len(counts), np.ceil(2 * dataset.rows / counts.min())))


def params_of(
    spec: PilotSpec, folder: Path, rows: Dataset, positive: Scalar | None, embedder: Embedder | None = None
) -> dict[str, Any]:
    """The estimator's parameters: those of pilot.yaml, and what its search finds on all training rows."""
    found: dict[str, Any] = {}
    if spec.train.search is not None:
        found = searches.search(spec, spec.train.search, folder, rows, positive, embedder).params
    return {**spec.train.params, **found}


def positive_of(spec: PilotSpec, rows: Dataset) -> Scalar | None:
    """The positive class."""
    classes = tuple(np.unique(rows.target).tolist()) if spec.task is Task.CLASSIFICATION else ()
    return estimators.positive_class(spec.data.positive, classes)


def carry_out(
    trial: Trial,
    spec: PilotSpec,
    folder: Path,
    rows: Dataset,
    rest: Dataset,
    params: Mapping[str, Any],
    positive: Scalar | None,
    embedder: Embedder | None = None,
) -> Outcome:
    """Train on the first rows of an order of `rows`, and score on `rest`.

    Raises:
        EstimatorError: the estimator failed.
        DataError: the metric is not defined on the held-out rows.
    """
    part = rows.take(np.sort(nested(rows, spec.task, trial.repeat)[: trial.rows]))
    if trial.share != 1.0:
        part = _of_features(part, trial)
    chosen = {**params, **_sized(spec, params, trial.scale)}
    name, seed = spec.train.estimator, spec.train.seed + trial.repeat
    began, wall = time.process_time(), time.monotonic()
    estimator = estimators.build(
        name, chosen, task=spec.task, dataset=part, seed=seed, folder=folder, embedder=embedder
    )
    fitted = estimators.fit(estimator, part, name)
    cpu, wall = time.process_time() - began, time.monotonic() - wall
    predictor = estimators.predictor(fitted, part, spec.task, positive)
    held = Dataset(part.features, {f.name: rest.columns[f.name] for f in part.features}, rest.target)
    found = estimators.predict(predictor, held, name)
    order = tuple(np.unique(rows.target).tolist()) if spec.task is Task.CLASSIFICATION else None
    judged = scores.judge(
        predictor, found, rest.target, None if order is None else scores.class_order(order, positive)
    )
    value = scores.score(spec.goal.metric, judged)
    if value is None:
        raise errors.DataError(
            f"`{spec.goal.metric}` is not defined on the {rest.rows} held-out rows after {trial.words}.",
            remedy="Choose another `goal.metric`, or bring more rows.",
        )
    return Outcome(value, loss_of(spec.goal.metric, value), cpu, wall)


def _sized(spec: PilotSpec, params: Mapping[str, Any], scale: float) -> dict[str, Any]:
    known = _SIZES.get(spec.train.estimator)
    if known is None or scale == 1.0:
        return {}
    name, usual = known
    return {name: max(1, round(params.get(name, usual) * scale))}


def _of_features(part: Dataset, trial: Trial) -> Dataset:
    """The dataset with some of its features, at random by the repeat."""
    count = max(1, round(len(part.features) * trial.share))
    chosen = np.random.default_rng([trial.repeat, count]).choice(len(part.features), count, replace=False)
    kept = tuple(part.features[place] for place in np.sort(chosen))
    return Dataset(kept, {feature.name: part.columns[feature.name] for feature in kept}, part.target)
