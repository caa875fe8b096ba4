"""Carrying a forecast out: read the data, train on parts of it, fit, answer; a study of its own.

A training that was finished is kept under all that it depends on, so that a study that died, or one with more
repeats, goes on where the others ended.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pilotage.components import datasets, ingest, provenance, splits
from pilotage.components.datasets import Dataset
from pilotage.components.forecasts import curves, laws, plots, trials
from pilotage.components.forecasts.points import Points
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


def points_document(points: Points, at: Sequence[tuple[float, float | None]] = ()) -> dict[str, Any]:
    """What given points say: `parameters` of a law, the `forecast` of a curve, or why they are `refused`.

    Args:
        points: the measurements.
        at: sizes to forecast; of a law each with its data.

    Raises:
        SettingsError: a size has no data where there is a law, or has some where there is none.
    """
    for n, d in at:
        if (d is None) != (points.d is None):
            raise errors.SettingsError(
                f"`--at {n:g}` {'needs data' if d is None else 'has data'}, as the points"
                f" {'have' if d is None else 'have no'} column `d`.",
                remedy="Write `--at N,D` for points with `n` and `d`, `--at N` for a curve.",
            )
    if points.d is not None:
        return _law_document(points, [(n, d) for n, d in at if d is not None])
    return _curve_document(points, [n for n, _ in at])


def _law_document(points: Points, at: Sequence[tuple[float, float]]) -> dict[str, Any]:
    data = np.ones_like(points.n) if points.d is None else points.d
    zero = int((points.loss <= 0).sum())
    if zero:
        found = laws.refusal(f"{zero} of the losses are 0, and the law is of their logarithms")
    else:
        found = laws.fit(points.n, data, points.loss)
    told: dict[str, Any] = {"kind": "law", "points": len(points.n), "refused": found.refused or None}
    aside = [
        {
            "row": place + 1,
            "n": float(points.n[place]),
            "d": float(data[place]),
            "loss": float(points.loss[place]),
        }
        for place in found.set_aside
    ]
    told["set_aside"] = aside
    if found.law is None:
        return told
    return {
        **told,
        "formula": "E + A / n^alpha + B / d^beta",
        "parameters": {name: interval.document for name, interval in found.parameters.items()},
        "level": laws.LEVEL,
        "tied": found.tied,
        "residual": found.residual,
        "forecast": [{"n": n, "d": d, **laws.predict(found, n, d, curves.LEVEL).document} for n, d in at],
        "forecast_level": curves.LEVEL,
    }


def _curve_document(points: Points, at: Sequence[float]) -> dict[str, Any]:
    curve = curves.gather(points.n, points.loss, points.stderr)
    found = curves.forecast(curve, at)
    beyond = [size for size in at if size > curves.FARTHEST * curve.largest * 1.001]
    refused = found.refused
    if not refused and beyond:
        refused = (
            f"{beyond[0]:,.0f} is more than {curves.FARTHEST:g} times the largest size, {curve.largest:,.0f}:"
            " nothing is said that far out"
        )
    return {
        "kind": "curve",
        "points": len(points.n),
        "sizes": len(curve.n),
        "largest": curve.largest,
        "level": curves.LEVEL,
        "refused": refused or None,
        "behaviour": found.behaviour or None,
        "forecast": [] if refused else [results.told(point) for point in found.predicted],
        "floor": None if found.floor is None else found.floor.document,
        "backtest": None if found.backtest is None else results.looked_back(found.backtest),
        "families": found.shares,
    }


def points_picture(points: Points, told: Mapping[str, Any]) -> dict[str, Any]:
    """A curve of given points as `plots.of_document` draws it; `told` is their document."""
    curve = curves.gather(points.n, points.loss, points.stderr)
    found = curves.forecast(curve)
    errors_known = curve.stderr if curve.stderr is not None else [None] * len(curve.n)
    return {
        "pilot": "given points",
        "metric": points.name,
        "target": None,
        "rows": round(curve.largest),
        "current": float(curve.loss[-1]),
        "refused": told["refused"] or "",
        "forecast": told["forecast"],
        "points": [
            {"n": round(n), "scale": 1.0, "value": float(loss), "stderr": error, "repeats": 1}
            for n, loss, error in zip(curve.n, curve.loss, errors_known, strict=True)
        ],
        "drawn": [{"n": place.n, **place.loss.document} for place in found.drawn],
    }
