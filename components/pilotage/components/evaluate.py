"""The step that judges a model on held-out rows: scorecard with every gate's verdict, and a model card.

The model is the stored one, loaded the way a model server loads it, and it
predicts the rows once. Nothing is registered or promoted here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import pilotage.core.safes  # noqa: F401 - takes seconds; loaded with the step and not while it runs
from pilotage.components import cards, datasets, splits
from pilotage.components.datasets import Dataset
from pilotage.components.measures import (
    bootstraps,
    calibrations,
    costs,
    fairness,
    footprints,
    groupings,
    latencies,
    measurements,
    reasons,
    rivals,
    scores,
    slices,
    worths,
)
from pilotage.components.measures.footprints import Footprint
from pilotage.components.measures.groupings import Labels
from pilotage.components.measures.measurements import Measured
from pilotage.components.measures.rivals import Champion
from pilotage.components.measures.scores import Outcomes
from pilotage.components.splits import Rows
from pilotage.core import errors, gates, models
from pilotage.core.artifacts import (
    ColumnType,
    Estimate,
    Fairness,
    Feature,
    Latency,
    Model,
    Report,
    Rival,
    Scalar,
    Scorecard,
    Snapshot,
    TrainedModel,
    Usage,
    Verdict,
    Worth,
)
from pilotage.core.gates import Span
from pilotage.core.metrics import Measure, Task
from pilotage.core.models import Predictor
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Registry
from pilotage.core.registry.clients import INSIDE
from pilotage.core.settings import Settings
from pilotage.core.specs import Against, FeatureKind, Grouping, PilotSpec

_KINDS = {
    ColumnType.INTEGER: FeatureKind.NUMBER,
    ColumnType.NUMBER: FeatureKind.NUMBER,
    ColumnType.BOOLEAN: FeatureKind.BOOLEAN,
    ColumnType.TEXT: FeatureKind.CATEGORY,
    ColumnType.DATE: FeatureKind.TIME,
    ColumnType.DATETIME: FeatureKind.TIME,
}
_LATENCIES = (Measure.LATENCY_P50_MS, Measure.LATENCY_P99_MS)
_FOOTPRINTS = (Measure.SIZE_MB, Measure.MEMORY_MB)


@dataclass(frozen=True)
class HeldOut:
    """The rows that judge, and what a model is held against on them."""

    train: Dataset
    rest: Dataset
    groups: dict[Grouping, Labels]
    champion: Champion | None


@dataclass(frozen=True)
class _Findings:
    """What was measured of the candidate, the baseline and the champion."""

    found: Outcomes
    baseline: Outcomes
    champion: Champion | None
    groups: dict[Grouping, Labels]
    compared: tuple[Fairness, ...]
    latency: Latency
    metrics: tuple[str, ...]
    own: Measured
    synthetic: dict[tuple[str, str | None], Span]
    """Intervals of what was measured of synthetic rows."""
    rivals: dict[Against, Measured | None]
    estimates: dict[str, Estimate]
    gaps: Mapping[str, str] = field(default_factory=dict)
    """Why a measure of costs is not known, by its name."""


def evaluate(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    snapshot: Snapshot,
    report: Report,
    trained: TrainedModel,
    out: Path,
    *,
    used: Mapping[str, Usage] | None = None,
) -> Scorecard:
    """Judge the stored model on the held-out part of `snapshot`.

    Writes `scorecard.json`, `card.md` and `card.html` in `out`, and beside them what it was judged by, the
    snapshot's manifest and the report; logs all of that and the values with MLflow.
    A gate that says no is a verdict, not an error. `used` is what the steps before used, by their name.

    Raises:
        DataError: the rows do not fit the model, or a gate names a column that is not there.
        UntrustedModel: the stored model may not be loaded here.
    """
    registry = Registry(settings)
    place = registry.folder_at(registry.model_location(trained.uri))
    predictor = models.open_predictor(place, settings)
    rows = held_out(spec, settings, snapshot, trained)
    footprint = footprints.measure(predictor, rows.rest, place) if footprints.asked(spec) else None
    findings = _find(spec, predictor, rows, footprint)
    spent = costs.find(spec, settings, used or {}, findings.latency)
    findings = replace(findings, own={**findings.own, **spent.values}, gaps=spent.gaps)
    scorecard = _scorecard(spec, snapshot, trained.model, rows.rest, findings)
    explained = reasons.explain(
        predictor,
        ReferenceProfile.read(place / INSIDE),
        rows.rest,
        findings.found,
        spec.goal.metric,
        spec.train.seed,
        hidden=reasons.hidden(spec, snapshot),
    )
    told = {"training": spent.training, "training_cost": spent.training_cost, "explanations": explained}
    scorecard = scorecard.model_copy(update=told)
    scorecard.write(out)
    evidence = (snapshot.write(out), report.write(out))
    for file in (*cards.write(out, spec, snapshot, report, trained.model, scorecard), *evidence):
        registry.log_file(trained.mlflow_run, file)
    registry.log_metrics(trained.mlflow_run, _logged(scorecard))
    return scorecard


def held_out(spec: PilotSpec, settings: Settings, snapshot: Snapshot, trained: TrainedModel) -> HeldOut:
    """The held-out part of `snapshot`, with the champion's answers.

    Raises:
        DataError: the rows do not fit the model, or a gate names a column that is not there.
    """
    dataset = datasets.load(settings, snapshot)
    parts = splits.split(dataset, spec.task, spec.data.split.test)
    if (parts.train.size, parts.test.size) != (trained.model.train_rows, trained.model.test_rows):
        raise errors.DataError(
            f"The model held out {trained.model.test_rows} rows, this snapshot gives {parts.test.size}.",
            remedy="Train again on this snapshot.",
        )
    rest = dataset.take(parts.test)
    champion = rivals.champion(Registry(settings), settings, snapshot, trained, parts.test, rest.target)
    groups = _groups(spec, settings, snapshot, parts.test)
    return HeldOut(dataset.take(parts.train), rest, groups, champion)


def judge(
    spec: PilotSpec,
    settings: Settings,
    predictor: Predictor,
    rows: HeldOut,
    footprint: Footprint,
    used: Mapping[str, Usage],
) -> tuple[dict[str, float | None], tuple[Verdict, ...]]:
    """Metrics of a model that is no version yet, and every gate's verdict; nothing is written.

    Args:
        spec: whose gates judge.
        settings: with the prices.
        predictor: the model.
        rows: held out.
        footprint: what it takes.
        used: what the steps that made it used, by their name.
    """
    gated = {gate.metric for gate in spec.gates}
    findings = _find(spec, predictor, rows, footprint, intervals=gated)
    spent = costs.find(spec, settings, used, findings.latency)
    findings = replace(findings, own={**findings.own, **spent.values}, gaps=spent.gaps)
    metrics = {str(name): value for (name, by), value in findings.own.items() if by is None}
    return metrics, tuple(_judge(spec, findings))


def _groups(spec: PilotSpec, settings: Settings, snapshot: Snapshot, test: Rows) -> dict[Grouping, Labels]:
    """Groups of the held-out rows for each way to part them that a gate names with `by`."""
    asked = list(dict.fromkeys(gate.grouping for gate in spec.gates if gate.grouping is not None))
    wanted = []
    for name in dict.fromkeys(name for grouping in asked for name in grouping.columns):
        column = snapshot.column(name)
        if column is None:
            raise errors.DataError(
                f"A gate compares groups `by: {name}`, and the data has no such column.",
                remedy=f"It has {', '.join(column.name for column in snapshot.columns)}.",
                column=name,
            )
        wanted.append(Feature(name=name, kind=_KINDS[column.type]))
    columns = datasets.read_columns(settings, snapshot, wanted) if wanted else {}
    named = {
        name: groupings.name_groups(_named_truths(values, snapshot, name)[test])
        for name, values in columns.items()
    }
    return {grouping: groupings.cross([named[name] for name in grouping.columns]) for grouping in asked}


def _named_truths(values: datasets.Array, snapshot: Snapshot, name: str) -> datasets.Array:
    """Booleans as words; they come as numbers."""
    column = snapshot.column(name)
    if column is None or column.type is not ColumnType.BOOLEAN:
        return values
    return np.array(
        [None if value != value else str(bool(value)).lower() for value in values.tolist()], dtype=object
    )


def _find(
    spec: PilotSpec,
    predictor: Predictor,
    rows: HeldOut,
    footprint: Footprint | None,
    *,
    intervals: Collection[str] | None = None,
) -> _Findings:
    """What is measured; `intervals` names the metrics whose interval is needed, None for all."""
    model, goal = predictor.model, spec.goal
    rest, groups, champion = rows.rest, rows.groups, rows.champion
    found = scores.outcomes(predictor, rest.frame(), rest.target)
    baseline = rivals.baseline(model, rows.train, rest, goal.metric)
    metrics = measurements.metric_names(spec, len(model.classes))
    latency = latencies.measure(predictor, rest)
    compared: dict[Against, Measured | None] = {
        Against.BASELINE: measurements.measure(baseline, metrics, groups, goal.metric, goal.value, None),
        Against.CHAMPION: None if champion is None else {},
    }
    if champion is not None and champion.outcomes is not None:
        theirs = _champion_latency(spec, champion)
        compared[Against.CHAMPION] = measurements.measure(
            champion.outcomes, metrics, groups, goal.metric, goal.value, theirs
        ) | _champion_footprint(spec, champion)
    seed = spec.train.seed
    fair = tuple(
        fairness.compare(grouping, labels, found, goal.metric, seed) for grouping, labels in groups.items()
    )
    own = measurements.measure(found, metrics, {}, goal.metric, goal.value, latency)
    for item in fair:
        own.update(measurements.by_group(item))
    if footprint is not None:
        own.update(footprint.measured())
    return _Findings(
        found=found,
        baseline=baseline,
        champion=champion,
        groups=groups,
        compared=fair,
        latency=latency,
        metrics=metrics,
        own=own | measurements.of_synthetic(model.synthetic),
        synthetic=measurements.spans_of_synthetic(model.synthetic),
        rivals=compared,
        estimates={
            metric: bootstraps.estimate(metric, found, seed)
            for metric in metrics
            if intervals is None or metric in intervals
        },
    )


def _champion_latency(spec: PilotSpec, champion: Champion) -> Latency | None:
    """The champion's speed, when a gate compares with it."""
    asked = any(gate.metric in _LATENCIES and gate.against is Against.CHAMPION for gate in spec.gates)
    if not asked or champion.predictor is None or champion.rows is None:
        return None
    return latencies.measure(champion.predictor, champion.rows)


def _champion_footprint(spec: PilotSpec, champion: Champion) -> Measured:
    """The champion's size and memory, when a gate compares with them."""
    asked = any(gate.metric in _FOOTPRINTS and gate.against is Against.CHAMPION for gate in spec.gates)
    if not asked or champion.predictor is None or champion.rows is None:
        return {}
    return footprints.measure(champion.predictor, champion.rows).measured()


def _scorecard(
    spec: PilotSpec, snapshot: Snapshot, model: Model, rest: Dataset, findings: _Findings
) -> Scorecard:
    goal, seed, found = spec.goal, spec.train.seed, findings.found
    verdicts = _judge(spec, findings)
    return Scorecard(
        pilot=spec.pilot,
        model=model.digest,
        snapshot=snapshot.digest,
        metric=goal.metric,
        target=goal.target,
        test_rows=rest.rows,
        metrics=_estimates(findings),
        baseline=Rival(
            name="baseline",
            metrics=_plain(findings.rivals[Against.BASELINE] or {}),
            guess=_guess(findings.baseline),
        ),
        champion=_champion_card(findings),
        slices=slices.worst(rest.columns, found, goal.metric, seed),
        fairness=findings.compared,
        calibration=calibrations.bins(found),
        latency=findings.latency,
        worth=_worth(spec, findings),
        gates=tuple(verdicts),
        passed=all(verdict.passed for verdict in verdicts),
        created_at=datetime.now(UTC),
    )


def _guess(baseline: Outcomes) -> Scalar:
    """What the baseline says of every row."""
    said = baseline.predicted[0]
    return baseline.classes[int(said)] if baseline.task is Task.CLASSIFICATION else float(said)


def _judge(spec: PilotSpec, findings: _Findings) -> list[Verdict]:
    """Every gate's verdict; one that fails because the champion could not be asked says why."""
    wanted = spec.all_gates
    spans = measurements.spans(findings.compared, findings.estimates) | findings.synthetic
    verdicts = gates.judge_all(wanted, findings.own, findings.rivals, spans)
    obstacle = findings.champion.obstacle if findings.champion else ""
    verdicts = [
        verdict.model_copy(update={"reason": f"was not measured: {findings.gaps[gate.metric]}"})
        if verdict.value is None and gate.metric in findings.gaps
        else verdict
        for gate, verdict in zip(wanted, verdicts, strict=True)
    ]
    return [
        verdict.model_copy(update={"reason": f"the champion, {obstacle}"})
        if obstacle and gate.against is Against.CHAMPION and not verdict.passed
        else verdict
        for gate, verdict in zip(wanted, verdicts, strict=True)
    ]


def _estimates(findings: _Findings) -> dict[str, Estimate]:
    scored = findings.estimates
    others = {
        str(name): Estimate(value=value)
        for (name, by), value in findings.own.items()
        if by is None and name not in scored and value is not None
    }
    return scored | others


def _plain(measured: Measured) -> dict[str, float | None]:
    return {str(name) if by is None else f"{name} by {by}": value for (name, by), value in measured.items()}


def _champion_card(findings: _Findings) -> Rival | None:
    champion = findings.champion
    if champion is None:
        return None
    name = f"champion ({champion.obstacle})" if champion.obstacle else "champion"
    return Rival(name=name, version=champion.version, metrics=_plain(findings.rivals[Against.CHAMPION] or {}))


def _worth(spec: PilotSpec, findings: _Findings) -> Worth | None:
    value = spec.goal.value
    if value is None:
        return None
    theirs = findings.champion.outcomes if findings.champion else None
    per_row = worths.per_row(findings.found, value)
    return Worth(
        currency=value.currency,
        per_row=per_row,
        total=per_row * findings.found.rows,
        baseline_per_row=worths.per_row(findings.baseline, value),
        champion_per_row=None if theirs is None else worths.per_row(theirs, value),
    )


def _logged(scorecard: Scorecard) -> dict[str, float]:
    values = {name: found.value for name, found in scorecard.metrics.items()}
    values |= {f"baseline_{scorecard.metric}": scorecard.baseline.metrics.get(scorecard.metric)}
    if scorecard.champion is not None:
        values[f"champion_{scorecard.metric}"] = scorecard.champion.metrics.get(scorecard.metric)
    return {name: value for name, value in values.items() if value is not None}
