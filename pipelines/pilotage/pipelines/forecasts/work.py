"""Carrying a forecast out: read the data, train on parts of it, fit, answer; a study of its own.

A training that was finished is kept under all that it depends on, so that a study that died, or one with more
repeats, goes on where the others ended.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pilotage.components import datasets, ingest, provenance, splits
from pilotage.components.datasets import Dataset
from pilotage.components.forecasts import plots, trials
from pilotage.components.forecasts.trials import Outcome, Trial
from pilotage.components.training import own_estimators
from pilotage.components.training.deep.embedders import Embedder
from pilotage.core import errors
from pilotage.core.artifacts import Snapshot
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import studies
from pilotage.pipelines.forecasts import plans, results
from pilotage.pipelines.forecasts.answers import Document
from pilotage.pipelines.forecasts.plans import Options
from pilotage.pipelines.studies import Kind, Progress, Study, Work

logger = logging.getLogger(__name__)

PLOT = "forecast.svg"
"""The file of a study's folder that holds the picture."""


def forecast(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    options: Options,
    who: str,
    *,
    study: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Document:
    """What more rows, a bigger model or better features would bring the pilot.

    Args:
        spec: the pilot.
        folder: what its relative names are relative to.
        settings: the installation.
        options: what is asked; a study that was asked for has its own.
        who: asks.
        study: one that was asked for, failed or died, to carry out; a new one when left out.
        on_progress: told how far it is, in this thread.

    Raises:
        RunActive: a forecast of the pilot goes on.
        DataError, EstimatorError, SourceError: the pilot cannot be trained.
    """
    _require_loss(spec)
    given = options.model_dump(mode="json")
    with studies.carry_out(
        settings, spec.pilot, Kind.FORECAST, given, who, study=study, on_progress=on_progress
    ) as work:
        asked = Options.model_validate(work.study.options)
        work.progress(0, 1, "reading the data")
        bench = _bench(spec, folder, settings, work)
        document = _answer(bench, asked, work)
        work.write(PLOT, plots.of_document(document.model_dump(mode="json")).encode())
        work.finish(document.model_dump(mode="json"), document.short)
    return document


def read(settings: Settings, study: Study) -> Document:
    """What a forecast that succeeded found.

    Raises:
        NotFound: it left nothing.
    """
    return Document.model_validate_json(studies.read_file(settings, study))


@dataclass(frozen=True)
class _Bench:
    """What trials need."""

    spec: PilotSpec
    folder: Path
    settings: Settings
    snapshot: Snapshot
    rows: Dataset
    rest: Dataset
    params: dict[str, Any]
    code: str
    """Digest of the sources."""

    def made_of(self, trial: Trial) -> dict[str, Any]:
        """All that a trial's outcome depends on."""
        spec = self.spec
        return {
            "trial": asdict(trial),
            "snapshot": self.snapshot.digest,
            "features": [feature.name for feature in self.snapshot.features],
            "target": [self.snapshot.target, spec.data.positive],
            "test": spec.data.split.test,
            "estimator": spec.train.estimator,
            "params": self.params,
            "seed": spec.train.seed,
            "metric": spec.goal.metric,
            "code": self.code,
        }


def _require_loss(spec: PilotSpec) -> None:
    if not trials.has_loss(spec.goal.metric):
        raise errors.SpecError(
            f"`goal.metric` {spec.goal.metric} has no best value, so that no curve can be fitted to it.",
            remedy="Choose another metric for a forecast, such as roc_auc, neg_log_loss or r2.",
        )


def _bench(spec: PilotSpec, folder: Path, settings: Settings, work: Work) -> _Bench:
    with tempfile.TemporaryDirectory(prefix="pilotage-forecast-") as scratch:
        snapshot = ingest.ingest(spec, folder, settings, Path(scratch))
    dataset = datasets.load(settings, snapshot)
    parts = splits.split(dataset, spec.task, spec.data.split.test)
    rows, rest = dataset.take(parts.train), dataset.take(parts.test)
    code = provenance.code_digest(own_estimators.sources(spec.train.estimator, folder))
    search = spec.train.search
    made_of = {
        "search": None if search is None else search.model_dump(mode="json"),
        "snapshot": snapshot.digest,
        "estimator": spec.train.estimator,
        "params": spec.train.params,
        "seed": spec.train.seed,
        "code": code,
    }
    params = work.kept(made_of)
    if params is None:
        if search is not None:
            work.progress(0, 1, "searching for parameters on all training rows")
        params = trials.params_of(
            spec, folder, rows, trials.positive_of(spec, rows), Embedder(spec, folder, settings)
        )
        work.keep(made_of, params)
    return _Bench(spec, folder, settings, snapshot, rows, rest, params, code)


def _answer(bench: _Bench, options: Options, work: Work) -> Document:
    spec, rows = bench.spec, bench.rows
    embedder = Embedder(spec, bench.folder, bench.settings)
    positive = trials.positive_of(spec, rows)
    wanted = plans.plan(
        rows.rows,
        trials.smallest(rows, spec.task),
        len(rows.features),
        options,
        scalable=trials.size_parameter(spec) is not None,
    )
    found: dict[Trial, Outcome] = {}
    kept = 0
    for place, trial in enumerate(wanted):
        work.progress(place, len(wanted), trial.words)
        made_of = bench.made_of(trial)
        known = work.kept(made_of)
        if known is None:
            outcome = trials.carry_out(
                trial, spec, bench.folder, rows, bench.rest, bench.params, positive, embedder
            )
            work.keep(made_of, asdict(outcome))
        else:
            outcome, kept = Outcome(**known), kept + 1
        found[trial] = outcome
    work.progress(len(wanted), len(wanted), "fitting curves")
    return results.document(
        spec,
        bench.settings,
        study=work.study.id,
        snapshot=bench.snapshot.digest,
        rows=rows.rows,
        test_rows=bench.rest.rows,
        found=found,
        options=options,
        kept=kept,
    )
