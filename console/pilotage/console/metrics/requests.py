"""Requests that this console answered, counted by route and status; live streams are counted, not timed."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.console.metrics.families import counter

BOUNDS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets."""
UNMATCHED = "unmatched"
"""The route of all paths that are none."""
PREFIX = "/api/v1"
"""Of the API's routes."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STREAM = b"text/event-stream"


class Requests(Collector):
    """Counts of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: dict[tuple[str, str, str], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def note(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Count a request; its time, too, unless that is None."""
        key = (method if method in _METHODS else "other", route, str(status))
        with self._lock:
            self._statuses[key] = self._statuses.get(key, 0) + 1
            if seconds is not None:
                counts = self._buckets.setdefault(route, [0] * (len(BOUNDS_SECONDS) + 1))
                counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
                self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def collect(self) -> Iterable[Metric]:
        """What was counted so far."""
        with self._lock:
            statuses = {key: float(count) for key, count in self._statuses.items()}
            buckets = {route: list(counts) for route, counts in self._buckets.items()}
            sums = dict(self._seconds)
        yield counter(
            "pilotage_console_requests",
            "Requests that the console answered",
            ("method", "route", "status"),
            statuses,
        )
        times = HistogramMetricFamily(
            "pilotage_console_request_duration_seconds",
            "Time until an answer of the console began, but for live streams",
            labels=("route",),
        )
        names = [*map(str, BOUNDS_SECONDS), "+Inf"]
        for route, counts in buckets.items():
            cumulative = list(zip(names, map(float, accumulate(counts)), strict=True))
            times.add_metric((route,), cumulative, sums[route])
        yield times


class Counting:
    """Notes every request of an application, whatever became of it."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, streams, took = 500, False, 0.0

        async def watched(message: Message) -> None:
            nonlocal status, streams, took
            if message["type"] == "http.response.start":
                status, took = message["status"], time.perf_counter() - began
                streams = any(
                    name.lower() == b"content-type" and value.startswith(_STREAM)
                    for name, value in message["headers"]
                )
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = _route_of(scope)
            seconds = None if streams else took or time.perf_counter() - began
            self._requests.note(scope["method"], route, status, seconds)


def _route_of(scope: Scope) -> str:
    """The route's own path, never the request's; a router's route knows nothing of the API's prefix."""
    route: str = getattr(scope.get("route"), "path", UNMATCHED)
    if route != UNMATCHED and scope["path"].startswith(f"{PREFIX}/") and not route.startswith(PREFIX):
        return f"{PREFIX}{route}"
    return route
