"""Trying out what no run shows: that training again gives the same answers, and that a linear model is worse.

Both take the champion's own snapshot, rows, parameters and seed, train in this process, and store no model
and no run: only the proof is kept. The libraries that train are imported when something is tried out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pilotage.core import errors
from pilotage.core.metrics import Task
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import Estimator
from pilotage.pipelines import studies, tables
from pilotage.pipelines.readiness import histories, judgements, proofs, suites
from pilotage.pipelines.readiness.proofs import Kind, Proof
from pilotage.pipelines.readiness.scores import Readiness
from pilotage.pipelines.readiness.subjects import Subject
from pilotage.pipelines.studies import Progress

if TYPE_CHECKING:
    from pilotage.components.datasets import Dataset
    from pilotage.core.artifacts import Model

TOLERANCE = 1e-9
"""Most that a score may differ, in relation to its size, when a training is repeated."""


class Options(BaseModel):
    """What is to be tried out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prove: Annotated[tuple[Kind, ...], Field(min_length=1, max_length=len(Kind))] = tuple(Kind)

    @property
    def told(self) -> dict[str, Any]:
        """As a study keeps them."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class _Found:
    passed: bool
    summary: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class _Bench:
    """The rows of the champion and what made it."""

    about: Subject
    model: Model
    folder: Path
    rows: Dataset
    rest: Dataset


def run(
    settings: Settings,
    pilot: str,
    options: Options,
    who: str,
    *,
    study: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[list[Proof], Readiness]:
    """Try things out with the champion as a study; what came of each, and how ready the pilot is with it.

    Raises:
        RunActive: another process tries something out for the pilot.
        NotFound, DataError, EstimatorError, MissingExtra: as `prove`.
    """
    engine, registry = tables.connect(settings), Registry(settings)
    made = []
    with studies.carry_out(
        settings, pilot, studies.Kind.READINESS, options.told, who, study=study, on_progress=on_progress
    ) as work:
        kinds = Options.model_validate(work.study.options).prove
        for number, kind in enumerate(kinds):
            work.progress(number, len(kinds), f"trying out: {kind}")
            about = Subject(settings, engine, registry, pilot)
            made.append(prove(about, kind, who=work.study.asked_by))
        found = judgements.assess(settings, pilot, engine=engine, registry=registry)
        histories.record(engine, found)
        work.finish(
            document(made, found), {"passed": sum(proof.passed for proof in made), "score": found.score}
        )
    return made, found


def document(made: Sequence[Proof], found: Readiness) -> dict[str, Any]:
    """What was tried out, as `--json` and the study tell it."""
    told = [
        {"kind": str(item.kind), "passed": item.passed, "summary": item.summary, "at": item.at.isoformat()}
        for item in made
    ]
    return {"pilot": found.pilot, "proofs": told, "score": found.score, "band": found.band}


def prove(about: Subject, kind: Kind, *, who: str) -> Proof:
    """Try one thing out with the champion, and keep what came of it.

    Raises:
        NotFound: there is no champion, its snapshot is gone, or this machine does not have the folder.
        DataError, EstimatorError: it cannot be trained any more.
        MissingExtra: tests cannot be run here.
    """
    folder = _folder(about)
    found = _TRIALS[kind](about)
    spec = about.entry.spec if kind is Kind.TESTS else about.spec
    proof = proofs.made(
        kind,
        spec,
        folder,
        who=who,
        version=about.version,
        passed=found.passed,
        summary=found.summary,
        details=found.details,
    )
    proofs.keep(about.engine, proof)
    return proof


def _folder(about: Subject) -> Path:
    if about.folder is None:
        raise errors.NotFound(
            f"The folder of `{about.pilot}`, {about.entry.folder}, is not on this machine.",
            remedy="Try it out where it is; `pilotage check FOLDER` takes a new place in.",
        )
    return about.folder


def _repeat(about: Subject) -> _Found:
    """Train the champion again, and ask both models about all held-out rows."""
    import numpy as np

    from pilotage.components.training import estimators
    from pilotage.core import models

    bench = _bench(about)
    again = _fitted(bench, bench.model.estimator, bench.model.params)
    if about.registered is None:
        raise _unversioned(about)
    stored = models.open_predictor(about.registry.folder(about.registered), about.settings)
    was = estimators.predict(stored, bench.rest, bench.model.estimator)
    now = estimators.predict(again, bench.rest, bench.model.estimator)
    scale = np.maximum(1.0, np.abs(np.asarray(was.score, dtype=float)))
    gaps = np.abs(np.asarray(was.score, dtype=float) - np.asarray(now.score, dtype=float)) / scale
    largest = float(np.max(gaps)) if gaps.size else 0.0
    same = math.isfinite(largest) and largest <= TOLERANCE
    told = (
        f"Version {about.version} was trained again from snapshot {bench.model.snapshot[:12]} with seed"
        f" {bench.model.seed}: on {bench.rest.rows:,} held-out rows the largest difference of a score is"
        f" {largest:.1e}"
    )
    limit = "" if same else f", more than {TOLERANCE:.0e}"
    return _Found(same, told + limit, {"difference": largest, "rows": bench.rest.rows})


def _simple(about: Subject) -> _Found:
    """Train a linear model on the champion's rows, and score both on the same held-out rows."""
    from pilotage.components.measures import scores

    bench = _bench(about)
    card = about.scorecard
    own = card.metrics.get(card.metric) if card is not None else None
    if card is None or own is None or own.value is None:
        raise errors.NotFound(
            f"Version {about.version} of `{about.pilot}` has no scorecard.",
            remedy=f"`pilotage run {about.pilot} --no-cache` makes a version with one.",
        )
    name = Estimator.LOGISTIC_REGRESSION.value
    if bench.model.estimator == name:
        return _Found(True, "The champion is the linear model itself; a gate holds it to the baseline", {})
    linear = _fitted(bench, name, {})
    order = bench.model.classes if about.spec.task is Task.CLASSIFICATION else None
    found = scores.score(card.metric, scores.outcomes(linear, bench.rest.frame(), bench.rest.target, order))
    value = float("nan") if found is None else float(found)
    worse = math.isfinite(value) and own.value > value
    kind = "logistic regression" if about.spec.task is Task.CLASSIFICATION else "ridge regression"
    told = (
        f"On the same rows a {kind} has {card.metric} {value:.4g}, version {about.version}"
        f" ({bench.model.estimator}) {own.value:.4g}" + ("" if worse else ": the simpler model is no worse")
    )
    return _Found(worse, told, {"metric": card.metric, "simple": value, "champion": own.value})


def _tests(about: Subject) -> _Found:
    """Run the tests in the folder."""
    ran = suites.run(_folder(about))
    return _Found(ran.passed, ran.summary, {"called": list(ran.called), **ran.counts})


def _bench(about: Subject) -> _Bench:
    from pilotage.components import datasets, splits

    model, snapshot = about.model, about.snapshot
    if about.registered is None:
        raise _unversioned(about)
    if model is None or snapshot is None:
        raise errors.NotFound(
            f"Version {about.version} of `{about.pilot}` does not say what made it.",
            remedy=f"`pilotage run {about.pilot} --no-cache` makes one that does.",
        )
    dataset = datasets.load(about.settings, snapshot)
    parts = splits.split(dataset, about.spec.task, about.spec.data.split.test)
    return _Bench(about, model, _folder(about), dataset.take(parts.train), dataset.take(parts.test))


def _fitted(bench: _Bench, name: str, params: Mapping[str, Any]) -> Any:
    """A predictor of an estimator that was trained on the champion's rows."""
    from pilotage.components.training import estimators
    from pilotage.components.training.deep.embedders import Embedder

    spec, folder = bench.about.spec, bench.folder
    task, embedder = spec.task, Embedder(spec, folder, bench.about.settings)
    facts: dict[str, Any] = {"task": task, "seed": bench.model.seed, "folder": folder}
    estimator = estimators.build(name, params, dataset=bench.rows, embedder=embedder, **facts)
    estimator = estimators.fit(estimator, bench.rows, name)
    return estimators.predictor(estimator, bench.rows, task, bench.model.positive)


def _unversioned(about: Subject) -> errors.NotFound:
    return errors.NotFound(
        f"`{about.pilot}` has no champion yet.", remedy=f"`pilotage run {about.entry.folder}` makes one."
    )


_TRIALS: Mapping[Kind, Callable[[Subject], _Found]] = {
    Kind.TESTS: _tests,
    Kind.REPEAT: _repeat,
    Kind.SIMPLE: _simple,
}
