"""Reports as the monitor writes them, of a pilot that is not served here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pilotage.core import pilots
from pilotage.core.artifacts import (
    Alarm,
    Brought,
    DriftReport,
    EstimatedPerformance,
    FeatureDrift,
    Performance,
)
from pilotage.core.artifacts.estimates import EstimateMethod
from pilotage.core.specs import Cause, PilotSpec

HOUR = timedelta(hours=1)
START = datetime(2026, 3, 2, tzinfo=UTC)
MADE = datetime(2026, 6, 1, tzinfo=UTC)
TEXT = """\
version: 1
pilot: {name}
goal:
  metric: roc_auc
  target: 0.7
{value}data: {{source: rows.csv, target: y}}
retrain: {{on: [drift, performance]}}
"""
VALUE = "  value: {true_positive: 12, false_positive: -3, false_negative: -8, currency: EUR}\n"


def spec(name: str = "small", *, value: str = VALUE) -> PilotSpec:
    """A pilot with prices."""
    return pilots.parse(TEXT.format(name=name, value=value))


def drift(
    feature: str, psi: float = 0.01, *, drifted: bool = False, importance: float | None = None
) -> FeatureDrift:
    """One column's difference."""
    return FeatureDrift(
        feature=feature, kind="number", psi=psi, distance=psi, p_value=0.5, missing_rate=0.0,
        reference_missing_rate=0.0, unseen_rate=0.0, drifted=drifted, persistent=drifted,
        importance=importance, reference=(0.5, 0.5), window=(0.4, 0.6), labels=("low", "high"),
    )  # fmt: skip


def alarm(hour: int, cause: Cause = Cause.DRIFT, version: int = 1, pilot: str = "small") -> Alarm:
    """The alarm of one window."""
    return Alarm(
        id=f"{pilot}-{version}-{hour}-{cause}", pilot=pilot, version=version, cause=cause,
        start=START + hour * HOUR, end=START + (hour + 1) * HOUR, message=f"hour {hour}: {cause}",
        features=("distance",), value=0.3, limit=0.1,
    )  # fmt: skip


def brought(value: float, baseline: float, *, labelled: int = 100, error: float = 1.0) -> Brought:
    """Money of a window whose estimate is twice what was measured."""
    return Brought(
        currency="EUR", labelled=labelled, value=value, baseline=baseline,
        estimated=2 * (value - baseline), error=error,
    )  # fmt: skip


def realized(value: float, *, labelled: int = 100, half: float = 0.02, dropped: bool = False) -> Performance:
    """The metric on labelled rows."""
    return Performance(
        metric="roc_auc", value=value, low=value - half, high=value + half, reference=0.75,
        labelled=labelled, rows=200, dropped=dropped,
    )  # fmt: skip


def estimated(value: float, half: float = 0.01) -> EstimatedPerformance:
    """The metric without labels."""
    return EstimatedPerformance(
        metric="roc_auc", value=value, low=value - half, high=value + half, reference=0.75,
        method=EstimateMethod.CONFIDENCE, rows=200, effective_rows=200.0, reliable=True, reason="",
    )  # fmt: skip


def report(
    hour: int,
    *,
    pilot: str = "small",
    version: int = 1,
    rows: int = 200,
    effect: float = 0.01,
    made: datetime = MADE,
    alarms: tuple[Alarm, ...] = (),
    **parts: Any,
) -> DriftReport:
    """One closed hour; the column `distance` has drifted where `effect` is 0.1 or more."""
    columns = (drift("distance", effect, drifted=effect >= 0.1, importance=0.6), drift("carrier"))
    return DriftReport(
        pilot=pilot, version=version, start=START + hour * HOUR, end=START + (hour + 1) * HOUR, rows=rows,
        requests=rows, errors=1, p50_ms=2.0, p99_ms=9.0, false_alarm_rate=0.01, threshold=0.001,
        method="as it is", features=columns, score=drift("score", 0.02), alarms=alarms,
        evidence=f"{hour}-{version}", created_at=made, **parts,
    )  # fmt: skip
