"""What the server tells Prometheus about itself; every label has a bounded set of values."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Meters:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, pilot: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "pilotage_requests",
            "Requests by route and status",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "pilotage_request_duration_seconds",
            "Time from a request's head to its answer",
            ("route",),
            buckets=BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.in_flight = self._gauge("pilotage_requests_in_flight", "Requests in progress")
        self.rows = self._counter("pilotage_rows", "Rows that were predicted")
        self.refused = self._counter(
            "pilotage_refused_requests", "Prediction requests that failed or were refused"
        )
        self.labels = self._counter("pilotage_labels", "Labels that were stored")
        self.swaps = self._counter("pilotage_swaps", "Versions that became live")
        self.swap_failures = self._counter(
            "pilotage_swap_failures", "Attempts to load a champion that failed"
        )
        self.dropped = self._counter(
            "pilotage_recorder_dropped_rows", "Rows that were served but not counted or logged"
        )
        self.flush_failures = self._counter("pilotage_recorder_flush_failures", "Flushes that failed")
        self.version = self._gauge("pilotage_model_version", "Version that is live; 0 when none is")
        self.ready = self._gauge("pilotage_ready", "1 when a model is live")
        self.info = Gauge(
            "pilotage_pilot_info", "The pilot that is served", ("pilot",), registry=self.registry
        )
        self.info.labels(pilot).set(1)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def swapped(self, version: int) -> None:
        """Note that `version` became live."""
        self.swaps.inc()
        self.version.set(version)
        self.ready.set(1)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
