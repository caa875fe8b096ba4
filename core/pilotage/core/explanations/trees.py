"""Exact contributions of tree ensembles: from LightGBM and XGBoost themselves, else from shap.

What an ensemble cannot tell is None; whether the sums are the model's output is
checked by whoever asked.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core.explanations import owners
from pilotage.core.explanations.attributions import Sums

logger = logging.getLogger(__name__)

Explain = Callable[[Any], Sums]
"""Contributions by column of an encoded matrix."""


def explainer(estimator: Any, names: Sequence[str]) -> Explain | None:
    """What explains frames with the features `names` for a fitted ensemble or a pipeline that ends in one."""
    encoder, model = _parts(estimator)
    owned = owners.find(encoder, names)
    tell = _teller(model)
    if owned is None or tell is None:
        return None
    position = {name: number for number, name in enumerate(names)}
    columns = np.array([position[name] for name in owned], dtype=np.intp)

    def explain(frame: Any) -> Sums:
        encoded = frame if encoder is None else encoder.transform(frame)
        sums = tell(encoded.toarray() if hasattr(encoded, "toarray") else encoded)
        return Sums(sums.base, _by_feature(sums.contributions, columns, len(names)))

    return explain


def _parts(estimator: Any) -> tuple[Any, Any]:
    """The encoder, None for none, and the model behind it."""
    from sklearn.pipeline import Pipeline

    from pilotage.core.encoders import LabelEncoded

    encoder = None
    if isinstance(estimator, Pipeline):
        encoder, estimator = (estimator[:-1] if len(estimator) > 1 else None), estimator[-1]
    return encoder, estimator.estimator_ if isinstance(estimator, LabelEncoded) else estimator


def _by_feature(
    contributions: npt.NDArray[np.float64], columns: npt.NDArray[np.intp], features: int
) -> npt.NDArray[np.float64]:
    summed = np.zeros((len(contributions), features, contributions.shape[2]))
    for column, feature in enumerate(columns):
        summed[:, feature] += contributions[:, column]
    return summed


def _teller(model: Any) -> Explain | None:
    package = type(model).__module__.partition(".")[0]
    if package == "lightgbm":
        return lambda encoded: _of_lightgbm(model, encoded)
    if package == "xgboost":
        return lambda encoded: _of_xgboost(model, encoded)
    return _of_shap(model)


def _of_lightgbm(model: Any, encoded: Any) -> Sums:
    found = np.asarray(model.predict(encoded, pred_contrib=True), dtype=np.float64)
    rows, columns = len(found), np.shape(encoded)[1] + 1
    return _split(found.reshape(rows, -1, columns))


def _of_xgboost(model: Any, encoded: Any) -> Sums:
    from xgboost import DMatrix

    found = np.asarray(model.get_booster().predict(DMatrix(encoded), pred_contribs=True), dtype=np.float64)
    return _split(found.reshape(len(found), -1, found.shape[-1]))


def _split(found: npt.NDArray[np.float64]) -> Sums:
    """Sums of contributions of shape `(rows, outputs, columns + 1)` whose last column is the base."""
    return Sums(base=found[0, :, -1], contributions=found[:, :, :-1].transpose(0, 2, 1))


def _of_shap(model: Any) -> Explain | None:
    if importlib.util.find_spec("shap") is None:
        logger.info("shap is not installed; contributions to %s are estimated", type(model).__name__)
        return None
    if not _is_of_trees(model):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap loads plotting libraries when they are installed; they warn
        import shap
    try:
        tree = shap.TreeExplainer(model)
    except Exception as error:  # shap raises what it meets in a model that it does not know
        logger.info("shap cannot explain %s exactly: %s", type(model).__name__, error)
        return None

    def tell(encoded: Any) -> Sums:
        found = np.asarray(tree.shap_values(encoded, check_additivity=False), dtype=np.float64)
        base = np.atleast_1d(np.asarray(tree.expected_value, dtype=np.float64))
        return Sums(base, found if found.ndim == 3 else found[:, :, np.newaxis])

    return tell


def _is_of_trees(model: Any) -> bool:
    """Whether to ask shap at all, which takes seconds to load."""
    return hasattr(model, "tree_") or hasattr(model, "_predictors") or hasattr(model, "estimators_")
