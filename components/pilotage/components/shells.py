"""The steps as everything outside calls them: names of files in, files out, metadata back.

The KFP components and `python -m pilotage.components` are both thin wrappers
around these functions, so a step behaves the same in both. `run` names the run; `folder` is a path, or
a bundle (see `outcomes`). Each imports what its step needs before the clock
starts: what is measured as step time is the plain function alone. No step's
work is done here.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pilotage.components.imports import IMPORTS
from pilotage.components.outcomes import Metadata, told
from pilotage.core import errors, pilots, settings
from pilotage.core.artifacts import (
    Artifact,
    Report,
    Scorecard,
    Scores,
    Snapshot,
    TrainedModel,
    Usage,
    Version,
)
from pilotage.core.costs.usages import Clock
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec, Step

TIMES = "PILOTAGE_STEP_TIMES"
"""Environment variable: a file to which each step appends when its function began and ended, as JSON."""
PAGE = "report.html"
SCORES = "scores.parquet"

Result = TypeVar("Result", bound=Artifact)


@told("ingest", "snapshot")
def ingest(pilot: str, folder: str, run: str = "", *, out: str) -> Metadata:
    """Source to snapshot; `pilot` is the spec as JSON, `out` the folder for `snapshot.json`."""
    step = _load("ingest")
    with _step("ingest", pilot, folder, out) as (spec, place, installation, target):
        snapshot: Snapshot = _timed("ingest", lambda: step.ingest(spec, place, installation, target))
    _ensure(snapshot, target)
    return {"digest": snapshot.digest, "rows": snapshot.rows, "features": len(snapshot.features)}


@told("validate", "report")
def validate(pilot: str, folder: str, run: str = "", *, snapshot: str, out: str, page: str = "") -> Metadata:
    """Snapshot to report; the page is copied to `page` if that is named."""
    step = _load("validate")
    with _step("validate", pilot, folder, out) as (spec, place, installation, target):
        found = Snapshot.read(Path(snapshot))
        champion = champion_snapshot(installation, spec.pilot)
        try:
            report: Report = _timed(
                "validate", lambda: step.validate(spec, place, installation, found, champion, target)
            )
        finally:
            _copy_page(target, page)
    _ensure(report, target)
    failed = sum(not check.success for check in report.checks)
    return {
        "digest": report.content_digest,
        "success": report.success,
        "checks": len(report.checks),
        "failed": failed,
    }


@told("train", "model")
def train(pilot: str, folder: str, run: str, *, snapshot: str, report: str, out: str) -> Metadata:
    """Snapshot to a model in MLflow; `out` is the folder for `trained.json`."""
    step = _load("train")
    with _step("train", pilot, folder, out) as (spec, place, installation, target):
        found, checked = Snapshot.read(Path(snapshot)), Report.read(Path(report))
        trained: TrainedModel = _timed(
            "train", lambda: step.train(spec, place, installation, found, checked, run, target)
        )
    _ensure(trained, target)
    metrics = {f"validation_{name}": value for name, value in trained.model.validation.items()}
    if trained.model.workers > 1:
        metrics |= {"workers": trained.model.workers, "worker_restarts": trained.model.restarts}
    return {
        "digest": trained.content_digest,
        "uri": trained.uri,
        "mlflow_run": trained.mlflow_run,
        "metrics": metrics,
    }


@told("evaluate", "scorecard")
def evaluate(
    pilot: str, folder: str, run: str = "", *, snapshot: str, report: str, model: str, out: str
) -> Metadata:
    """Model, held-out rows and champion to scorecard."""
    step = _load("evaluate")
    with _step("evaluate", pilot, folder, out) as (spec, place, installation, target):
        found, checked = Snapshot.read(Path(snapshot)), Report.read(Path(report))
        trained = TrainedModel.read(Path(model))
        scorecard: Scorecard = _timed(
            "evaluate",
            lambda: step.evaluate(
                spec,
                place,
                installation,
                found,
                checked,
                trained,
                target,
                used=_used(ingest=snapshot, validate=report, train=model),
            ),
        )
    _ensure(scorecard, target)
    metrics = {name: found.value for name, found in scorecard.metrics.items() if found.value is not None}
    return {"digest": scorecard.content_digest, "passed": scorecard.passed, "metrics": metrics}


@told("register", "version")
def register(
    pilot: str, folder: str, run: str, *, snapshot: str, report: str, model: str, scorecard: str, out: str
) -> Metadata:
    """Model and scorecard to a version, promoted when gates and approval allow."""
    step = _load("register")
    with _step("register", pilot, folder, out) as (spec, place, installation, target):
        inputs = (
            Snapshot.read(Path(snapshot)),
            Report.read(Path(report)),
            TrainedModel.read(Path(model)),
            Scorecard.read(Path(scorecard)),
        )
        origins = (Path(snapshot) / Snapshot.FILE, Path(report) / Report.FILE)

        def file_and_register() -> Version:
            _keep(installation, inputs[2].mlflow_run, *origins)
            made: Version = step.register(spec, place, installation, *inputs, run, target)
            return made

        version = _timed("register", file_and_register)
    _ensure(version, target)
    return {
        "digest": version.content_digest,
        "version": version.version,
        "decision": str(version.decision),
        "promoted": version.promoted,
    }


def score(pilot: str, folder: str, *, source: str, version: int = 0, out: str) -> Metadata:
    """Rows of `source` to predictions in `out`, by the champion where `version` is 0.

    Finished parts are kept in the installation's home, where a repeated attempt finds them.
    """
    step = _load("score")
    with _step("score", pilot, folder, out) as (spec, place, installation, target):
        words = json.dumps([spec.pilot, source, version, folder])
        resources = spec.cluster.steps.get("score", Step()).resources
        parts = installation.home / "scoring" / hashlib.sha256(words.encode()).hexdigest()[:16]

        def write() -> Scores:
            made: Scores = step.score(
                spec.pilot, installation, source, target / SCORES,
                folder=place, version=version or None, parts=parts, resources=resources,
            )  # fmt: skip
            return made

        scores = _timed("score", write)
    _ensure(scores, target)
    return {
        "digest": scores.sha256,
        "rows": scores.rows,
        "version": scores.version,
        "file": str(target / SCORES),
    }


def _keep(installation: Settings, mlflow_run: str, *files: Path) -> None:
    """Store what the version came from with its run, where `champion_snapshot` finds it."""
    registry = Registry(installation)
    for file in files:
        registry.log_file(mlflow_run, file)


def champion_snapshot(installation: Settings, pilot: str) -> Snapshot | None:
    """The snapshot that trained the champion; None when there is no champion or it keeps none."""
    registry = Registry(installation)
    champion = registry.champion(pilot)
    if champion is None:
        return None
    try:
        return Snapshot.read(registry.run_file(champion.run, Snapshot.FILE))
    except errors.NotFound:
        return None


@contextmanager
def _step(name: str, pilot: str, folder: str, out: str) -> Iterator[tuple[PilotSpec, Path, Settings, Path]]:
    """What every step needs: the spec, the pilot's folder, settings and a fresh folder for its outputs."""
    target = Path(out)
    shutil.rmtree(target, ignore_errors=True)  # of an attempt that failed
    target.mkdir(parents=True)
    clock = Clock()
    yield pilots.from_json(pilot), Path(folder), settings.load(), target
    clock.read().write(target)


def _used(**folders: str) -> dict[str, Usage]:
    """What earlier steps used, as they left it beside what they made; older ones left nothing."""
    return {
        step: Usage.read(Path(folder))
        for step, folder in folders.items()
        if (Path(folder) / Usage.FILE).is_file()
    }


def _load(step: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries about what they import themselves
            found = [importlib.import_module(name) for name in IMPORTS[step]]
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pilotage"):
            raise
        raise errors.MissingExtra(
            f"Step `{step}` needs the library `{error.name}`, which is not installed.",
            remedy='pip install "pilotage[components]"',
        ) from error
    return found[-1]


def _timed(step: str, function: Callable[[], Result]) -> Result:
    began = time.time()
    try:
        return function()
    finally:
        _note_time(step, began, time.time())


def _note_time(step: str, began: float, ended: float) -> None:
    name = os.environ.get(TIMES)
    if name:
        line = json.dumps({"step": step, "began": began, "ended": ended, "pid": os.getpid()}) + "\n"
        with Path(name).open("a", encoding="utf-8") as stream:
            stream.write(line)


def _ensure(artifact: Artifact, target: Path) -> None:
    """The manifest is there: a step that leaves writing it to its caller gets it written."""
    if not (target / artifact.FILE).is_file():
        artifact.write(target)


def _copy_page(target: Path, page: str) -> None:
    if page and (target / PAGE).is_file():
        Path(page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target / PAGE, page)
