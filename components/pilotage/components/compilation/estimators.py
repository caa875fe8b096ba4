"""A fitted estimator as plain arrays: trees of every library in one layout, or coefficients.

Read from the models' own tables and never from their code; what has no table
(another objective, categorical splits of its own) is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core import errors
from pilotage.core.artifacts import Link
from pilotage.core.encoders import LabelEncoded

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

DOUBLE_TOLERANCE = 1e-6
"""For models that compute in 64 bits; what is found is near 1e-15."""
SINGLE_TOLERANCE = 1e-5
"""For models that add up hundreds of trees in 32 bits themselves."""


@dataclass(frozen=True)
class Tree:
    """One tree of `n` nodes, node 0 its root."""

    feature: Integers
    threshold: Floats
    left: Integers
    """Node where the value is at most the threshold (below it where the ensemble is `strict`)."""
    right: Integers
    missing_left: Truths
    leaf: Truths
    values: Floats
    """Shape `(n, targets)`, of leaves."""
    target: int = 0
    """Output that the first column of `values` is added to."""


@dataclass(frozen=True)
class Ensemble:
    """Trees whose values are added up."""

    trees: tuple[Tree, ...]
    strict: bool = False
    """Left is for values below the threshold, not for those at it."""


@dataclass(frozen=True)
class Linear:
    """`x @ coefficients + intercept`."""

    coefficients: Floats
    """Shape `(width, outputs)`."""


@dataclass(frozen=True)
class Layers:
    """`Linear` parts one after the other, with rectifiers between them."""

    weights: tuple[Floats, ...]
    """Of each layer, shape `(inputs, outputs)`."""
    biases: tuple[Floats, ...]
    """Of each layer but the last, whose is the body's base."""


@dataclass(frozen=True)
class Body:
    """What is left of an estimator."""

    part: Ensemble | Linear | Layers
    base: Floats
    """Shape `(outputs,)`."""
    link: Link
    single: bool = False
    """It rounds its inputs to 32 bits."""
    tolerance: float = field(default=DOUBLE_TOLERANCE)


def body(model: Any) -> Body:
    """The tables of a fitted `model`, which is one of the built-in estimators.

    Raises:
        EstimatorError: it is another one, or set up in a way that has no table.
    """
    from pilotage.components.compilation import boosters

    inner = model.estimator_ if isinstance(model, LabelEncoded) else model
    readers: dict[str, Callable[[Any], Body]] = {
        "HistGradientBoostingClassifier": _hist,
        "HistGradientBoostingRegressor": _hist,
        "RandomForestClassifier": _forest,
        "RandomForestRegressor": _forest,
        "LogisticRegression": _logistic,
        "Ridge": _ridge,
        "NetworkClassifier": _network,
        "NetworkRegressor": _network,
        "LGBMClassifier": boosters.lightgbm,
        "LGBMRegressor": boosters.lightgbm,
        "XGBClassifier": boosters.xgboost,
        "XGBRegressor": boosters.xgboost,
    }
    reader = readers.get(type(inner).__name__)
    library = type(inner).__module__.partition(".")[0]
    if reader is None or library not in ("sklearn", "lightgbm", "xgboost", "pilotage"):
        raise errors.EstimatorError(f"{type(inner).__name__} is no estimator whose tables are known.")
    return reader(inner)


_HIST_LINKS = {
    "IdentityLink": Link.IDENTITY,
    "LogLink": Link.EXP,
    "LogitLink": Link.LOGISTIC,
    "MultinomialLogit": Link.SOFTMAX,
}


def _hist(model: Any) -> Body:
    if model.is_categorical_ is not None:
        raise errors.EstimatorError("Gradient boosting with `categorical_features` of its own has no table.")
    link = _HIST_LINKS.get(type(model._loss.link).__name__)
    if link is None:
        raise errors.EstimatorError(f"Its loss `{model.loss}` is not known.")
    trees = tuple(
        _hist_tree(predictor.nodes, target)
        for iteration in model._predictors
        for target, predictor in enumerate(iteration)
    )
    return Body(Ensemble(trees), np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1), link)


def _hist_tree(nodes: Any, target: int) -> Tree:
    return Tree(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        leaf=nodes["is_leaf"].astype(bool),
        values=nodes["value"].astype(np.float64).reshape(-1, 1),
        target=target,
    )


def _forest(model: Any) -> Body:
    if model.n_outputs_ != 1:
        raise errors.EstimatorError("A forest with several targets has no table.")
    classifier = hasattr(model, "classes_")
    trees = tuple(_grown(grown.tree_, len(model.estimators_), classifier) for grown in model.estimators_)
    outputs = trees[0].values.shape[1]
    link = (Link.SECOND if outputs == 1 else Link.PROBABILITIES) if classifier else Link.IDENTITY
    return Body(Ensemble(trees), np.zeros(outputs), link, single=True)


def _grown(tree: Any, count: int, classifier: bool) -> Tree:
    """One of `count` trees; of two classes only the second is kept."""
    values = tree.value[:, 0, :].astype(np.float64)
    if classifier:
        values = values / values.sum(axis=1, keepdims=True)
        values = values[:, 1:] if values.shape[1] == 2 else values
    leaf = tree.children_left < 0
    missing = getattr(tree, "missing_go_to_left", None)
    return Tree(
        feature=np.where(leaf, 0, tree.feature).astype(np.int64),
        threshold=tree.threshold.astype(np.float64),
        left=tree.children_left.astype(np.int64),
        right=tree.children_right.astype(np.int64),
        missing_left=np.zeros(leaf.size, dtype=bool) if missing is None else np.asarray(missing, dtype=bool),
        leaf=leaf,
        values=values / count,
    )


def _logistic(model: Any) -> Body:
    weights = np.asarray(model.coef_, dtype=np.float64).T
    base = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64), weights.shape[1:])
    return Body(Linear(weights), base, Link.LOGISTIC if weights.shape[1] == 1 else Link.SOFTMAX)


def _ridge(model: Any) -> Body:
    weights = np.asarray(model.coef_, dtype=np.float64).reshape(-1, 1)
    base = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64).reshape(-1), (1,))
    return Body(Linear(weights), base, Link.IDENTITY)


def _network(model: Any) -> Body:
    weights = tuple(np.asarray(part, dtype=np.float64) for part in model.weights_)
    *biases, base = (np.asarray(part, dtype=np.float64) for part in model.biases_)
    link = Link.SOFTMAX if hasattr(model, "classes_") else Link.IDENTITY
    return Body(Layers(weights, tuple(biases)), base, link)
