"""A window as arrays: what replicas count in, and what files of windows are summed as.

All counts of a window lie one after the other, so that adding a batch of rows, writing
a file and summing a month of them are each one pass. `pilotage.core.windows.Window` is the same
for people and for other programs; how files spell it is `pilotage.core.window_files`' business.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pilotage.core import moments
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.windows import LATENCY_EDGES_MS, Sketches, Window, WindowMoments

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Which counts a window has, one after the other."""

    pilot: str
    version: int
    features: tuple[tuple[str, int], ...]
    """Names, each with its number of cells."""
    score: int = 0
    prediction: int = 0
    latency: int = 0

    @classmethod
    def of_profile(cls, profile: ReferenceProfile, pilot: str, version: int) -> Layout:
        """That of the windows of a version with this profile."""
        return cls(
            pilot=pilot,
            version=version,
            features=tuple((name, part.cells) for name, part in profile.features.items()),
            score=profile.score.cells,
            prediction=profile.prediction.cells if profile.prediction else 0,
            latency=len(LATENCY_EDGES_MS) + 1,
        )

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where each feature's counts are."""
        ends = np.cumsum([cells for _, cells in self.features], dtype=int).tolist()
        return {name: slice(end - cells, end) for (name, cells), end in zip(self.features, ends, strict=True)}

    @cached_property
    def of_score(self) -> slice:
        """Where the score's counts are."""
        begin = sum(cells for _, cells in self.features)
        return slice(begin, begin + self.score)

    @cached_property
    def of_prediction(self) -> slice:
        """Where the predicted classes' counts are."""
        return slice(self.of_score.stop, self.of_score.stop + self.prediction)

    @cached_property
    def of_latency(self) -> slice:
        """Where the requests' latencies are."""
        return slice(self.of_prediction.stop, self.of_prediction.stop + self.latency)

    @property
    def cells(self) -> int:
        """All counts of a window."""
        return int(self.of_latency.stop)

    @classmethod
    def of_text(cls, text: bytes) -> Layout:
        """What `text` gives.

        Raises:
            ValueError, TypeError, KeyError: it is not a layout.
        """
        parts = json.loads(text)
        features = tuple((str(name), int(cells)) for name, cells in parts.pop("features"))
        return cls(features=features, **parts)

    @cached_property
    def text(self) -> bytes:
        """As files have it; the same for all windows of a version."""
        parts = {
            "pilot": self.pilot,
            "version": self.version,
            "features": self.features,
            "score": self.score,
            "prediction": self.prediction,
            "latency": self.latency,
        }
        return json.dumps(parts, separators=(",", ":")).encode()


@dataclass
class Totals:
    """What a window has one of; times in microseconds since 1970."""

    start: int
    end: int
    updated_at: int
    rows: int = 0
    requests: int = 0
    errors: int = 0
    dropped: int = 0
    cpu_micros: int = 0
    """CPU time of the server's process, in microseconds."""
    peak_bytes: int = 0
    """Most memory that one process had; the largest of several, where the rest adds up."""


@dataclass
class Sheet:
    """A window as arrays: what is counted in, written, read and summed."""

    layout: Layout
    totals: Totals
    counts: Counts
    """Shape `(layout.cells,)`."""
    moments: moments.Moments
    """Of the features, then of the score: shape `(features + 1, MEASURES)`."""
    novel: dict[str, dict[str, int]] = field(default_factory=dict)
    outside: dict[str, Sketches] = field(default_factory=dict)
    distinct: dict[str, Sketches] = field(default_factory=dict)

    @classmethod
    def of(cls, window: Window) -> Sheet:
        """The window as arrays."""
        names = sorted({*window.features, *window.moments})
        counts = [window.features.get(name, ()) for name in names]
        layout = Layout(
            pilot=window.pilot,
            version=window.version,
            features=tuple((name, len(part)) for name, part in zip(names, counts, strict=True)),
            score=len(window.score),
            prediction=len(window.prediction),
            latency=len(window.latency),
        )
        held = moments.empty(len(names) + 1)
        for place, part in enumerate([*map(window.moments.get, names), window.score_moments]):
            if part is not None:
                held[place] = part.count, part.mean, part.squares, part.min, part.max
        flat = [count for part in counts for count in part]
        return cls(
            layout,
            Totals(
                *(micros(window.start), micros(window.end), micros(window.updated_at)),
                *(window.rows, window.requests, window.errors, window.dropped),
                *(round(window.cpu_seconds * 1e6), window.peak_memory_bytes),
            ),
            np.array([*flat, *window.score, *window.prediction, *window.latency], np.int64),
            held,
            window.novel,
            window.outside,
            window.distinct,
        )

    def window(self) -> Window:
        """The same for people and for other programs; a feature without cells has no counts there."""
        layout, totals, counts = self.layout, self.totals, self.counts.tolist()
        measured = [_moments(part) for part in self.moments.tolist()]
        named = zip(layout.places, measured[:-1], strict=True)
        return Window(
            pilot=layout.pilot,
            version=layout.version,
            start=_time(totals.start),
            end=_time(totals.end),
            rows=totals.rows,
            requests=totals.requests,
            errors=totals.errors,
            dropped=totals.dropped,
            cpu_seconds=totals.cpu_micros / 1e6,
            peak_memory_bytes=totals.peak_bytes,
            features={name: tuple(counts[place]) for name, place in layout.places.items() if counts[place]},
            score=tuple(counts[layout.of_score]),
            prediction=tuple(counts[layout.of_prediction]),
            latency=tuple(counts[layout.of_latency]),
            moments={name: part for name, part in named if part},
            score_moments=measured[-1],
            novel=self.novel,
            outside=self.outside,
            distinct=self.distinct,
            updated_at=_time(totals.updated_at),
        )


def _moments(values: Sequence[float]) -> WindowMoments | None:
    count, mean, squares, low, high = values
    if not count:
        return None
    return WindowMoments(count=int(count), mean=mean, squares=squares, min=low, max=high)


def micros(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
