"""What one process has counted, in a form that can be written down, read by another and added up.

Every number here only grows, except gauges and what belongs to the process. The
accumulators that the hot path touches are the same objects that are written: plain
lists and numbers, so that counting costs no more than adding. An accumulator
belongs to one thread; those of several threads, processes and of processes that
are gone are added when somebody asks. Prometheus and HTTP are not known here.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

import msgspec

_Number = TypeVar("_Number", int, float)
_Key = TypeVar("_Key", bound=Hashable)

BOUNDS_SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
)  # fmt: skip
"""Upper bounds of the buckets of all durations."""
SIZES = 18
"""Buckets of counts: at most 1, 2, 4, … 65,536, and beyond."""
BOUNDS_SIZES = tuple(1 << power for power in range(SIZES - 1))
NEWEST_VERSIONS = 10
"""Versions of a pilot that have numbers of their own."""
OTHER = "other"
"""The label of all that has none of its own."""


def _seconds() -> list[int]:
    return [0] * (len(BOUNDS_SECONDS) + 1)


def _sizes() -> list[int]:
    return [0] * SIZES


def _totals() -> list[float]:
    return [0.0] * SIZES


class RouteMeter(msgspec.Struct):
    """Requests of one route and method."""

    route: str
    method: str
    statuses: dict[int, int] = msgspec.field(default_factory=dict)
    buckets: list[int] = msgspec.field(default_factory=_seconds)
    seconds: float = 0.0

    def observe(self, status: int, seconds: float) -> None:
        """Note a request that was answered with `status` after `seconds`."""
        statuses = self.statuses
        statuses[status] = statuses.get(status, 0) + 1
        self.buckets[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.seconds += seconds

    def add(self, other: RouteMeter) -> None:
        """Add what `other` counted."""
        _add_to_keys(self.statuses, other.statuses)
        _add_to_list(self.buckets, other.buckets)
        self.seconds += other.seconds


class BatchMeter(msgspec.Struct):
    """Batches that were released for one reason."""

    reason: str
    requests: list[int] = msgspec.field(default_factory=_sizes)
    requests_total: int = 0
    rows: list[int] = msgspec.field(default_factory=_sizes)
    rows_total: int = 0
    waited: list[int] = msgspec.field(default_factory=_seconds)
    waited_seconds: float = 0.0
    took: list[int] = msgspec.field(default_factory=_seconds)
    took_seconds: float = 0.0

    def observe(self, requests: int, rows: int, waited: float, took: float) -> None:
        """Note one batch; see `Meters.released`."""
        power = (requests - 1).bit_length() if requests > 1 else 0
        self.requests[power if power < SIZES else -1] += 1
        self.requests_total += requests
        power = (rows - 1).bit_length() if rows > 1 else 0
        self.rows[power if power < SIZES else -1] += 1
        self.rows_total += rows
        self.waited[bisect_left(BOUNDS_SECONDS, waited)] += 1
        self.waited_seconds += waited
        self.took[bisect_left(BOUNDS_SECONDS, took)] += 1
        self.took_seconds += took

    def add(self, other: BatchMeter) -> None:
        """Add what `other` counted."""
        for mine, others in (
            (self.requests, other.requests),
            (self.rows, other.rows),
            (self.waited, other.waited),
            (self.took, other.took),
        ):
            _add_to_list(mine, others)
        self.requests_total += other.requests_total
        self.rows_total += other.rows_total
        self.waited_seconds += other.waited_seconds
        self.took_seconds += other.took_seconds


class VersionMeter(msgspec.Struct):
    """What one version of a pilot answered."""

    pilot: str
    version: str
    """Its number, or `other`."""
    requests: int = 0
    rows: int = 0
    failures: int = 0
    """Requests that it could not answer."""
    failed_seconds: float = 0.0
    waited_seconds: float = 0.0
    """Of all requests together."""
    took: list[int] = msgspec.field(default_factory=_seconds)
    took_seconds: float = 0.0
    sizes: list[int] = msgspec.field(default_factory=_sizes)
    """Calls by number of rows."""
    sizes_seconds: list[float] = msgspec.field(default_factory=_totals)
    last: float = 0.0
    """When the last call ended, in seconds since the epoch; 0 when there was none."""
    scores: dict[str, int] = msgspec.field(default_factory=dict)
    """Rows by the bin of their score; see `scores`."""

    def answered(self, requests: int, rows: int, seconds_model: float, seconds_waited: float = 0.0) -> None:
        """Note one call of the model that answered `requests` with `rows` together.

        Args:
            requests: how many were answered.
            rows: of all of them.
            seconds_model: that the call took.
            seconds_waited: that the requests waited before, all added.
        """
        self.requests += requests
        self.rows += rows
        self.waited_seconds += seconds_waited
        self.took[bisect_left(BOUNDS_SECONDS, seconds_model)] += 1
        self.took_seconds += seconds_model
        power = (rows - 1).bit_length() if rows > 1 else 0
        power = power if power < SIZES else SIZES - 1
        self.sizes[power] += 1
        self.sizes_seconds[power] += seconds_model
        self.last = time.time()

    @property
    def executions(self) -> int:
        """Calls of the model."""
        return sum(self.took)

    def failed(self, requests: int, seconds: float = 0.0) -> None:
        """Note requests that the version could not answer, and the time spent on them."""
        self.failures += requests
        self.failed_seconds += seconds

    def scored(self, counts: Mapping[str, int]) -> None:
        """Note rows by the bin of their score."""
        _add_to_keys(self.scores, counts)

    def add(self, other: VersionMeter) -> None:
        """Add what `other` counted."""
        self.requests += other.requests
        self.rows += other.rows
        self.failures += other.failures
        self.failed_seconds += other.failed_seconds
        self.waited_seconds += other.waited_seconds
        self.took_seconds += other.took_seconds
        _add_to_list(self.took, other.took)
        _add_to_list(self.sizes, other.sizes)
        _add_to_list(self.sizes_seconds, other.sizes_seconds)
        self.last = max(self.last, other.last)
        _add_to_keys(self.scores, other.scores)


class PilotMeter(msgspec.Struct):
    """How prediction requests of one pilot ended, against its objectives; by whatever protocol they came."""

    pilot: str
    requests: int = 0
    """All but those that the client gave up."""
    errors: int = 0
    """Those that the server could not answer: status 500 and above."""
    slow: int = 0
    """Those that were answered well, but later than the objective."""

    def observe(self, status: int, seconds: float, objective: float) -> None:
        """Note an answer with `status` after `seconds`, of which it may take `objective`."""
        self.requests += 1
        if status >= 500:
            self.errors += 1
        elif seconds > objective and status < 400:
            self.slow += 1

    def add(self, other: PilotMeter) -> None:
        """Add what `other` counted."""
        self.requests += other.requests
        self.errors += other.errors
        self.slow += other.slow


class Loaded(msgspec.Struct, frozen=True):
    """A version that is in a process's memory."""

    pilot: str
    version: int
    form: str
    """What answers: `onnx`, or `trained` where there is no faster form."""
    champion: bool = True
    since: float = 0.0
    """When it was loaded, in seconds since the epoch."""


class Reading(msgspec.Struct):
    """All that one process, or several added, have counted."""

    routes: list[RouteMeter] = msgspec.field(default_factory=list)
    batches: list[BatchMeter] = msgspec.field(default_factory=list)
    versions: list[VersionMeter] = msgspec.field(default_factory=list)
    pilots: list[PilotMeter] = msgspec.field(default_factory=list)
    shed: dict[str, int] = msgspec.field(default_factory=dict)
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    cpu_seconds: float = 0.0
    gauges: dict[str, list[float]] = msgspec.field(default_factory=dict)
    """Values of each process that lives."""
    loaded: list[Loaded] = msgspec.field(default_factory=list)
    """Of the processes that live."""
    processes: int = 1
    """How many live."""
    folded: list[str] = msgspec.field(default_factory=list)
    """Names of the files whose numbers are in this one; see `sharing`."""

    def of_the_dead(self) -> Reading:
        """The same counts, without what only a living process has."""
        return msgspec.structs.replace(self, gauges={}, loaded=[], processes=0)


def merge(readings: Iterable[Reading]) -> Reading:
    """The sum; the accumulators of several threads become one, and the readings stay as they are."""
    whole = Reading(processes=0)
    routes: dict[tuple[str, str], RouteMeter] = {}
    batches: dict[str, BatchMeter] = {}
    versions: dict[tuple[str, str], VersionMeter] = {}
    pilots: dict[str, PilotMeter] = {}
    for reading in readings:
        for route in reading.routes:
            key = route.route, route.method
            routes.setdefault(key, RouteMeter(*key)).add(route)
        for batch in reading.batches:
            batches.setdefault(batch.reason, BatchMeter(batch.reason)).add(batch)
        for version in reading.versions:
            key = version.pilot, version.version
            versions.setdefault(key, VersionMeter(*key)).add(version)
        for pilot in reading.pilots:
            pilots.setdefault(pilot.pilot, PilotMeter(pilot.pilot)).add(pilot)
        _add_to_keys(whole.shed, reading.shed)
        _add_to_keys(whole.counts, reading.counts)
        whole.cpu_seconds += reading.cpu_seconds
        whole.processes += reading.processes
        for name, values in reading.gauges.items():
            whole.gauges.setdefault(name, []).extend(values)
        whole.loaded.extend(loaded for loaded in reading.loaded if loaded not in whole.loaded)
    whole.routes, whole.batches = list(routes.values()), list(batches.values())
    whole.versions, whole.pilots = newest(versions.values()), list(pilots.values())
    return whole


def newest(versions: Iterable[VersionMeter]) -> list[VersionMeter]:
    """The newest versions of each pilot, and `other`; the rest is left out.

    Not added to `other`: that would look like traffic which comes now.
    """
    by_pilot: dict[str, list[VersionMeter]] = {}
    kept: list[VersionMeter] = []
    for version in versions:
        (kept if version.version == OTHER else by_pilot.setdefault(version.pilot, [])).append(version)
    for found in by_pilot.values():
        kept.extend(sorted(found, key=lambda one: -int(one.version))[:NEWEST_VERSIONS])
    return kept


def _add_to_list(mine: list[_Number], others: list[_Number]) -> None:
    for position, count in enumerate(others):
        mine[position] += count


def _add_to_keys(mine: dict[_Key, int], others: Mapping[_Key, int]) -> None:
    for key, count in list(others.items()):
        mine[key] = mine.get(key, 0) + count
