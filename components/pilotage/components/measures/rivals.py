"""What a model is held against on the same rows: the trivial baseline and the champion."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor

from pilotage.components import datasets
from pilotage.components.datasets import Dataset
from pilotage.components.measures import scores
from pilotage.components.measures.scores import Outcomes
from pilotage.components.splits import Rows
from pilotage.components.training import estimators
from pilotage.core import errors, features, models
from pilotage.core.artifacts import Model, Snapshot, TrainedModel
from pilotage.core.metrics import Task
from pilotage.core.models import Predictor
from pilotage.core.registry import Registered, Registry
from pilotage.core.settings import Settings

logger = logging.getLogger(__name__)

_MEDIAN_IS_BEST = frozenset(
    {"d2_absolute_error_score", "neg_mean_absolute_error", "neg_median_absolute_error"}
)


@dataclass(frozen=True)
class Champion:
    """The serving version on the held-out rows, or why it could not be asked."""

    version: int
    predictor: Predictor | None = None
    rows: Dataset | None = None
    outcomes: Outcomes | None = None
    obstacle: str = ""


def baseline(model: Model, train: Dataset, rest: Dataset, metric: str) -> Outcomes:
    """What a constant guess says: the most frequent class and the class shares, the mean, or the median."""
    if model.task is Task.REGRESSION:
        guess = DummyRegressor(strategy="median" if metric in _MEDIAN_IS_BEST else "mean")
    else:
        guess = DummyClassifier(strategy="prior")
    nothing, nothing_too = np.zeros((train.rows, 1)), np.zeros((rest.rows, 1))
    fitted = guess.fit(nothing, train.target)
    predictor = estimators.predictor(fitted, train, model.task, model.positive)
    return scores.outcomes(predictor, nothing_too, rest.target)


def champion(
    registry: Registry,
    settings: Settings,
    snapshot: Snapshot,
    trained: TrainedModel,
    test: Rows,
    truth: datasets.Array,
) -> Champion | None:
    """The champion's predictions of the held-out rows; None when there is none, or it is this very model.

    Args:
        registry: where it is registered.
        settings: decide whether it may be loaded.
        snapshot: the data.
        trained: the model that is evaluated.
        test: positions of the held-out rows.
        truth: their targets.
    """
    registered = registry.champion(trained.model.pilot)
    if registered is None or registered.run == trained.mlflow_run:
        return None
    try:
        predictor = _open(registry, registered, settings, trained.model)
        return _ask(registered.version, predictor, settings, snapshot, trained.model, test, truth)
    except errors.InputError as error:
        obstacle = f"version {registered.version} cannot be asked on these rows: {error}"
        logger.warning("the champion, %s", obstacle)
        return Champion(version=registered.version, obstacle=obstacle)


def _open(registry: Registry, registered: Registered, settings: Settings, model: Model) -> Predictor:
    predictor = models.open_predictor(registry.folder(registered), settings)
    theirs = predictor.model
    if (theirs.target, theirs.task) != (model.target, model.task):
        raise errors.DataError(f"It predicts `{theirs.target}` ({theirs.task}), not `{model.target}`.")
    if set(theirs.classes) - set(model.classes) or theirs.positive != model.positive:
        raise errors.DataError(f"Its classes are {', '.join(str(value) for value in theirs.classes)}.")
    return predictor


def _ask(
    version: int,
    predictor: Predictor,
    settings: Settings,
    snapshot: Snapshot,
    model: Model,
    test: Rows,
    truth: datasets.Array,
) -> Champion:
    columns = datasets.read_columns(settings, snapshot, predictor.model.features)
    rows = Dataset(
        features=predictor.model.features,
        columns={name: column[test] for name, column in columns.items()},
        target=truth,
    )
    order = scores.class_order(model.classes, model.positive)
    try:
        found = scores.outcomes(predictor, features.to_frame(rows.columns), truth, order)
    except Exception as error:
        raise errors.EstimatorError(f"Its estimator failed: {type(error).__name__}: {error}.") from error
    return Champion(version=version, predictor=predictor, rows=rows, outcomes=found)
