"""The judgement of one closed window: from counts, sampled rows and labels to a report with its alarms.

Everything that was found is put together here; how each thing is found is in the
modules that are called, and where reports are kept is the watch's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pilotage.core.artifacts import Brought, DriftReport, Estimate, EstimatedPerformance, Performance
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.core.windows import Window
from pilotage.serving.monitor import alarms, slices
from pilotage.serving.monitor.causes import findings
from pilotage.serving.monitor.drift import calibrations, comparisons, methods, seasons
from pilotage.serving.monitor.drift.calibrations import Calibration
from pilotage.serving.monitor.drift.columns import Column, columns_of
from pilotage.serving.monitor.drift.comparisons import Comparison
from pilotage.serving.monitor.performance import estimates, performances, values
from pilotage.serving.monitor.performance.outcomes import Outcomes
from pilotage.serving.monitor.rows import rows_together
from pilotage.serving.monitor.rows.rows_together import Together
from pilotage.serving.monitor.subjects import Subject

SAMPLE_ROWS = 2000
"""Sampled rows of a window that are looked at, of all replicas together."""


@dataclass(frozen=True)
class Case:
    """What one closed window is judged by."""

    window: Window
    """Merged over replicas."""
    subject: Subject
    """The version that served."""
    sample: pa.Table | None
    """Served rows with their features, and what came true where labels have come."""
    logged: pa.Table | None
    """Served rows with ids, without features."""
    outcomes: Outcomes | None
    """Rows whose labels have come."""
    alarming: bool
    """The version was champion, so that what is found raises alarms."""
    partial: bool
    """The version served only a part of the window."""
    before: tuple[frozenset[str], ...] | None
    """What drifted in each of the windows before that count; None when there were too few."""
    earlier: tuple[DriftReport, ...]
    """All reports of windows that ended before this one began."""

    @property
    def evidence(self) -> list[Any]:
        """What would make another report if it changed."""
        return [
            self.subject.profile_digest,
            self.window.model_dump(mode="json", exclude={"updated_at"}),
            _digest_of(self.sample),
            self.outcomes.digest if self.outcomes else "",
            *(self.alarming, self.partial),
            None if self.before is None else [sorted(keys) for keys in self.before],
        ]


def _digest_of(sample: pa.Table | None) -> str:
    if sample is None:
        return ""
    return hashlib.sha256(sample.column("priority").to_numpy().tobytes()).hexdigest()


def judge(spec: PilotSpec, settings: Settings, storage: Storage, case: Case, evidence: str) -> DriftReport:
    """The report on one window.

    Args:
        spec: the pilot.
        settings: of the installation; says which models may be loaded.
        storage: keeps calibrations.
        case: what is judged.
        evidence: digest of all of it.
    """
    window, subject, monitor = case.window, case.subject, spec.monitor
    drift = _drift(spec, storage, case)
    performance, estimated = _performance(spec, case), _estimated(spec, case)
    track = None if estimated is None else estimates.track(_pairs(case.earlier))
    dropped = alarms.performance_alarm(window, performance, estimated, track, monitor.performance.max_drop)
    causes = findings.NONE
    if dropped or drift.together.persistent or any(part.persistent for part in drift.found.drifted):
        causes = findings.find(subject, case.sample, settings)
    raised = (alarms.drift_alarm(window, drift.found, drift.threshold, drift.together, causes), dropped)
    return DriftReport(
        pilot=window.pilot,
        version=window.version,
        start=window.start,
        end=window.end,
        rows=window.rows,
        requests=window.requests,
        errors=window.errors,
        p50_ms=window.latency_quantile(0.5),
        cpu_seconds=window.cpu_seconds or None,
        peak_memory_bytes=window.peak_memory_bytes or None,
        p99_ms=window.latency_quantile(0.99),
        false_alarm_rate=monitor.drift.false_alarm_rate,
        threshold=drift.threshold,
        method=drift.method,
        features=drift.found.features,
        score=drift.found.score,
        prediction=drift.found.prediction,
        performance=performance,
        brought=_brought(spec, case),
        estimated=estimated,
        track=track,
        multivariate=drift.together.found,
        rows_drifted=drift.together.drifted,
        changes=causes.changes,
        contributions=causes.contributions,
        loss_contributions=causes.loss_contributions,
        segments=causes.segments,
        value_skew=subject.value_skew,
        alarms=tuple(alarm for alarm in raised if alarm) if case.alarming else (),
        evidence=evidence,
        created_at=datetime.now(UTC),
    )


@dataclass(frozen=True)
class _Drift:
    """Columns and rows of a window against the reference."""

    found: Comparison
    together: Together
    threshold: float
    """Of the columns' p-values."""
    method: str


def _drift(spec: PilotSpec, storage: Storage, case: Case) -> _Drift:
    window, subject, monitor = case.window, case.subject, spec.monitor
    profile = seasons.seasonal(subject.profile, window.start, window.end)
    columns = columns_of(profile, len(subject.model.classes))
    together = rows_together.look(case.sample, subject, monitor.drift)
    blocks = _window_blocks(spec, case)
    rate = monitor.drift.false_alarm_rate
    if not calibrations.by_blocks(columns, blocks):
        rate = rows_together.rate_left(together, rate)
    calibration = _calibration(storage, case, columns, rate, blocks)
    least = subject.least_rows(monitor.window) if case.partial else comparisons.LEAST_ROWS
    found = comparisons.compare(columns, window, calibration, monitor.drift, subject.times, least_rows=least)
    together = rows_together.judge(together, monitor.drift, calibration)
    if case.before is not None:
        found, together = found.persisting(case.before), together.persisting(case.before)
    method = methods.describe(
        calibration, monitor.drift, len(columns), window.rows, rate=rate, least_rows=least
    )
    return _Drift(found, together, calibration.threshold, method)


def _window_blocks(spec: PilotSpec, case: Case) -> float:
    """Length of the window in the reference's time blocks; 0 without blocks.

    One that was served only in part may hold a Monday and no Sunday, so it is held to
    what single blocks do.
    """
    seconds = case.subject.profile.block_seconds
    blocks = spec.monitor.window.total_seconds() / seconds if seconds else 0.0
    return min(blocks, 1.0) if case.partial else blocks


def _calibration(
    storage: Storage, case: Case, columns: list[Column], rate: float, blocks: float
) -> Calibration:
    """That for windows of about this size, kept with the pilot's windows."""
    window, subject = case.window, case.subject
    setup = calibrations.Setup(
        rows=calibrations.size_class(window.rows),
        rate=rate,
        window_blocks=blocks,
        seed=subject.seed,
    )
    held = sorted(seasons.touched(subject.profile.season, window.start, window.end))
    parts = (calibrations.REVISION, subject.profile_digest, setup.rows, setup.rate, blocks, held)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    folder = f"{slices.pilot_folder(window.pilot)}/calibrations/{window.version}"
    return calibrations.cached(storage, f"{folder}/{key[:32]}.json", columns, setup)


def _performance(spec: PilotSpec, case: Case) -> Performance | None:
    metric, monitor, card = spec.performance_metric, spec.monitor, case.subject.scorecard
    reference = card.metrics.get(metric, Estimate(value=None)) if card else None
    if case.outcomes is None or reference is None:
        return None
    return performances.evaluate(
        case.outcomes,
        metric,
        len(case.subject.model.classes),
        reference,
        monitor.performance.max_drop,
        monitor.drift.false_alarm_rate,
    )


def _brought(spec: PilotSpec, case: Case) -> Brought | None:
    card, value = case.subject.scorecard, spec.goal.value
    if case.outcomes is None or card is None or value is None:
        return None
    return values.count(case.outcomes, case.window.rows, case.subject.model, card.baseline.guess, value)


def _estimated(spec: PilotSpec, case: Case) -> EstimatedPerformance | None:
    """The metric as it is without labels; None without rows to estimate it from."""
    metric, subject = spec.performance_metric, case.subject
    if case.sample is None or subject.reference is None or subject.scorecard is None:
        return None
    return estimates.estimate(
        subject.model,
        subject.reference,
        case.sample,
        metric,
        logged=case.logged,
        reference_value=subject.scorecard.metrics.get(metric, Estimate(value=None)).value,
        seed=subject.seed,
    )


def _pairs(earlier: Sequence[DriftReport]) -> list[tuple[EstimatedPerformance, Performance]]:
    """Estimates of earlier windows whose labels have come since, in the order of time."""
    ordered = sorted(earlier, key=lambda report: (report.start, report.version))
    return [
        (report.estimated, report.performance)
        for report in ordered
        if report.estimated is not None and report.performance is not None
    ]
