"""Writes the folder of a model: an MLflow model that also holds what Pilotage knows of it.

MLflow's own loaders can read it where its types allow; `pilotage.core.models`
reads it by the trust list of the settings. Nothing is logged or registered here.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.core import models, samples, storage
from pilotage.core.artifacts import Feature, Model, ModelFormat, Scalar
from pilotage.core.metrics import Task
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.settings import Settings
from pilotage.core.specs import FeatureKind

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from mlflow.models import ModelSignature

_INSIDE = "pilotage"
_INPUTS = {
    FeatureKind.NUMBER: "double",
    FeatureKind.BOOLEAN: "double",
    FeatureKind.CATEGORY: "string",
    FeatureKind.TIME: "datetime",
    FeatureKind.TEXT: "string",
    FeatureKind.IMAGE: "string",
}


def save_estimator(
    folder: Path,
    estimator: Any,
    form: ModelFormat,
    *,
    features: Sequence[Feature],
    task: Task,
    classes: Sequence[Scalar],
    example: pd.DataFrame,
    requirements: Sequence[str],
    code: Sequence[Path],
    settings: Settings,
) -> str:
    """Write `estimator` as an MLflow model into the new `folder`; returns the digest of its file.

    Args:
        folder: does not exist yet.
        estimator: fitted.
        form: skops, or pickle where skops cannot hold it.
        features: its inputs in order.
        task: what it predicts.
        classes: of a classifier.
        example: a few rows of its input.
        requirements: pinned, as pip reads them.
        code: files and folders that it needs to be loaded.
        settings: the trust list.
    """
    import mlflow.sklearn

    skops = form is ModelFormat.SKOPS
    with _quiet():
        mlflow.sklearn.save_model(
            estimator,
            str(folder),
            serialization_format="skops" if skops else "cloudpickle",
            skops_trusted_types=list(models.trusted_types(settings)) if skops else None,
            signature=signature(features, task, classes),
            input_example=example,
            pip_requirements=list(requirements),
            code_paths=[str(path) for path in code] or None,
        )
    return storage.file_digest(folder / models.FILES[form])


def add_facts(
    folder: Path,
    model: Model,
    profile: ReferenceProfile,
    settings: Settings,
    sample: pa.Table | None = None,
) -> None:
    """Add what Pilotage knows of the model in `folder`, and this installation's signature.

    Args:
        folder: of the model.
        model: what made it.
        profile: of its training rows.
        settings: whose installation signs.
        sample: held-out rows, in the layout of `pilotage.core.samples`.
    """
    model.write(folder / _INSIDE)
    profile.write(folder / _INSIDE)
    if sample is not None:
        samples.write(sample, folder / _INSIDE / samples.REFERENCE_FILE)
    models.sign(folder, settings)


def signature(features: Sequence[Feature], task: Task, classes: Sequence[Scalar]) -> ModelSignature:
    """The inputs and the output as MLflow names them; every input may be missing."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(_INPUTS[feature.kind], feature.name, required=False) for feature in features
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(_output(task, classes))]))


def _output(task: Task, classes: Sequence[Scalar]) -> str:
    if task is Task.REGRESSION or any(isinstance(value, float) for value in classes):
        return "double"
    if all(isinstance(value, bool) for value in classes):
        return "boolean"
    return "long" if all(isinstance(value, int) for value in classes) else "string"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps still what MLflow says on every save.

    It warns of pickle, which our settings decide on, and compares names in a way pandas deprecates.
    """
    logger = logging.getLogger("mlflow.sklearn")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Operation with range is deprecated")
            yield
    finally:
        logger.setLevel(level)
