"""What a server counts about itself while it answers; a scrape turns it into Prometheus' text.

Counting is on the path of every request, so it is adding to plain numbers, without
a lock: an accumulator belongs to the thread that asked for it, and those of several
threads are added when somebody reads. `x[i] += 1` of two threads on one list may
lose one, which is why none is shared. Ask for an accumulator in the thread that
uses it; one of a version for each batch, since old versions lose theirs.
What is rare (`Count`) has a lock instead.

Every label has a bounded set of values: routes are those of the server, versions
the newest ten of a pilot, and what is beyond is `other`.
"""

from __future__ import annotations

import logging
import math
import resource
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from threading import get_ident

from pilotage.serving.telemetry import readings
from pilotage.serving.telemetry.readings import (
    OTHER,
    BatchMeter,
    Loaded,
    PilotMeter,
    Reading,
    RouteMeter,
    VersionMeter,
)
from pilotage.serving.telemetry.sharing import Share

logger = logging.getLogger(__name__)

UNMATCHED = "unmatched"
"""The route of all paths that are none."""
METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "GRPC"})
_MOST_ROUTES = 200
_MOST_REASONS = 32
_PAGE_BYTES = resource.getpagesize()


class Across(StrEnum):
    """How one gauge comes of those of several processes."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


class Count:
    """Something rare that is counted, by any thread."""

    __slots__ = ("_lock", "text", "value")

    def __init__(self, text: str) -> None:
        self.text = text
        self.value = 0
        self._lock = threading.Lock()

    def inc(self, amount: int = 1) -> None:
        """Count `amount` more."""
        with self._lock:
            self.value += amount


class Level:
    """How many of something there are now; changed by the event loop only."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        """One more."""
        self.value += 1

    def dec(self) -> None:
        """One less."""
        self.value -= 1


class Gauge:
    """A value that is asked for when it is read."""

    __slots__ = ("across", "read", "text")

    def __init__(self, text: str, read: Callable[[], float], across: Across) -> None:
        self.text = text
        self.read = read
        self.across = across

    def combine(self, values: Iterable[float]) -> float:
        """One value for those of several processes."""
        if self.across is Across.SUM:
            return sum(values)
        return max(values) if self.across is Across.MAX else min(values)


class Meters:
    """All that one server process counts."""

    def __init__(self, objectives: Mapping[str, float], share: Share | None = None) -> None:
        """Begin to count for the pilots of those names, and to tell the other processes of `share`.

        Args:
            objectives: seconds that a prediction request of each pilot may take.
            share: of the server's processes, where there are several.
        """
        self.objectives = dict(objectives)
        self.share = share
        self._lock = threading.Lock()
        self._routes: dict[tuple[int, str, str], RouteMeter] = {}
        self._batches: dict[tuple[int, str], BatchMeter] = {}
        self._versions: dict[tuple[int, str, int | str], VersionMeter] = {}
        self._pilots: dict[tuple[int, str], PilotMeter] = {}
        self._shed: dict[str, Count] = {}
        self._gauges: dict[str, Gauge] = {}
        self._loaded: Callable[[], Iterable[Loaded]] = tuple
        self.in_flight = Level()
        self.counts: dict[str, Count] = {}
        self.rows = self._count("pilotage_rows", "Rows that were predicted")
        self.refused = self._count(
            "pilotage_refused_requests", "Prediction requests that failed or were refused"
        )
        self.labels = self._count("pilotage_labels", "Labels that were stored")
        self.swaps = self._count("pilotage_swaps", "Versions that became live")
        self.swap_failures = self._count("pilotage_swap_failures", "Attempts to load a version that failed")
        self.dropped = self._count(
            "pilotage_recorder_dropped_rows", "Rows that were served but not counted or logged"
        )
        self.flush_failures = self._count("pilotage_recorder_flush_failures", "Flushes that failed")
        self.unlogged = self._count(
            "pilotage_access_log_dropped_lines", "Lines of the access log that were not written"
        )
        self._add_gauges()
        if share is not None:
            share.begin(self.reading)

    def _count(self, name: str, text: str) -> Count:
        return self.counts.setdefault(name, Count(text))

    def _add_gauges(self) -> None:
        self.gauge("pilotage_requests_in_flight", "Requests in progress", lambda: self.in_flight.value)
        self.gauge("process_resident_memory_bytes", "Resident memory", _resident_bytes)
        self.gauge("process_open_fds", "Open file descriptors", _descriptors)
        self.gauge("process_max_fds", "Most file descriptors that may be open", _most_descriptors)
        self.gauge("process_threads", "Threads of the processes", threading.active_count)
        started = time.time()
        self.gauge("process_start_time_seconds", "When the server began", lambda: started, Across.MIN)

    # -- the path of requests ------------------------------------------------

    def route(self, route: str, method: str) -> RouteMeter:
        """The calling thread's accumulator of a route, which is one of the server's or `UNMATCHED`."""
        found = self._routes.get((get_ident(), route, method))
        return self._new_route(route, method) if found is None else found

    def _new_route(self, route: str, method: str) -> RouteMeter:
        method = method if method in METHODS else OTHER
        with self._lock:
            known = {key[1:] for key in self._routes}
            if (route, method) not in known and len(known) >= _MOST_ROUTES:
                route, method = OTHER, OTHER
            return self._routes.setdefault((get_ident(), route, method), RouteMeter(route, method))

    def answered(self, pilot: str, status: int, seconds: float) -> None:
        """Note how a prediction request of a pilot ended.

        Args:
            pilot: one of the server's.
            status: of the answer.
            seconds: from the request's head to its answer.
        """
        meter = self._pilots.get((get_ident(), pilot))
        if meter is None:
            with self._lock:
                meter = self._pilots.setdefault((get_ident(), pilot), PilotMeter(pilot))
        meter.observe(status, seconds, self.objectives.get(pilot, math.inf))

    def released(self, reason: str, requests: int, rows: int, waited: float, took: float) -> None:
        """Note a batch that was released and predicted.

        Args:
            reason: why it was released: idle, gathered, full, turn, alone.
            requests: in the batch.
            rows: of all of them.
            waited: seconds from the oldest request's arrival to the release.
            took: seconds of the model.
        """
        meter = self._batches.get((get_ident(), reason))
        if meter is None:
            meter = self._new_batch(reason)
        meter.observe(requests, rows, waited, took)

    def _new_batch(self, reason: str) -> BatchMeter:
        with self._lock:
            known = {key[1] for key in self._batches}
            reason = reason if reason in known or len(known) < _MOST_REASONS else OTHER
            return self._batches.setdefault((get_ident(), reason), BatchMeter(reason))

    def version(self, pilot: str, version: int) -> VersionMeter:
        """The calling thread's accumulator of a version; that of `other` when it is an old one."""
        found = self._versions.get((get_ident(), pilot, version))
        return self._new_version(pilot, version) if found is None else found

    def _new_version(self, pilot: str, version: int) -> VersionMeter:
        ident = get_ident()
        with self._lock:
            numbers = {key[2] for key in self._versions if key[1] == pilot and isinstance(key[2], int)}
            kept = sorted({*numbers, version}, reverse=True)[: readings.NEWEST_VERSIONS]
            label: int | str = version if version in kept else OTHER
            for old in numbers.difference(kept):
                for key in [key for key in self._versions if key[1:] == (pilot, old)]:
                    del self._versions[key]
            return self._versions.setdefault((ident, pilot, label), VersionMeter(pilot, str(label)))

    def shed(self, reason: str) -> None:
        """Note a request that was turned away: overloaded, memory, deadline, rate, …"""
        found = self._shed.get(reason)
        if found is None:
            with self._lock:
                reason = reason if len(self._shed) < _MOST_REASONS else OTHER
                found = self._shed.setdefault(reason, Count(reason))
        found.inc()

    # -- what is asked for -----------------------------------------------------

    def gauge(self, name: str, text: str, read: Callable[[], float], across: Across = Across.SUM) -> None:
        """Report what `read` gives whenever somebody asks, in any thread.

        Args:
            name: of the metric.
            text: what it is.
            read: cheap and safe in any thread; one that fails is left out.
            across: how the values of several processes become one.
        """
        self._gauges[name] = Gauge(text, read, across)

    def watch(self, loaded: Callable[[], Iterable[Loaded]]) -> None:
        """Report the versions that `loaded` gives whenever somebody asks, in any thread."""
        self._loaded = loaded

    @property
    def gauges(self) -> dict[str, Gauge]:
        """Gauges by name."""
        return dict(self._gauges)

    def reading(self) -> Reading:
        """What this process has counted so far."""
        with self._lock:
            found = Reading(
                routes=list(self._routes.values()),
                batches=list(self._batches.values()),
                versions=list(self._versions.values()),
                pilots=list(self._pilots.values()),
                shed={reason: count.value for reason, count in self._shed.items()},
                counts={name: count.value for name, count in self.counts.items()},
                cpu_seconds=time.process_time(),
            )
        found.gauges = {name: [value] for name, value in self._values()}
        found.loaded = list(self._loaded())
        return readings.merge([found])

    def _values(self) -> Iterable[tuple[str, float]]:
        for name, gauge in self.gauges.items():
            try:
                yield name, float(gauge.read())
            except Exception as error:
                logger.debug("gauge %s cannot be read: %s", name, error)

    def total(self) -> Reading:
        """What all processes of the server have counted; reads files when there are several."""
        return self.reading() if self.share is None else self.share.total()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format; in a thread when there are several processes."""
        from pilotage.serving.telemetry import expositions  # a scrape, not the start, pays for it

        return expositions.write(self.total(), self)

    def close(self) -> None:
        """Leave the last numbers to the other processes."""
        if self.share is not None:
            self.share.close()


def _resident_bytes() -> float:
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE_BYTES
    except OSError:  # no Linux: the most there ever was
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _descriptors() -> float:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _most_descriptors() -> float:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
