"""LightGBM's and XGBoost's models as arrays, read from the text in which the libraries store them.

Both formats give every threshold with all its digits. Objectives are taken from
a list: an unknown one would need a link that nobody has checked.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from pilotage.components.compilation.estimators import SINGLE_TOLERANCE, Body, Ensemble, Floats, Tree
from pilotage.core import errors
from pilotage.core.artifacts import Link

_LIGHTGBM = {
    "binary sigmoid:1": Link.LOGISTIC,
    "multiclass": Link.SOFTMAX,
    "regression": Link.IDENTITY,
    "regression_l1": Link.IDENTITY,
    "huber": Link.IDENTITY,
    "fair": Link.IDENTITY,
    "quantile": Link.IDENTITY,
    "mape": Link.IDENTITY,
    "poisson": Link.EXP,
    "gamma": Link.EXP,
    "tweedie": Link.EXP,
}
_XGBOOST = {
    "binary:logistic": Link.LOGISTIC,
    "multi:softprob": Link.SOFTMAX,
    "reg:squarederror": Link.IDENTITY,
    "reg:absoluteerror": Link.IDENTITY,
    "reg:pseudohubererror": Link.IDENTITY,
    "reg:quantileerror": Link.IDENTITY,
    "count:poisson": Link.EXP,
    "reg:gamma": Link.EXP,
    "reg:tweedie": Link.EXP,
}
_DEFAULT_LEFT = 2
_MISSING_NONE, _MISSING_NAN = 0, 2


def lightgbm(model: Any) -> Body:
    """The tables of a fitted LGBMClassifier or LGBMRegressor."""
    head, *blocks = model.booster_.model_to_string(importance_type="gain").split("\nTree=")
    facts = _facts(head)
    objective = facts.get("objective", "")
    link = _LIGHTGBM.get(objective) or _LIGHTGBM.get(objective.partition(" num_class:")[0])
    if link is None or "average_output" in head:
        raise errors.EstimatorError(f"LightGBM's objective `{objective or 'none'}` is not known.")
    outputs = int(facts["num_tree_per_iteration"])
    trees = tuple(_lightgbm_tree(_facts(block), number % outputs) for number, block in enumerate(blocks))
    return Body(Ensemble(trees), np.zeros(outputs), link)


def _facts(text: str) -> dict[str, str]:
    lines = text.partition("\n\n\n")[0].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _lightgbm_tree(facts: dict[str, str], target: int) -> Tree:
    if int(facts.get("num_cat", "0")) or facts.get("is_linear", "0") != "0":
        raise errors.EstimatorError("LightGBM's categorical splits and linear leaves have no table.")
    values = _floats(facts["leaf_value"])
    inner = int(facts["num_leaves"]) - 1
    kinds = _integers(facts.get("decision_type", "")) if inner else np.zeros(0, dtype=np.int64)
    missing = kinds >> 2 & 3
    if not np.isin(missing, (_MISSING_NONE, _MISSING_NAN)).all():
        raise errors.EstimatorError("LightGBM's `zero_as_missing` has no table.")
    threshold = _floats(facts.get("threshold", "")) if inner else np.zeros(0)
    # where training saw no missing value, LightGBM takes one as zero
    left = np.where(missing == _MISSING_NAN, kinds & _DEFAULT_LEFT != 0, threshold >= 0)

    def child(key: str) -> Any:
        """Leaves follow the inner nodes; LightGBM counts them from -1 downwards."""
        found = _integers(facts.get(key, "")) if inner else np.zeros(0, dtype=np.int64)
        return np.concatenate([np.where(found < 0, inner + ~found, found), np.zeros(values.size, np.int64)])

    def padded(found: Any, kind: Any) -> Any:
        return np.concatenate([found, np.zeros(values.size)]).astype(kind)

    return Tree(
        feature=padded(_integers(facts.get("split_feature", "")) if inner else [], np.int64),
        threshold=padded(threshold, np.float64),
        left=child("left_child"),
        right=child("right_child"),
        missing_left=padded(left, bool),
        leaf=np.arange(inner + values.size) >= inner,
        values=np.concatenate([np.zeros(inner), values]).reshape(-1, 1),
        target=target,
    )


def _floats(text: str) -> Floats:
    return np.array(text.split(), dtype=np.float64)


def _integers(text: str) -> Any:
    return np.array(text.split(), dtype=np.int64)


def xgboost(model: Any) -> Body:
    """The tables of a fitted XGBClassifier or XGBRegressor."""
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    link = _XGBOOST.get(objective)
    if link is None or booster["name"] != "gbtree":
        raise errors.EstimatorError(
            f"XGBoost's objective `{objective}` with booster `{booster['name']}` is not known."
        )
    if not (model.missing is None or math.isnan(model.missing)):
        raise errors.EstimatorError(f"XGBoost's `missing` is {model.missing}, expected NaN.")
    content = booster["model"]
    facts = learner["learner_model_param"]
    outputs = max(int(facts["num_class"]), 1)
    trees = tuple(
        _xgboost_tree(tree, target)
        for tree, target in zip(content["trees"], content["tree_info"], strict=True)
    )
    base = np.broadcast_to(
        np.array(json.loads(facts["base_score"]), dtype=np.float64).reshape(-1), (outputs,)
    )
    return Body(
        Ensemble(trees, strict=True), _margin(base, link), link, single=True, tolerance=SINGLE_TOLERANCE
    )


def _margin(base: Floats, link: Link) -> Floats:
    """XGBoost keeps its base as a probability or a mean."""
    if link is Link.LOGISTIC:
        return np.asarray(-np.log(1.0 / base - 1.0))
    return np.asarray(np.log(base)) if link is Link.EXP else base


def _xgboost_tree(tree: dict[str, Any], target: int) -> Tree:
    if any(tree["split_type"]) or int(tree["tree_param"].get("size_leaf_vector", "1")) > 1:
        raise errors.EstimatorError("XGBoost's categorical splits and vector leaves have no table.")
    left = np.array(tree["left_children"], dtype=np.int64)
    leaf = left < 0
    conditions = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    return Tree(
        feature=np.where(leaf, 0, np.array(tree["split_indices"], dtype=np.int64)),
        threshold=conditions,
        left=left,
        right=np.array(tree["right_children"], dtype=np.int64),
        missing_left=np.array(tree["default_left"], dtype=bool),
        leaf=leaf,
        values=conditions.reshape(-1, 1),
        target=target,
    )
