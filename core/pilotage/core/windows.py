"""The summary of one time slice of served traffic: counts, moments and sketches that add up.

Each replica keeps one cumulative window per version and slice and rewrites it
under the same name, so a repeated flush is harmless; windows of replicas and of
times merge by addition. Names of the files are decided here too, because the
server that writes and the monitor that reads must agree. How a window is spelt in a
file is `pilotage.core.window_files`' business, what is in a sketch its reader's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, ConfigDict

from pilotage.core import moments
from pilotage.core.artifacts import Artifact, Part, instant

LATENCY_EDGES_MS: tuple[float, ...] = tuple(float(round(0.1 * 1.25**step, 4)) for step in range(64))
"""Upper bounds of the latency cells, 0.1 ms to over two minutes in steps of a quarter."""


WINDOW_SUFFIX = ".window"
"""What the names of windows' files end with."""

Sketches = tuple[bytes, ...]
"""Sketches as DataSketches serialises them, sorted; of one column, one for each window that had any.

They are kept side by side because merging quantile sketches is randomised: windows that are merged are
the same whenever and in whatever order that is done, and only who reads a quantile merges them.
"""


class WindowMoments(Part):
    """Of the values that are present and of a magnitude of at most `moments.LARGEST`; times in seconds
    since 1970."""

    count: int
    """At least 1."""
    mean: float
    squares: float
    """Sum of the squared distances from the mean."""
    min: float
    max: float

    @property
    def std(self) -> float:
        """Standard deviation of these values."""
        return math.sqrt(self.squares / self.count)

    def merged(self, other: WindowMoments) -> WindowMoments:
        """Both together; commutative, and associative but for rounding of `mean` and `squares`."""
        one, two = (
            np.array([part.count, part.mean, part.squares, part.min, part.max]) for part in (self, other)
        )
        _, mean, squares, low, high = moments.add(one, two).tolist()
        return WindowMoments(count=self.count + other.count, mean=mean, squares=squares, min=low, max=high)


class Window(Artifact):
    """What one replica, or several together, served between `start` and `end`."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    FILE: ClassVar[str] = "window.json"
    kind: Literal["window"] = "window"
    schema_version: Literal[2] = 2
    pilot: str
    version: int
    start: AwareDatetime
    end: AwareDatetime
    rows: int = 0
    requests: int = 0
    errors: int = 0
    """Requests that failed or were refused; they have no rows here."""
    dropped: int = 0
    """Rows whose counts or log entry were dropped because writing could not keep up."""
    cpu_seconds: float = 0.0
    """CPU time that server processes spent while these rows came."""
    peak_memory_bytes: int = 0
    """Most memory that one server process had."""
    features: dict[str, tuple[int, ...]] = {}
    """Counts by the reference profile's cells."""
    score: tuple[int, ...] = ()
    prediction: tuple[int, ...] = ()
    latency: tuple[int, ...] = ()
    """Requests by `LATENCY_EDGES_MS`, the last cell for those beyond."""
    moments: dict[str, WindowMoments] = {}
    """Of numbers, booleans and times that had values."""
    score_moments: WindowMoments | None = None
    novel: dict[str, dict[str, int]] = {}
    """The most frequent values of a category that have no cell of their own, at most 20 a feature."""
    outside: dict[str, Sketches] = {}
    """Quantile sketches (KLL, doubles) of a number's values below and above the reference's range."""
    distinct: dict[str, Sketches] = {}
    """Distinct-count sketches (HLL) of a category's values that have no cell of their own."""
    updated_at: AwareDatetime

    def merged(self, other: Window) -> Window:
        """Both together; commutative, and associative but for rounding of moments.

        Raises:
            ValueError: they are of different pilots or versions.
        """
        if (self.pilot, self.version) != (other.pilot, other.version):
            raise ValueError(
                f"windows of {self.pilot} {self.version} and {other.pilot} {other.version} do not add up"
            )
        names = sorted({*self.features, *other.features})
        return Window(
            pilot=self.pilot,
            version=self.version,
            start=min(self.start, other.start),
            end=max(self.end, other.end),
            rows=self.rows + other.rows,
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            dropped=self.dropped + other.dropped,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            peak_memory_bytes=max(self.peak_memory_bytes, other.peak_memory_bytes),
            features={
                name: _sum(self.features.get(name, ()), other.features.get(name, ())) for name in names
            },
            score=_sum(self.score, other.score),
            prediction=_sum(self.prediction, other.prediction),
            latency=_sum(self.latency, other.latency),
            moments={
                name: held
                for name in sorted({*self.moments, *other.moments})
                if (held := _both(self.moments.get(name), other.moments.get(name)))
            },
            score_moments=_both(self.score_moments, other.score_moments),
            novel=_union(self.novel, other.novel),
            outside=_beside(self.outside, other.outside),
            distinct=_beside(self.distinct, other.distinct),
            updated_at=max(self.updated_at, other.updated_at),
        )

    def latency_quantile(self, quantile: float) -> float | None:
        """Milliseconds that a share `quantile` of the requests stayed under; None without requests."""
        total = sum(self.latency)
        if not total:
            return None
        cell = int(np.searchsorted(np.cumsum(self.latency), quantile * total, side="left"))
        return LATENCY_EDGES_MS[min(cell, len(LATENCY_EDGES_MS) - 1)]


def merge(windows: Iterable[Window]) -> Window:
    """All of a non-empty series together."""
    first, *others = windows
    for other in others:
        first = first.merged(other)
    return first


def _sum(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    if not one or not two:
        return one or two
    if len(one) != len(two):
        raise ValueError(f"counts of {len(one)} and {len(two)} cells do not add up")
    return tuple(a + b for a, b in zip(one, two, strict=True))


def _union(
    one: Mapping[str, Mapping[str, int]], two: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    names = sorted({*one, *two})
    return {name: _added(one.get(name, {}), two.get(name, {})) for name in names}


def _added(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    return {value: one.get(value, 0) + two.get(value, 0) for value in sorted({*one, *two})}


def _both(one: WindowMoments | None, two: WindowMoments | None) -> WindowMoments | None:
    return one.merged(two) if one and two else one or two


def _beside(one: Mapping[str, Sketches], two: Mapping[str, Sketches]) -> dict[str, Sketches]:
    names = sorted({*one, *two})
    return {name: tuple(sorted((*one.get(name, ()), *two.get(name, ())))) for name in names}


def count_latencies(milliseconds: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Requests by latency cell, shape `(len(LATENCY_EDGES_MS) + 1,)`."""
    cell = np.searchsorted(np.array(LATENCY_EDGES_MS), np.asarray(milliseconds, dtype=float), side="left")
    return np.bincount(cell, minlength=len(LATENCY_EDGES_MS) + 1).astype(np.int64)


def start_of(time: datetime, length: timedelta) -> datetime:
    """Start of the window of `length` that `time` is in; windows are aligned to 1970-01-01 UTC."""
    seconds = length.total_seconds()
    return datetime.fromtimestamp(time.timestamp() // seconds * seconds, tz=UTC)


def folder(pilot: str, version: int) -> str:
    """Folder of a version's windows in the storage."""
    return f"windows/{pilot}/{version}"


def window_name(pilot: str, version: int, start: datetime, replica: str) -> str:
    """Name in the storage of one replica's window that begins at `start`, as `window_files` writes it."""
    return f"{folder(pilot, version)}/{instant(start)}/window-{replica}{WINDOW_SUFFIX}"


def sample_name(pilot: str, version: int, start: datetime, replica: str) -> str:
    """Name in the storage of one replica's sample of served rows with features, as
    `pilotage.core.samples` lays them out: a Parquet file that is rewritten whole."""
    return f"{folder(pilot, version)}/{instant(start)}/sample-{replica}.parquet"


def rows_name(pilot: str, version: int, start: datetime, replica: str, sequence: int) -> str:
    """Name in the storage of one segment of the row log, a Parquet file.

    Its columns: `id` text, `time` timestamp[us, UTC], `prediction` text, `score` double
    (probability of the positive class, highest class probability or predicted number),
    `probabilities` list of double (classification, in the order of the classes).
    """
    return f"{folder(pilot, version)}/{instant(start)}/rows-{replica}-{sequence:06d}.parquet"


def labels_name(pilot: str, digest: str) -> str:
    """Name in the storage of one batch of labels, a Parquet file with columns `id` and `label`, both text.

    It may also have `time`, timestamp[us, UTC]: the event time of the row that a label is about.

    `digest` is that of its content, so the same batch sent again is the same file.
    """
    return f"windows/{pilot}/labels/{digest}.parquet"


def reports_folder(pilot: str, version: int, start: datetime) -> str:
    """Folder in the storage of the drift report (`drift.json`, `drift.html`) of one window."""
    return f"windows/{pilot}/reports/{version}/{instant(start)}"
