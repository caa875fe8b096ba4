"""The watch: closed windows become reports, and reports alarms.

A report is written as a page, then as JSON, which counts; whatever a crash leaves out
the next watch writes again, and what has not changed is not touched. Alarms are part of
their report and keep their id, so opening triggers from `reports` loses none and repeats
none. Nobody is told and nothing is retrained from here.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from pydantic import ValidationError

from pilotage.core import errors
from pilotage.core.artifacts import DriftReport, Estimate, Model, Part, Performance, Report, Scorecard, Skew
from pilotage.core.registry import Alias, Registered, Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import FeatureKind, PilotSpec
from pilotage.core.storage import Storage
from pilotage.core.windows import Window
from pilotage.serving.monitor import (
    alarms,
    calibrations,
    comparisons,
    methods,
    outcomes,
    pages,
    performances,
    slices,
)
from pilotage.serving.monitor.columns import Column, columns_of
from pilotage.serving.monitor.slices import Slice

logger = logging.getLogger(__name__)

PAGE = "drift.html"
INDEX = "index.html"
_SEEN = "seen.json"
_REVISION = 2
"""Raised when the same windows would give another report."""


class _Seen(Part):
    """What the last watch looked at, so that files that have not changed need not be read."""

    labels: dict[str, str] = {}
    """Stamp by batch of labels."""
    slices: dict[str, str] = {}
    """Stamp by report folder, of the closed ones."""


def watch(
    spec: PilotSpec, settings: Settings, *, registry: Registry | None = None, now: datetime | None = None
) -> list[DriftReport]:
    """Judge every closed window of the pilot; returns the reports that are new or changed, in time order.

    Args:
        spec: the pilot.
        settings: of the installation.
        registry: made from the settings when left out.
        now: wall-clock time, which closes a window that nothing follows.
    """
    round_ = _Watch(spec, settings, registry or Registry(settings), now or datetime.now(UTC))
    return round_.run()


def reports(spec: PilotSpec, settings: Settings) -> list[DriftReport]:
    """The stored reports of the pilot, by window and version."""
    storage = Storage(settings.storage)
    folder = _reports_folder(spec)
    found = [_read(storage, name) for name in storage.names(folder) if name.endswith(f"/{DriftReport.FILE}")]
    return sorted((report for report in found if report), key=lambda report: (report.start, report.version))


def _reports_folder(spec: PilotSpec) -> str:
    return f"{slices.pilot_folder(spec.pilot)}/reports"


def _read(storage: Storage, name: str) -> DriftReport | None:
    try:
        return DriftReport.model_validate_json(storage.read(name))
    except errors.NotFound:
        return None
    except ValidationError:
        logger.warning("%s is not a drift report of this version and is made again", storage.location(name))
        return None


@dataclass(frozen=True)
class _Version:
    """What judging a version's windows takes."""

    registered: Registered
    model: Model
    columns: list[Column]
    profile: str
    """Digest of the reference profile."""
    block_seconds: float | None
    scorecard: Scorecard | None
    value_skew: tuple[Skew, ...]

    @property
    def times(self) -> frozenset[str]:
        return frozenset(feature.name for feature in self.model.features if feature.kind is FeatureKind.TIME)


class _Watch:
    """One round over all windows of a pilot."""

    def __init__(self, spec: PilotSpec, settings: Settings, registry: Registry, now: datetime) -> None:
        self._spec = spec
        self._registry = registry
        self._now = now
        self._grace = timedelta(seconds=2 * settings.flush_seconds)
        self._storage = Storage(settings.storage)
        self._folder = _reports_folder(spec)
        self._versions: dict[int, _Version | None] = {}

    def run(self) -> list[DriftReport]:
        stamps = self._storage.stamps(slices.pilot_folder(self._spec.pilot))
        pieces = slices.find(self._spec.pilot, stamps)
        if not pieces:
            return []
        seen = self._seen()
        labels = self._label_stamps(stamps)
        known = {piece.folder: self._stamp(piece, stamps) for piece in pieces}
        untouched = [piece for piece in pieces if self._is_untouched(piece, seen, known, stamps)]
        due = [piece for piece in pieces if piece not in untouched]
        due += self._newly_labelled(untouched, seen, labels)
        open_: set[str] = set()
        changed = []
        for piece in sorted(due, key=lambda piece: (piece.start, piece.version)):
            closed, report = self._judge(piece, pieces)
            if not closed:
                open_.add(piece.folder)
            if report:
                changed.append(report)
        current = _Seen(labels=labels, slices={key: known[key] for key in known if key not in open_})
        self._finish(current, seen, stamps)
        return changed

    def _is_untouched(
        self, piece: Slice, seen: _Seen, known: Mapping[str, str], stamps: Mapping[str, str]
    ) -> bool:
        """Whether nothing but labels can have changed since the report was written."""
        complete = all(f"{piece.folder}/{name}" in stamps for name in (DriftReport.FILE, PAGE))
        return complete and seen.slices.get(piece.folder) == known[piece.folder]

    def _newly_labelled(self, pieces: list[Slice], seen: _Seen, labels: Mapping[str, str]) -> list[Slice]:
        """Those of `pieces` with a row whose label came since."""
        arrived = [name for name, stamp in labels.items() if seen.labels.get(name) != stamp]
        gone = seen.labels.keys() - labels.keys()
        if gone:
            return [piece for piece in pieces if piece.rows]
        if not arrived or not pieces:
            return []
        ids = outcomes.new_ids(self._storage, arrived)
        return [piece for piece in pieces if outcomes.concerns(self._storage, piece.rows, ids)]

    def _finish(self, current: _Seen, seen: _Seen, stamps: Mapping[str, str]) -> None:
        """Write the page over all windows, then what was seen; only if something changed."""
        index = f"{self._folder}/{INDEX}"
        if current == seen and index in stamps:
            return
        stored = [
            report
            for name in self._storage.names(self._folder)
            if name.endswith(f"/{DriftReport.FILE}") and (report := _read(self._storage, name))
        ]
        if stored:
            self._storage.write(index, pages.render_index(self._spec.pilot, stored).encode())
        self._storage.write(f"{self._folder}/{_SEEN}", current.model_dump_json().encode())

    def _seen(self) -> _Seen:
        try:
            return _Seen.model_validate_json(self._storage.read(f"{self._folder}/{_SEEN}"))
        except (errors.NotFound, ValidationError):
            return _Seen()

    def _label_stamps(self, stamps: Mapping[str, str]) -> dict[str, str]:
        folder = outcomes.labels_folder(self._spec.pilot) + "/"
        return {name: stamp for name, stamp in stamps.items() if name.startswith(folder)}

    def _stamp(self, piece: Slice, stamps: Mapping[str, str]) -> str:
        aliases = sorted(self._aliases.items())
        return _digest([piece.stamp(stamps), self._spec.monitor.model_dump(mode="json"), _REVISION, aliases])

    @cached_property
    def _aliases(self) -> dict[str, int]:
        return self._registry.aliases(self._spec.pilot)

    @cached_property
    def _labels(self) -> dict[str, str]:
        return outcomes.read_labels(self._storage, self._spec.pilot)

    def _judge(self, piece: Slice, pieces: list[Slice]) -> tuple[bool, DriftReport | None]:
        """Whether a slice is closed, and the report on it if it is new or changed."""
        window = slices.read(self._storage, piece)
        if window is None:
            return False, None
        monitor, latest = self._spec.monitor, slices.latest_begun(pieces, self._now)
        if not slices.is_closed(window, latest, self._now, monitor.window, self._grace):
            return False, None
        version = self._version(piece.version)
        if version is None:
            return True, None
        joined = self._join(piece, version)
        alarming = self._was_champion(piece, window, pieces)
        partial = _is_partial(piece, pieces)
        evidence = _digest(
            [
                *(_REVISION, version.profile, window.model_dump(mode="json", exclude={"updated_at"})),
                *(monitor.model_dump(mode="json"), joined.digest if joined else "", alarming, partial),
            ]
        )
        stored = _read(self._storage, f"{piece.folder}/{DriftReport.FILE}")
        if stored and stored.evidence == evidence and self._storage.exists(f"{piece.folder}/{PAGE}"):
            return True, None
        report = self._report(window, version, joined, evidence, alarming=alarming, partial=partial)
        self._storage.write(f"{piece.folder}/{PAGE}", pages.render(report, monitor).encode())
        self._storage.write(
            f"{piece.folder}/{DriftReport.FILE}", (report.model_dump_json(indent=2) + "\n").encode()
        )
        return True, report

    def _report(
        self,
        window: Window,
        version: _Version,
        joined: outcomes.Outcomes | None,
        evidence: str,
        *,
        alarming: bool,
        partial: bool,
    ) -> DriftReport:
        monitor = self._spec.monitor
        calibration = self._calibration(window, version, partial=partial)
        least = _least_rows(version, monitor.window) if partial else comparisons.LEAST_ROWS
        found = comparisons.compare(
            version.columns, window, calibration, monitor.drift, version.times, least_rows=least
        )
        performance = self._performance(version, joined)
        raised = (
            alarms.drift_alarm(window, found, calibration.threshold),
            alarms.performance_alarm(window, performance, monitor.performance.max_drop),
        )
        return DriftReport(
            pilot=window.pilot,
            version=window.version,
            start=window.start,
            end=window.end,
            rows=window.rows,
            requests=window.requests,
            errors=window.errors,
            p50_ms=window.latency_quantile(0.5),
            p99_ms=window.latency_quantile(0.99),
            false_alarm_rate=monitor.drift.false_alarm_rate,
            threshold=calibration.threshold,
            method=methods.describe(
                calibration, monitor.drift, len(version.columns), window.rows, least_rows=least
            ),
            features=found.features,
            score=found.score,
            prediction=found.prediction,
            performance=performance,
            value_skew=version.value_skew,
            alarms=tuple(alarm for alarm in raised if alarm) if alarming else (),
            evidence=evidence,
            created_at=datetime.now(UTC),
        )

    def _calibration(self, window: Window, version: _Version, *, partial: bool) -> calibrations.Calibration:
        """That for windows of about this size, kept with the pilot's windows.

        One that was served only in part may hold a Monday and no Sunday, so it is held to
        what single blocks do.
        """
        monitor = self._spec.monitor
        blocks = monitor.window.total_seconds() / version.block_seconds if version.block_seconds else 0.0
        blocks = min(blocks, 1.0) if partial else blocks
        setup = calibrations.Setup(
            rows=calibrations.size_class(window.rows),
            rate=monitor.drift.false_alarm_rate,
            window_blocks=blocks,
            seed=int(version.profile[:8], 16),
        )
        key = _digest([calibrations.REVISION, version.profile, setup.rows, setup.rate, blocks])
        folder = f"{slices.pilot_folder(self._spec.pilot)}/calibrations/{window.version}"
        return calibrations.cached(self._storage, f"{folder}/{key[:32]}.json", version.columns, setup)

    def _join(self, piece: Slice, version: _Version) -> outcomes.Outcomes | None:
        if not piece.rows or not self._labels:
            return None
        rows = outcomes.read_rows(self._storage, piece.rows)
        joined = None if rows is None else outcomes.join(rows, self._labels, version.model)
        return joined if joined and (len(joined.truth) or joined.unusable) else None

    def _performance(self, version: _Version, joined: outcomes.Outcomes | None) -> Performance | None:
        metric, monitor = self._spec.performance_metric, self._spec.monitor
        reference = version.scorecard.metrics.get(metric, Estimate(value=None)) if version.scorecard else None
        if joined is None or reference is None:
            return None
        return performances.evaluate(
            joined,
            metric,
            len(version.model.classes),
            reference,
            monitor.performance.max_drop,
            monitor.drift.false_alarm_rate,
        )

    def _was_champion(self, piece: Slice, window: Window, pieces: list[Slice]) -> bool:
        """Whether the version is champion, was so before, or served most of the slice."""
        if piece.version in (self._aliases.get(Alias.CHAMPION), self._aliases.get(Alias.PREVIOUS)):
            return True
        rivals = [other for other in pieces if other.start == piece.start and other.version != piece.version]
        others = [held.rows for other in rivals if (held := slices.read(self._storage, other))]
        return window.rows > sum(others)

    def _version(self, number: int) -> _Version | None:
        if number not in self._versions:
            self._versions[number] = self._load(number)
        return self._versions[number]

    def _load(self, number: int) -> _Version | None:
        try:
            registered = self._registry.version(self._spec.pilot, number)
            profile, model = self._registry.profile(registered), self._registry.model(registered)
        except (errors.NotFound, errors.DataError) as error:
            logger.warning("windows of version %s of %s are not judged: %s", number, self._spec.pilot, error)
            return None
        return _Version(
            registered=registered,
            model=model,
            columns=columns_of(profile, len(model.classes)),
            profile=profile.content_digest,
            block_seconds=profile.block_seconds,
            scorecard=self._scorecard(registered),
            value_skew=self._value_skew(registered),
        )

    def _scorecard(self, registered: Registered) -> Scorecard | None:
        try:
            return self._registry.scorecard(registered)
        except (errors.NotFound, errors.DataError):
            logger.warning("version %s has no scorecard; performance is not judged", registered.version)
            return None

    def _value_skew(self, registered: Registered) -> tuple[Skew, ...]:
        """What validation warned of when the version was trained, where its run keeps the report."""
        try:
            return Report.read(self._registry.run_file(registered.run, Report.FILE)).value_skew
        except (errors.NotFound, errors.DataError):
            return ()


def _is_partial(piece: Slice, pieces: list[Slice]) -> bool:
    """Whether the version served only a part of the slice: its first, or one shared with another version."""
    earlier = any(other.version == piece.version and other.start < piece.start for other in pieces)
    shared = any(other.version != piece.version and other.start == piece.start for other in pieces)
    return shared or not earlier


def _least_rows(version: _Version, length: timedelta) -> int:
    """Rows from which a slice that was served in part is judged: half of a usual block, or window if shorter.

    With less it may be one evening, which differs from a day by its hours alone.
    """
    blocks = version.columns[0].blocks
    if not version.block_seconds or not len(blocks):
        return comparisons.LEAST_ROWS
    usual = version.columns[0].size / len(blocks) * min(1.0, length.total_seconds() / version.block_seconds)
    return max(comparisons.LEAST_ROWS, int(usual / 2))


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
