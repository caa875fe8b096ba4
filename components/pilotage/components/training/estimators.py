"""The estimators that pilot.yaml can name, built and fitted with errors that say what to change.

A built-in is a pipeline of an encoding and a scikit-learn, LightGBM or XGBoost
model; one of the pilot's own is left as `own_estimators` finds it. Which
parameters are good is `searches`' question.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from pilotage.components.datasets import Dataset
from pilotage.components.training import encodings, own_estimators
from pilotage.core import errors
from pilotage.core.artifacts import Feature, Model, Scalar
from pilotage.core.encoders import Embedded, LabelEncoded
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction, Predictor
from pilotage.core.specs import EMBEDDED, Estimator

if TYPE_CHECKING:
    from pilotage.components.training.deep.embedders import Embedder

logger = logging.getLogger(__name__)

MOST_THREADS = 2
"""Threads that fitting takes unless OMP_NUM_THREADS says otherwise; a model server may run beside it."""

_MOST_REASON = 400


@dataclass(frozen=True)
class _Family:
    """What a built-in is for each task, and the parameters that we choose differently from its authors."""

    module: str
    classifier: str
    regressor: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    numbered: bool = False
    """Its classifier is given classes as numbers from 0."""


_FAMILIES = {
    Estimator.LOGISTIC_REGRESSION: _Family("sklearn.linear_model", "LogisticRegression", "Ridge"),
    Estimator.HIST_GRADIENT_BOOSTING: _Family(
        "sklearn.ensemble",
        "HistGradientBoostingClassifier",
        "HistGradientBoostingRegressor",
        # its own early stopping sets rows aside at random and fails on a class with a single row
        {"early_stopping": False},
    ),
    Estimator.RANDOM_FOREST: _Family(
        "sklearn.ensemble",
        "RandomForestClassifier",
        "RandomForestRegressor",
        # without a floor, trees on a large table take gigabytes
        {"min_samples_leaf": 5, "max_features": "sqrt"},
    ),
    Estimator.LIGHTGBM: _Family(
        "lightgbm", "LGBMClassifier", "LGBMRegressor", {"verbose": -1, "deterministic": True}, numbered=True
    ),
    Estimator.XGBOOST: _Family(
        "xgboost",
        "XGBClassifier",
        "XGBRegressor",
        {"n_estimators": 200, "learning_rate": 0.1, "verbosity": 0, "tree_method": "hist"},
        numbered=True,
    ),
    Estimator.MLP: _Family("pilotage.components.training.deep.networks", "MlpClassifier", "MlpRegressor"),
}
_BY_TASK: dict[tuple[Estimator, Task], dict[str, Any]] = {
    (Estimator.LOGISTIC_REGRESSION, Task.CLASSIFICATION): {"max_iter": 1000},
}


def build(
    name: str,
    params: Mapping[str, Any],
    *,
    task: Task,
    dataset: Dataset,
    seed: int,
    folder: Path,
    embedder: Embedder | None = None,
) -> Any:
    """An unfitted estimator.

    Args:
        name: a built-in's, or `module:function` in `folder`.
        params: what pilot.yaml or a search gives; they go before our defaults.
        task: decides between classifier and regressor.
        dataset: what it will be fitted on; a built-in leaves out features without any value in it.
        seed: for whatever it does at random.
        folder: the pilot's.
        embedder: what makes encoders of texts and images, where `dataset` has any.

    Raises:
        EstimatorError: it cannot be found or built, or a parameter is not one of its own.
        DataError: no feature has a value.
    """
    if ":" in name:
        return own_estimators.build(name, params, seed=seed, folder=folder)
    family, features = Estimator(name), _present(dataset)
    model = _model(family, params, task=task, seed=seed)
    vectors = _vectors(features, dataset, embedder)
    if family is Estimator.LOGISTIC_REGRESSION:
        return Pipeline([("encode", encodings.for_linear_models(features, vectors)), ("model", model)])
    if family is Estimator.MLP:
        model.check()
        encode = encodings.for_networks(features, _gappy(dataset, features), vectors)
        return Pipeline([("encode", encode), ("model", model)])
    if family is Estimator.HIST_GRADIENT_BOOSTING and "categorical_features" not in params:
        model.set_params(categorical_features=None)
    if _FAMILIES[family].numbered and task is Task.CLASSIFICATION:
        model = LabelEncoded(model)
    return Pipeline([("encode", encodings.for_trees(features, vectors)), ("model", model)])


def _present(dataset: Dataset) -> list[Feature]:
    found = [feature for feature in dataset.features if not pd.isna(dataset.columns[feature.name]).all()]
    if not found:
        raise errors.DataError(
            f"No feature has a value in the {dataset.rows} rows to train on.",
            remedy="Check the source, or name other columns in `data.features`.",
        )
    return found


def _vectors(features: Sequence[Feature], dataset: Dataset, embedder: Embedder | None) -> dict[str, Embedded]:
    """What turns each text and each image into vectors."""
    embedded = [feature for feature in features if feature.kind in EMBEDDED]
    if embedded and embedder is None:
        raise errors.EstimatorError(
            f"`{embedded[0].name}` is {embedded[0].kind.value}, and nobody made an encoder for it.",
            remedy="Give `build` an `Embedder`.",
        )
    return {feature.name: embedder.part(feature, dataset) for feature in embedded if embedder is not None}


def _gappy(dataset: Dataset, features: Sequence[Feature]) -> list[str]:
    """Features with and without a value in the rows, so that whether there is one may say something."""
    return [feature.name for feature in features if pd.isna(dataset.columns[feature.name]).any()]


def require_params(family: Estimator, params: Iterable[str], task: Task) -> list[str]:
    """Which parameters the estimator has; nothing is built.

    Raises:
        EstimatorError: one of `params` is none of them.
        MissingExtra: its package is not installed.
    """
    kind = _class(family, task)
    valid = sorted(kind().get_params())
    for name in params:
        if name not in valid:
            near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
            hint = f"Did you mean `{near[0]}`?" if near else f"Valid are {', '.join(valid)}."
            raise errors.EstimatorError(
                f"`{name}` is not a parameter of {family} ({kind.__name__}).", remedy=hint, parameter=name
            )
    return valid


def require_values(family: Estimator, params: Mapping[str, Any], *, task: Task, seed: int) -> None:
    """Make a built-in without any rows, and let it look at what its parameters are, where it can.

    Raises:
        EstimatorError: it cannot be made, or refuses a parameter.
        MissingExtra: its package is not installed.
    """
    model = _model(family, params, task=task, seed=seed)
    look = getattr(model, "check", None)
    if look is None and hasattr(model, "_parameter_constraints"):
        look = model._validate_params
    if look is None:
        return  # LightGBM and XGBoost have scikit-learn's method, but look when they are fitted
    try:
        look()
    except (TypeError, ValueError) as error:
        raise errors.EstimatorError(
            f"{family} refuses its parameters: {_reason(error)}.", remedy="Correct `train.params`."
        ) from error


def _model(family: Estimator, params: Mapping[str, Any], *, task: Task, seed: int) -> Any:
    valid = require_params(family, params, task)
    kind = _class(family, task)
    ours = {**_FAMILIES[family].defaults, **_BY_TASK.get((family, task), {})}
    if "random_state" in valid:
        ours["random_state"] = seed
    if "n_jobs" in valid and family is not Estimator.LOGISTIC_REGRESSION:
        ours["n_jobs"] = threads()
    return kind(**{**ours, **params})


def _class(family: Estimator, task: Task) -> Any:
    entry = _FAMILIES[family]
    name = entry.classifier if task is Task.CLASSIFICATION else entry.regressor
    try:
        return getattr(importlib.import_module(entry.module), name)
    except ImportError as error:
        raise errors.MissingExtra(
            f"Estimator `{family}` needs the package `{entry.module.partition('.')[0]}`: {error}.",
            remedy='`pip install "pilotage[components]"`.',
        ) from error


def threads() -> int:
    """Threads for fitting: OMP_NUM_THREADS where it is set, else at most two."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdigit() and int(stated) > 0 else min(MOST_THREADS, os.cpu_count() or 1)


def fit(estimator: Any, dataset: Dataset, name: str, where: str = "train.params") -> Any:
    """`estimator` fitted on `dataset`; its warnings are logged, each once.

    Args:
        estimator: what has a method `fit`.
        dataset: features and target.
        name: the estimator's in messages.
        where: the key of pilot.yaml that says its parameters.

    Raises:
        EstimatorError: it raised an error, or it is not one that Pilotage can use.
        Failure: there was not enough memory.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fitted = estimator.fit(dataset.frame(), dataset.target)
        except MemoryError as error:
            raise errors.Failure(
                f"There was not enough memory to fit {name} on {dataset.rows} rows.",
                remedy="Take a smaller model or fewer rows.",
            ) from error
        except errors.PilotageError:
            raise
        except Exception as error:
            raise errors.EstimatorError(
                f"Fitting {name} on {dataset.rows} rows failed: {_reason(error)}.",
                remedy=f"Correct `{where}`, or the estimator's own code.",
            ) from error
    for text in dict.fromkeys(f"{item.category.__name__}: {item.message}" for item in caught):
        logger.warning("%s says: %s", name, text)
    return _kept(estimator if fitted is None else fitted)


def _kept(fitted: Any) -> Any:
    """A pipeline whose model knows how to train, with what is stored and served in the model's place."""
    if isinstance(fitted, Pipeline) and hasattr(fitted.steps[-1][1], "stored"):
        name, model = fitted.steps[-1]
        fitted.steps[-1] = (name, model.stored())
    return fitted


def predictor(fitted: Any, dataset: Dataset, task: Task, positive: Scalar | None) -> Predictor:
    """What asks a `fitted` estimator that is not stored yet; `dataset` is what it was fitted on.

    Raises:
        EstimatorError: it gives probabilities without saying of which classes.
    """
    classes: tuple[Scalar, ...] = ()
    if task is Task.CLASSIFICATION:
        known = getattr(fitted, "classes_", None)
        if known is None and hasattr(fitted, "predict_proba"):
            raise errors.EstimatorError(
                f"The fitted {type(fitted).__name__} has `predict_proba` but no `classes_`.",
                remedy="Set `classes_` in `fit` to the sorted classes, as scikit-learn's classifiers do.",
            )
        classes = tuple(np.unique(dataset.target).tolist() if known is None else np.asarray(known).tolist())
    facts: dict[str, Any] = {"task": task, "classes": classes, "positive": positive}
    return Predictor(estimator=fitted, model=Model.model_construct(**facts))


def predict(asked: Predictor, dataset: Dataset, name: str) -> Prediction:
    """What a fitted estimator says of the rows of `dataset`.

    Raises:
        EstimatorError: it raised an error, or its answer does not fit the rows.
    """
    try:
        found = asked.predict_frame(dataset.frame())
        _check_answer(found, asked.model, dataset.rows)
    except Exception as error:
        raise errors.EstimatorError(
            f"Asking {name} for {dataset.rows} predictions failed: {_reason(error)}.",
            remedy="Correct the estimator's `predict` and `predict_proba`.",
        ) from error
    return found


def _check_answer(found: Prediction, model: Model, rows: int) -> None:
    """Raise ValueError unless there is one class or finite number a row, and probabilities are finite."""
    if found.predictions.shape != (rows,):
        raise ValueError(f"{found.predictions.shape} predictions for {rows} rows")
    numbers = found.score if found.probabilities is None else found.probabilities
    odd = int(np.count_nonzero(~np.isfinite(numbers).reshape(rows, -1).all(axis=1)))
    if odd:
        raise ValueError(f"{odd} of {rows} predictions are not finite numbers")
    if model.task is Task.CLASSIFICATION:
        strange = [value for value in np.unique(found.predictions).tolist() if value not in model.classes]
        if strange:
            raise ValueError(f"it predicts {strange[0]!r}, which is none of the classes")


def _reason(error: Exception) -> str:
    """What `error` says, on one line of bearable length."""
    text = " ".join(str(error).split())
    text = text if len(text) <= _MOST_REASON else f"{text[:_MOST_REASON]} …"
    return f"{type(error).__name__}: {text}".rstrip(" .:")


def positive_class(stated: Scalar | None, classes: Sequence[Scalar]) -> Scalar | None:
    """Of two classes the one that counts as positive: the stated one, else the last; None for more.

    Raises:
        DataError: the stated one is not among the classes.
    """
    if len(classes) != 2:
        return None
    if stated is None:
        return classes[-1]
    for value in classes:
        if value == stated and isinstance(value, bool) == isinstance(stated, bool):
            return value
    raise errors.DataError(
        f"`data.positive` is {stated!r}, but the target's classes are {classes[0]!r} and {classes[1]!r}.",
        remedy="Name one of them.",
    )


def predict_alone(estimator: Any) -> None:
    """Set a fitted estimator to one thread, which is fastest for the few rows of a request."""
    if not hasattr(estimator, "get_params"):
        return
    names = [name for name in estimator.get_params() if name == "n_jobs" or name.endswith("__n_jobs")]
    wrapped = getattr(getattr(estimator, "steps", [("", None)])[-1][1], "estimator_", None)
    estimator.set_params(**dict.fromkeys(names, 1))
    if wrapped is not None and "n_jobs" in wrapped.get_params():
        wrapped.set_params(n_jobs=1)
