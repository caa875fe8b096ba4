"""The step that makes a model: snapshot in, MLflow model folder with reference profile out.

Every parameter, metric, seed and digest is logged; whatever goes wrong, the
MLflow run does not stay open. How good the model is on held-out rows is
evaluation's question; those rows are only scored here for the profile.
"""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

import pilotage.core.safes  # noqa: F401 - takes seconds; loaded with the step and not while it runs
from pilotage.components import datasets, provenance, splits
from pilotage.components.datasets import Dataset
from pilotage.components.synthesis import augmentations
from pilotage.components.training import (
    estimators,
    examples,
    importances,
    own_estimators,
    references,
    searches,
)
from pilotage.components.training.deep import embedders, modules, torches
from pilotage.components.training.deep.embedders import Embedder
from pilotage.components.training.searches import Found
from pilotage.core import errors, models, storage
from pilotage.core.artifacts import Model, ModelFormat, Report, Scalar, Snapshot, Synthetic, TrainedModel
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction, Predictor
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Registry, folders
from pilotage.core.registry.tags import PILOT_TAG, REVISION_TAG, RUN_TAG, SNAPSHOT_TAG, SOURCE_TAG, SUITE_TAG
from pilotage.core.settings import Settings
from pilotage.core.specs import Estimator, PilotSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from pilotage.components.distributed.crews import Crew

logger = logging.getLogger(__name__)

TRIALS_FILE = "trials.json"


@dataclass(frozen=True)
class _Fitted:
    """A fitted estimator and what is known of it before it is stored."""

    predictor: Predictor
    form: ModelFormat
    params: dict[str, Any]
    classes: tuple[Scalar, ...]
    positive: Scalar | None
    found: Found | None
    held_out: Prediction
    restarts: int
    """Of workers that were lost."""
    synthetic: Synthetic | None
    """What is known of synthetic rows that it was fitted on too."""


class _Reference(NamedTuple):
    """What the monitor will compare with."""

    profile: ReferenceProfile
    sample: pa.Table | None


def train(
    spec: PilotSpec, folder: Path, settings: Settings, snapshot: Snapshot, report: Report, run: str, out: Path
) -> TrainedModel:
    """Train on the earlier part of `snapshot`, store the model with MLflow and write `trained.json` in `out`.

    Raises:
        EstimatorError: the estimator or its parameters are wrong.
        DataError: the rows cannot be divided or used.
    """
    augmentations.check(spec)
    shared = spec.train.resources.workers > 1
    dataset = (datasets.opened if shared else datasets.load)(settings, snapshot)
    parts = splits.split(dataset, spec.task, spec.data.split.test)
    rows, rest = dataset.take(parts.train), dataset.take(parts.test).held()
    registry = Registry(settings)
    registry.kill_open_runs(spec.pilot, run)
    mlflow_run = registry.start_run(spec.pilot, f"train-{run}", _tags(spec, folder, snapshot, report, run))
    try:
        with _crew(spec, folder, settings, snapshot, parts.train, run) as crew:
            fitted = _fit(spec, folder, settings, rows, rest, crew)
            reference = _reference(spec, settings, snapshot, fitted, rows, rest, crew)
        own = own_estimators.sources(spec.train.estimator, folder)
        model = _describe(spec, snapshot, fitted, rows, rest, own)
        with tempfile.TemporaryDirectory(prefix="pilotage-model-") as scratch:
            place = Path(scratch)
            model = _store(place / "model", model, reference, fitted, rows, folder, own, settings)
            _log(registry, mlflow_run, model, fitted, place)
            uri = registry.log_model(spec.pilot, mlflow_run, place / "model", model.params)
    except BaseException:
        registry.end_run(mlflow_run, "FAILED")
        raise
    registry.end_run(mlflow_run)
    trained = TrainedModel(model=model, mlflow_run=mlflow_run, uri=uri)
    trained.write(out)
    return trained


def _tags(spec: PilotSpec, folder: Path, snapshot: Snapshot, report: Report, run: str) -> dict[str, str]:
    tags = {
        RUN_TAG: run,
        PILOT_TAG: spec.pilot,
        SNAPSHOT_TAG: snapshot.digest,
        SUITE_TAG: report.suite,
        SOURCE_TAG: snapshot.source[:5000],
    }
    revision = provenance.revision(folder)
    return tags if revision is None else {**tags, REVISION_TAG: revision}


@contextmanager
def _crew(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    snapshot: Snapshot,
    positions: npt.NDArray[np.int64],
    run: str,
) -> Iterator[Crew | None]:
    """Who shares the work on the rows at `positions`; None where one process does it."""
    if spec.train.resources.workers == 1:
        yield None
        return
    from pilotage.components.distributed import crews

    with crews.formed(spec, folder, settings, snapshot, positions, run) as crew:
        yield crew


def _fit(
    spec: PilotSpec, folder: Path, settings: Settings, rows: Dataset, rest: Dataset, crew: Crew | None
) -> _Fitted:
    classes = tuple(np.unique(rows.target).tolist()) if spec.task is Task.CLASSIFICATION else ()
    positive = estimators.positive_class(spec.data.positive, classes)
    found, on_gpu = None, _on_gpu(spec)
    embedder = Embedder(spec, folder, settings, estimators.threads())
    if spec.train.search is not None and crew is not None:
        found = crew.search(spec.train.search, rows, positive)
    elif spec.train.search is not None:
        augment = augmentations.augmenter(spec)
        found = searches.search(spec, spec.train.search, folder, rows, positive, embedder, augment)
    params = {**spec.train.params, **(found.params if found else {})}
    name = spec.train.estimator
    seen, counts, synthesizer = augmentations.add(spec, rows)
    if crew is not None:
        estimator = crew.fit({**on_gpu, **params}, rows)
    else:
        estimator = estimators.build(
            name,
            {**on_gpu, **params},
            task=spec.task,
            dataset=seen,
            seed=spec.train.seed,
            folder=folder,
            embedder=embedder,
        )
        estimator = estimators.fit(estimator, seen, name)
    estimators.predict_alone(estimator)
    predictor = estimators.predictor(estimator, seen, spec.task, positive)
    synthetic = None
    if spec.data.augment is not None:
        synthetic = augmentations.describe(spec, folder, counts, rows, rest, synthesizer, positive)
    held_out = estimators.predict(predictor, rest, name)
    return _Fitted(
        predictor=predictor,
        form=_format(estimator, settings),
        params=params,
        classes=predictor.model.classes,
        positive=positive,
        found=found,
        held_out=held_out,
        restarts=0 if crew is None else crew.restarts,
        synthetic=synthetic,
    )


def _on_gpu(spec: PilotSpec) -> dict[str, str]:
    """What `mlp` is told where pilot.yaml asks for a GPU.

    Raises:
        EstimatorError: there is none here.
    """
    if spec.train.estimator != Estimator.MLP or not spec.train.resources.gpu:
        return {}
    return {"device": torches.device(torches.Device.CUDA, modules.WHAT)}


def _format(estimator: Any, settings: Settings) -> ModelFormat:
    """Skops where it can hold the estimator with types that are trusted here, else pickle."""
    try:
        foreign = models.foreign_types(estimator, settings)
    except Exception as error:  # skops raises whatever it meets in a type it does not know
        logger.warning(
            "skops cannot hold %s (%s); the model is pickled and signed", type(estimator).__name__, error
        )
        return ModelFormat.PICKLE
    if foreign:
        logger.warning(
            "types %s are not on the trust list; the model is pickled and signed", ", ".join(foreign)
        )
        return ModelFormat.PICKLE
    return ModelFormat.SKOPS


def _reference(
    spec: PilotSpec,
    settings: Settings,
    snapshot: Snapshot,
    fitted: _Fitted,
    rows: Dataset,
    rest: Dataset,
    crew: Crew | None,
) -> _Reference:
    seed, season = spec.train.seed, spec.monitor.drift.season
    weights = importances.measure(fitted.predictor, rest, spec.train.estimator, seed=seed)
    profile = references.build(
        snapshot,
        rows,
        rest,
        fitted.held_out,
        season=season,
        importances=weights,
        counted=None if crew is None else crew.profiles(season),
    )
    most = settings.reference_sample
    return _Reference(profile, references.sample(snapshot, rest, fitted.held_out, rows=most, seed=seed))


def _describe(
    spec: PilotSpec,
    snapshot: Snapshot,
    fitted: _Fitted,
    rows: Dataset,
    rest: Dataset,
    own: Sequence[Path],
) -> Model:
    found = fitted.found
    return Model(
        pilot=spec.pilot,
        digest="0" * 64,
        format=fitted.form,
        estimator=spec.train.estimator,
        params=fitted.params,
        seed=spec.train.seed,
        features=rows.features,
        encoders=embedders.encoders_of(fitted.predictor.estimator),
        target=snapshot.target,
        task=spec.task,
        classes=fitted.classes,
        positive=fitted.positive,
        time=snapshot.time,
        key=snapshot.key,
        personal=spec.data.personal,
        personal_key=snapshot.personal_key,
        synthetic=fitted.synthetic,
        snapshot=snapshot.digest,
        train_rows=rows.rows,
        test_rows=rest.rows,
        trained_until=None if rows.times is None else references.instant(rows.times.max()),
        validation={} if found is None else {spec.goal.metric: found.value},
        trials=0 if found is None else found.trials,
        pruned=0 if found is None else found.pruned,
        workers=spec.train.resources.workers,
        restarts=fitted.restarts,
        requirements=provenance.requirements(fitted.predictor.estimator, fitted.form),
        python=provenance.python(),
        code=provenance.code_digest(own),
        created_at=datetime.now(UTC),
    )


def _store(
    target: Path,
    model: Model,
    reference: _Reference,
    fitted: _Fitted,
    rows: Dataset,
    folder: Path,
    own: Sequence[Path],
    settings: Settings,
) -> Model:
    """Write the model folder `target`; returns `model` with the digest of its file."""
    try:
        digest = folders.save_estimator(
            target,
            fitted.predictor.estimator,
            fitted.form,
            features=model.features,
            task=model.task,
            classes=model.classes,
            example=examples.typical(rows),
            requirements=model.requirements,
            code=_copy_code(own, folder, target.with_name("own")),
            settings=settings,
        )
    except (TypeError, AttributeError, RecursionError, pickle.PicklingError) as error:
        raise errors.EstimatorError(
            f"The fitted {model.estimator} cannot be stored: {type(error).__name__}: {error}.",
            remedy="Keep open files, locks and generators out of the estimator's attributes.",
        ) from error
    stored = model.model_copy(update={"digest": digest})
    folders.add_facts(target, stored, reference.profile, settings, reference.sample)
    return stored


def _copy_code(own: Sequence[Path], folder: Path, target: Path) -> list[Path]:
    """Copies of the pilot's `own` files, laid out as in its folder; returns what is at the top."""
    root = folder.resolve()
    for path in own:
        copy = target / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return sorted(target.iterdir()) if target.is_dir() else []


def _log(registry: Registry, mlflow_run: str, model: Model, fitted: _Fitted, place: Path) -> None:
    facts = {
        "estimator": model.estimator,
        "seed": model.seed,
        "snapshot": model.snapshot,
        "code": model.code,
        "format": model.format,
        "train_rows": model.train_rows,
        "test_rows": model.test_rows,
        "features": len(model.features),
    }
    if model.synthetic is not None:
        facts["synthetic_rows"] = model.synthetic.rows
    registry.log_params(
        mlflow_run, {**{f"params.{name}": value for name, value in model.params.items()}, **facts}
    )
    metrics = {f"validation_{name}": value for name, value in model.validation.items()}
    if model.workers > 1:
        metrics |= {"workers": float(model.workers), "worker_restarts": float(model.restarts)}
    if fitted.found is not None:
        metrics |= {"trials": float(model.trials), "pruned_trials": float(model.pruned)}
        trials = place / TRIALS_FILE
        storage.write_file(trials, (json.dumps(fitted.found.history, indent=2) + "\n").encode())
        registry.log_file(mlflow_run, trials)
    registry.log_metrics(mlflow_run, metrics)
