"""A scorecard and all that a card is made from, whose every text tries to be markup."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pilotage.components.cards import Known
from pilotage.core.artifacts import (
    CalibrationBin,
    Column,
    ColumnType,
    Dependence,
    Difference,
    Estimate,
    Exclusion,
    ExplainedRow,
    Explanations,
    Fairness,
    Feature,
    Group,
    Importance,
    Latency,
    Model,
    ModelFormat,
    Report,
    Rival,
    RowKind,
    Scorecard,
    Slice,
    Snapshot,
    Verdict,
    Worth,
)
from pilotage.core.artifacts.reasons import Span
from pilotage.core.metrics import Measure, Task
from pilotage.core.specs import FeatureKind, PilotSpec

HOSTILE = "<script>alert(1)</script>|`*x*"
DIGEST = "a" * 64
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SPANNED = Estimate(value=0.7, low=0.6, high=0.8)


def fairness(name: str = HOSTILE) -> Fairness:
    groups = tuple(
        Group(value=f"{name} {place}", rows=60, estimates={"selection_rate": SPANNED, "metric": SPANNED})
        for place in range(2)
    )
    apart = tuple(group.value for group in groups)
    return Fairness(
        by=name,
        columns=(name,),
        differences=(
            Difference(
                measure=Measure.DEMOGRAPHIC_PARITY_DIFFERENCE,
                value=0.2,
                low=0.1,
                high=0.3,
                chance=0.05,
                groups=apart,
            ),
            Difference(measure=Measure.EQUALIZED_ODDS_DIFFERENCE, value=None),
            Difference(measure=Measure.GROUP_METRIC_DIFFERENCE, value=0.1, low=0.0, high=0.2, groups=apart),
        ),
        groups=groups,
        min_group=50,
        left_out=7,
        small={f"{name} small": 7},
        small_groups=1,
    )


def explanations(name: str = HOSTILE) -> Explanations:
    return Explanations(
        metric="roc_auc",
        rows=100,
        repeats=8,
        importances=(
            Importance(feature=name, drop=Span(value=0.2, low=0.1, high=0.3), contribution=Span(value=1)),
        ),
        method="tree",
        exact=True,
        output="log-odds",
        examples=(
            ExplainedRow(
                kind=RowKind.WRONG,
                truth=name,
                predicted="no",
                score=0.9,
                base=0.1,
                value=1.1,
                values={name: name, "b": None},
                contributions={name: 1.2, "b": -0.2},
            ),
        ),
        dependences=(
            Dependence(
                feature=name,
                ordered=True,
                values=("1", "2"),
                places=(1, 2),
                means=(0.1, 0.3),
                low=(0, 0.1),
                high=(0.2, 0.5),
            ),
            Dependence(
                feature=name, ordered=False, values=(name,), places=(), means=(0.1,), low=(0.0,), high=(0.2,)
            ),
        ),
        dependence_of=name,
        gaps=(f"mean contributions: {name}",),
    )


def scorecard(name: str = HOSTILE, **changed: Any) -> Scorecard:
    facts: dict[str, Any] = {
        "pilot": "parcels",
        "model": DIGEST,
        "snapshot": DIGEST,
        "metric": "roc_auc",
        "target": 0.9,
        "test_rows": 200,
        "metrics": {"roc_auc": SPANNED},
        "baseline": Rival(name="baseline", metrics={"roc_auc": 0.5}, guess=0),
        "slices": (Slice(column=name, value=name, rows=60, metric=SPANNED),),
        "fairness": (fairness(name),),
        "calibration": (CalibrationBin(predicted=0.2, observed=0.3, rows=100),),
        "latency": Latency(p50_ms=1, p90_ms=2, p99_ms=3, calls=10),
        "worth": Worth(currency="EUR", per_row=1, total=200, baseline_per_row=0.5),
        "explanations": explanations(name),
        "gates": (Verdict(gate=f"x by {name}", passed=False, value=0.2, limit=0.1, reason=name),),
        "passed": False,
        "created_at": NOW,
    }
    return Scorecard(**{**facts, **changed})


def spec(**changed: Any) -> PilotSpec:
    """A pilot.yaml with no more than it must have, and what is changed."""
    least: dict[str, Any] = {
        "version": 1,
        "pilot": "parcels",
        "goal": {"metric": "roc_auc", "target": 0.9},
        "data": {"source": "rows.csv", "target": "late"},
    }
    return PilotSpec.model_validate({**least, **changed})


def model(name: str = HOSTILE) -> Model:
    return Model(
        pilot="parcels",
        digest=DIGEST,
        format=ModelFormat.PICKLE,
        estimator=name,
        params={name: name},
        seed=1,
        features=(Feature(name=name, kind=FeatureKind.NUMBER),),
        target="late",
        task=Task.CLASSIFICATION,
        classes=(0, 1),
        positive=1,
        snapshot=DIGEST,
        train_rows=800,
        test_rows=200,
        validation={},
        requirements=("numpy==2.4.6", "my-own @ file:///x"),
        python="3.11.7",
        code=DIGEST,
        created_at=NOW,
    )


def snapshot(name: str = HOSTILE) -> Snapshot:
    return Snapshot(
        pilot="parcels",
        digest=DIGEST,
        name=f"snapshots/{DIGEST}",
        rows=1000,
        columns=(
            Column(name=name, type=ColumnType.NUMBER, nulls=250, distinct=10_001),
            Column(name="late", type=ColumnType.INTEGER, nulls=0, distinct=2),
        ),
        files=(),
        features=(Feature(name=name, kind=FeatureKind.NUMBER),),
        excluded=(Exclusion(name=name, reason=name),),
        target="late",
        task=Task.CLASSIFICATION,
        time_range=(NOW, NOW),
        source=name,
        created_at=NOW,
    )


def report() -> Report:
    return Report(
        pilot="parcels", snapshot=DIGEST, suite=DIGEST, drafted=True, success=True, checks=(), created_at=NOW
    )


def known(name: str = HOSTILE, **changed: Any) -> Known:
    facts: dict[str, Any] = {
        "spec": spec(description=name, owner=name),
        "scorecard": scorecard(name),
        "model": model(name),
        "snapshot": snapshot(name),
        "report": report(),
    }
    return Known(**{**facts, **changed})
