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
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from pilotage.core import errors
from pilotage.core.artifacts import DriftReport, Part
from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.core.windows import Window
from pilotage.serving.monitor import judgements, slices, subjects
from pilotage.serving.monitor.drift import comparisons
from pilotage.serving.monitor.judgements import SAMPLE_ROWS, Case
from pilotage.serving.monitor.performance import outcomes
from pilotage.serving.monitor.performance.outcomes import Labels
from pilotage.serving.monitor.reports import pages
from pilotage.serving.monitor.slices import Slice
from pilotage.serving.monitor.subjects import Subject

logger = logging.getLogger(__name__)

PAGE = "drift.html"
INDEX = "index.html"
_SEEN = "seen.json"
_REVISION = 4
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


class _Watch:
    """One round over all windows of a pilot."""

    def __init__(self, spec: PilotSpec, settings: Settings, registry: Registry, now: datetime) -> None:
        self._spec = spec
        self._settings = settings
        self._registry = registry
        self._now = now
        self._grace = timedelta(seconds=2 * settings.flush_seconds)
        self._storage = Storage(settings.storage)
        self._folder = _reports_folder(spec)
        self._subjects: dict[int, Subject | None] = {}

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
        for piece in pieces:
            before = self._before(piece, pieces)
            if not any(other in due for other in (piece, *before)):
                continue
            closed, report = self._judge(piece, pieces, before)
            if not closed:
                open_.add(piece.folder)
            if report:
                changed.append(report)
        current = _Seen(labels=labels, slices={key: known[key] for key in known if key not in open_})
        self._finish(current, seen, stamps)
        return changed

    def _before(self, piece: Slice, pieces: list[Slice]) -> list[Slice]:
        """The slices of the same version before `piece` in which a column must have drifted as well."""
        own = [other for other in pieces if other.version == piece.version and other.start < piece.start]
        wanted = self._spec.monitor.drift.persistence - 1
        return own[len(own) - wanted :] if wanted and len(own) >= wanted else own if wanted else []

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
        if self._stored:
            self._storage.write(
                index, pages.render_index(self._spec.pilot, list(self._stored.values())).encode()
            )
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
        return _digest([piece.stamp(stamps), self._asked, _REVISION, aliases])

    @cached_property
    def _asked(self) -> list[Any]:
        """What of pilot.yaml a report depends on."""
        value = self._spec.goal.value
        prices = value.model_dump(mode="json") if value else None
        return [self._spec.monitor.model_dump(mode="json"), prices]

    @cached_property
    def _aliases(self) -> dict[str, int]:
        return self._registry.aliases(self._spec.pilot)

    @cached_property
    def _labels(self) -> Labels:
        return outcomes.read_labels(self._storage, self._spec.pilot)

    def _judge(
        self, piece: Slice, pieces: list[Slice], before: list[Slice]
    ) -> tuple[bool, DriftReport | None]:
        """Whether a slice is closed, and the report on it if it is new or changed."""
        window = slices.read(self._storage, piece)
        if window is None:
            return False, None
        monitor, latest = self._spec.monitor, slices.latest_begun(pieces, self._now)
        if not slices.is_closed(window, latest, self._now, monitor.window, self._grace):
            return False, None
        subject = self._subject(piece.version)
        if subject is None:
            return True, None
        case = self._case(piece, pieces, before, window, subject)
        evidence = _digest([_REVISION, *case.evidence, self._asked])
        stored = self._stored.get(piece.folder)
        if stored and stored.evidence == evidence and self._storage.exists(f"{piece.folder}/{PAGE}"):
            return True, None
        report = judgements.judge(self._spec, self._settings, self._storage, case, evidence)
        self._storage.write(f"{piece.folder}/{PAGE}", pages.render(report, monitor, case.earlier).encode())
        self._storage.write(
            f"{piece.folder}/{DriftReport.FILE}", (report.model_dump_json(indent=2) + "\n").encode()
        )
        self._stored[piece.folder] = report
        return True, report

    def _case(
        self, piece: Slice, pieces: list[Slice], before: list[Slice], window: Window, subject: Subject
    ) -> Case:
        stored = [self._stored.get(other.folder) for other in before]
        logged = outcomes.read_rows(self._storage, piece.rows, self._labels) if piece.rows else None
        needed = self._spec.monitor.drift.persistence - 1
        return Case(
            window=window,
            subject=subject,
            sample=self._sample(piece),
            logged=logged,
            outcomes=self._join(logged, subject),
            alarming=self._was_champion(piece, window, pieces),
            partial=_is_partial(piece, pieces),
            before=None
            if len(before) < needed
            else tuple(
                frozenset(comparisons.drifted_keys(report)) if report else frozenset() for report in stored
            ),
            earlier=tuple(report for report in self._stored.values() if report.end <= window.start),
        )

    def _sample(self, piece: Slice) -> pa.Table | None:
        """Served rows with their features, and their truth where labels have come."""
        sample = slices.read_sample(self._storage, piece, SAMPLE_ROWS)
        if sample is None or not self._labels:
            return sample
        truth = pa.array(self._labels.find(sample), pa.string())
        return sample.set_column(sample.column_names.index("truth"), "truth", truth)

    @cached_property
    def _stored(self) -> dict[str, DriftReport]:
        """The stored reports by the folder of their slice."""
        names = (name for name in self._storage.names(self._folder) if name.endswith(f"/{DriftReport.FILE}"))
        found = ((name.rsplit("/", 1)[0], _read(self._storage, name)) for name in names)
        return {folder: report for folder, report in found if report}

    def _join(self, logged: pa.Table | None, subject: Subject) -> outcomes.Outcomes | None:
        if logged is None or not self._labels:
            return None
        joined = outcomes.join(logged, self._labels, subject.model)
        return joined if joined and (len(joined.truth) or joined.unusable) else None

    def _was_champion(self, piece: Slice, window: Window, pieces: list[Slice]) -> bool:
        """Whether the version is champion, was so before, or served most of the slice."""
        if piece.version in (self._aliases.get(Alias.CHAMPION), self._aliases.get(Alias.PREVIOUS)):
            return True
        rivals = [other for other in pieces if other.start == piece.start and other.version != piece.version]
        others = [held.rows for other in rivals if (held := slices.read(self._storage, other))]
        return window.rows > sum(others)

    def _subject(self, number: int) -> Subject | None:
        if number not in self._subjects:
            self._subjects[number] = subjects.load(self._registry, self._spec.pilot, number)
        return self._subjects[number]


def _is_partial(piece: Slice, pieces: list[Slice]) -> bool:
    """Whether the version served only a part of the slice: its first, or one shared with another version."""
    earlier = any(other.version == piece.version and other.start < piece.start for other in pieces)
    shared = any(other.version != piece.version and other.start == piece.start for other in pieces)
    return shared or not earlier


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
