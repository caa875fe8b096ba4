"""A chosen candidate stored with MLflow as `train` stores a model, with a reference profile of its own.

It is not judged or registered here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pilotage.components import provenance
from pilotage.components.datasets import Dataset
from pilotage.components.shrinking.sources import Source
from pilotage.components.shrinking.trials import Made
from pilotage.components.training import examples, importances, own_estimators, references
from pilotage.core import models
from pilotage.core.artifacts import Model, ModelFormat, Shrunk, TrainedModel
from pilotage.core.models import Predictor
from pilotage.core.registry import Registry, folders
from pilotage.core.registry.tags import PILOT_TAG, RUN_TAG, SNAPSHOT_TAG, SUITE_TAG
from pilotage.core.settings import Settings

KEY_TAG = "pilotage.shrink"
"""Of a version: what it was made of, so that it is made once."""
FROM_TAG = "pilotage.shrunk_from"
HOW_TAG = "pilotage.shrunk_how"
STUDY_TAG = "pilotage.study"


@dataclass(frozen=True)
class Order:
    """What is to be stored."""

    candidate: str
    how: str
    study: str


def key(source: Source, made: Made, order: Order) -> str:
    """A digest of the version that was shrunk and of what became of it."""
    digest = hashlib.sha256()
    inputs = repr([item.model_dump(mode="json") for item in made.form.inputs])
    for part in (source.model.digest, order.candidate, inputs, repr(made.form.base), str(made.form.link)):
        digest.update(f"{part}\0".encode())
    digest.update(made.graph)
    return digest.hexdigest()


def store(
    settings: Settings, registry: Registry, source: Source, made: Made, order: Order, out: Path
) -> TrainedModel:
    """Store a candidate in an MLflow run of the pilot and write `trained.json` in `out`.

    Raises:
        EstimatorError: it holds types that are not trusted here.
    """
    pilot = source.spec.pilot
    registry.kill_open_runs(pilot, order.study)
    mlflow_run = registry.start_run(pilot, f"shrink-{order.study}", _tags(source, order))
    try:
        train, rest = source.on(tuple(item.name for item in made.predictor.model.features))
        model = _describe(source, made, order)
        with tempfile.TemporaryDirectory(prefix="pilotage-model-") as scratch:
            place = Path(scratch) / "model"
            model = _write(place, settings, source, made.predictor, model, train, rest)
            registry.log_params(
                mlflow_run, {"candidate": order.candidate, "how": order.how, "seed": model.seed}
            )
            uri = registry.log_model(pilot, mlflow_run, place, model.params)
    except BaseException:
        registry.end_run(mlflow_run, "FAILED")
        raise
    registry.end_run(mlflow_run)
    trained = TrainedModel(model=model, mlflow_run=mlflow_run, uri=uri)
    trained.write(out)
    return trained


def version_tags(source: Source, made: Made, order: Order) -> Mapping[str, str]:
    """What the version's tags say of where it comes from."""
    return {
        KEY_TAG: key(source, made, order),
        FROM_TAG: str(source.registered.version),
        HOW_TAG: f"{order.candidate}: {order.how}"[:5000],
        STUDY_TAG: order.study,
    }


def _tags(source: Source, order: Order) -> dict[str, str]:
    return {
        RUN_TAG: order.study,
        PILOT_TAG: source.spec.pilot,
        SNAPSHOT_TAG: source.snapshot.digest,
        SUITE_TAG: source.report.suite,
        FROM_TAG: str(source.registered.version),
    }


def _describe(source: Source, made: Made, order: Order) -> Model:
    shrunk = Shrunk(
        version=source.registered.version,
        model=source.model.digest,
        candidate=order.candidate,
        how=order.how,
        study=order.study,
    )
    needs = provenance.requirements(made.predictor.estimator, ModelFormat.SKOPS)
    runtime = f"onnxruntime=={importlib.metadata.version('onnxruntime')}"
    own = own_estimators.sources(source.model.estimator, source.pilot_folder)
    facts = {
        "digest": "0" * 64,
        "format": ModelFormat.SKOPS,
        "requirements": tuple(sorted({*needs, runtime})),
        "python": provenance.python(),
        "code": provenance.code_digest(own),
        "shrunk": shrunk,
        "created_at": datetime.now(UTC),
        "validation": {},
        "trials": 0,
        "pruned": 0,
    }
    return made.predictor.model.model_copy(update=facts)


def _write(
    place: Path,
    settings: Settings,
    source: Source,
    predictor: Predictor,
    model: Model,
    train: Dataset,
    rest: Dataset,
) -> Model:
    """Write the model folder `place`; returns `model` with the digest of its file."""
    foreign = models.foreign_types(predictor.estimator, settings)
    if foreign:
        model = model.model_copy(update={"format": ModelFormat.PICKLE})
    digest = folders.save_estimator(
        place,
        predictor.estimator,
        model.format,
        features=model.features,
        task=model.task,
        classes=model.classes,
        example=examples.typical(train),
        requirements=model.requirements,
        code=(),
        settings=settings,
    )
    model = model.model_copy(update={"digest": digest})
    seed, spec = model.seed, source.spec
    held_out = predictor.predict(rest.columns)
    weights = importances.measure(replace(predictor, model=model), rest, model.estimator, seed=seed)
    profile = references.build(
        source.snapshot, train, rest, held_out, season=spec.monitor.drift.season, importances=weights
    )
    sample = references.sample(source.snapshot, rest, held_out, rows=settings.reference_sample, seed=seed)
    folders.add_facts(place, model, profile, settings, sample)
    return model
