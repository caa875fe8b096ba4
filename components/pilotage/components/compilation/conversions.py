"""What we do not know, through skl2onnx and onnxmltools: a pilot's own pipeline on numbers.

They convert in single precision and know many estimators but not all; whether
the result agrees with the model is `parities`' question.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

from pilotage.core import errors
from pilotage.core.artifacts import Feature, Input, NumberInput
from pilotage.core.specs import FeatureKind

_PLAIN = (FeatureKind.NUMBER, FeatureKind.BOOLEAN)
_OPSET, _ML_OPSET = 18, 3


def convert(estimator: Any, features: Sequence[Feature]) -> tuple[tuple[Input, ...], bytes]:
    """Inputs and serialised graph of a fitted `estimator` that takes `features`.

    The graph gives what a regressor predicts or a classifier's probabilities, as its only output.

    Raises:
        EstimatorError: a feature is not a number, or skl2onnx does not know the estimator.
    """
    other = [feature.name for feature in features if feature.kind not in _PLAIN]
    if other:
        raise errors.EstimatorError(
            f"An estimator of one's own with features like `{other[0]}` has no table."
        )
    classifier = hasattr(estimator, "classes_")
    if classifier and not hasattr(estimator, "predict_proba"):
        raise errors.EstimatorError("A classifier without probabilities has no form.")
    inputs = tuple(NumberInput(feature=feature.name) for feature in features)
    return inputs, _converted(estimator, len(features), classifier)


def _converted(estimator: Any, width: int, classifier: bool) -> bytes:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    logging.getLogger("skl2onnx").setLevel(logging.ERROR)
    try:
        _know_boosters()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own libraries about each other
            made = convert_sklearn(
                estimator,
                initial_types=[("x", FloatTensorType([None, width]))],
                options={id(estimator): {"zipmap": False}} if classifier else None,
                target_opset={"": _OPSET, "ai.onnx.ml": _ML_OPSET},
            )
            if classifier:
                made = select_model_inputs_outputs(made, [made.graph.output[1].name])
    except Exception as error:  # it raises whatever its converters meet
        lines = str(error).strip().splitlines() or [""]
        raise errors.EstimatorError(
            f"skl2onnx cannot convert it: {type(error).__name__}: {lines[0]}"
        ) from error
    return bytes(made.SerializeToString())


def _know_boosters() -> None:
    """Have skl2onnx convert LightGBM's and XGBoost's models inside a pipeline as onnxmltools does."""
    import lightgbm
    import xgboost
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator

    of_classes = shape_calculator.calculate_linear_classifier_output_shapes
    of_numbers = shape_calculator.calculate_linear_regressor_output_shapes
    options: dict[str, list[Any]] = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    for kind, converter in (
        (lightgbm.LGBMClassifier, convert_lightgbm),
        (xgboost.XGBClassifier, convert_xgboost),
    ):
        update_registered_converter(kind, f"Own{kind.__name__}", of_classes, converter, options=options)
    for kind, converter in (
        (lightgbm.LGBMRegressor, convert_lightgbm),
        (xgboost.XGBRegressor, convert_xgboost),
    ):
        split = {"split": None} if kind is lightgbm.LGBMRegressor else None
        update_registered_converter(kind, f"Own{kind.__name__}", of_numbers, converter, options=split)
