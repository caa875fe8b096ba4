"""A reading as Prometheus' text: names, labels and buckets of all metrics, in one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from pilotage.serving.telemetry import readings
from pilotage.serving.telemetry.readings import BatchMeter, PilotMeter, Reading, RouteMeter, VersionMeter

if TYPE_CHECKING:
    from pilotage.serving.telemetry.meters import Meters


def write(reading: Reading, meters: Meters) -> bytes:
    """The reading in Prometheus' text format; `meters` says what the numbers are called."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(families(reading, meters)))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def families(reading: Reading, meters: Meters) -> Iterator[Metric]:
    """All metrics of a reading."""
    yield from _routes(reading.routes)
    yield from _counts(reading, meters)
    yield from _batches(reading.batches)
    yield from _versions(reading.versions)
    yield from _pilots(reading, meters.objectives)
    yield from _loaded(reading, meters.objectives)
    for name, gauge in meters.gauges.items():
        values = reading.gauges.get(name)
        if values:
            yield GaugeMetricFamily(name, gauge.text, value=gauge.combine(values))
    yield GaugeMetricFamily("pilotage_workers", "Server processes that live", value=reading.processes)
    yield CounterMetricFamily(
        "process_cpu_seconds", "CPU time of all processes, of those that ended too", value=reading.cpu_seconds
    )


def _routes(routes: list[RouteMeter]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "pilotage_requests", "Requests by route and status", labels=("route", "method", "status")
    )
    seconds = HistogramMetricFamily(
        "pilotage_request_duration_seconds", "Time from a request's head to its answer", labels=("route",)
    )
    by_route: dict[str, RouteMeter] = {}
    for meter in routes:
        for status, count in meter.statuses.items():
            requests.add_metric((meter.route, meter.method, str(status)), count)
        by_route.setdefault(meter.route, RouteMeter(meter.route, "")).add(meter)
    for route, meter in by_route.items():
        seconds.add_metric((route,), _by_seconds(meter.buckets), meter.seconds)
    yield requests
    yield seconds


def _counts(reading: Reading, meters: Meters) -> Iterator[Metric]:
    for name, count in meters.counts.items():
        yield CounterMetricFamily(name, count.text, value=reading.counts.get(name, 0))
    shed = CounterMetricFamily("pilotage_shed_requests", "Requests that were turned away", labels=("reason",))
    limited = sum(route.statuses.get(HTTPStatus.TOO_MANY_REQUESTS, 0) for route in reading.routes)
    for reason, number in {"rate": limited, **reading.shed}.items():
        shed.add_metric((reason,), number)
    yield shed


def _batches(batches: list[BatchMeter]) -> Iterator[Metric]:
    released = CounterMetricFamily(
        "pilotage_batches", "Batches by why they were released", labels=("reason",)
    )
    waited = HistogramMetricFamily(
        "pilotage_batch_queue_seconds", "Wait of a batch's oldest request", labels=("reason",)
    )
    whole = BatchMeter("")
    for batch in batches:
        released.add_metric((batch.reason,), sum(batch.rows))
        waited.add_metric((batch.reason,), _by_seconds(batch.waited), batch.waited_seconds)
        whole.add(batch)
    yield released
    yield waited
    for name, help_text, buckets, total in (
        ("pilotage_batch_rows", "Rows in a batch", _by_size(whole.rows), whole.rows_total),
        ("pilotage_batch_requests", "Requests in a batch", _by_size(whole.requests), whole.requests_total),
        (
            "pilotage_batch_model_seconds",
            "Model time of a batch",
            _by_seconds(whole.took),
            whole.took_seconds,
        ),
    ):
        yield HistogramMetricFamily(name, help_text, buckets=buckets, sum_value=total)


def _versions(versions: list[VersionMeter]) -> Iterator[Metric]:
    labels = ("pilot", "version")
    requests = CounterMetricFamily(
        "pilotage_version_requests", "Prediction requests that a version answered", labels=labels
    )
    rows = CounterMetricFamily("pilotage_version_rows", "Rows that a version predicted", labels=labels)
    failures = CounterMetricFamily(
        "pilotage_version_failures", "Prediction requests that a version could not answer", labels=labels
    )
    took = HistogramMetricFamily(
        "pilotage_version_model_seconds", "Time of one call of a version's model", labels=labels
    )
    scores = CounterMetricFamily(
        "pilotage_version_scores",
        "Rows by the bin of their score, alike for all versions",
        labels=(*labels, "bin"),
    )
    for version in versions:
        label = version.pilot, version.version
        for bound, count in list(version.scores.items()):
            scores.add_metric((*label, bound), count)
        requests.add_metric(label, version.requests)
        rows.add_metric(label, version.rows)
        failures.add_metric(label, version.failures)
        took.add_metric(label, _by_seconds(version.took), version.took_seconds)
    yield from (requests, rows, failures, took, scores)


def _pilots(reading: Reading, objectives: Mapping[str, float]) -> Iterator[Metric]:
    """What objectives are measured by; of each pilot from the start, for a rate needs a first zero."""
    requests = CounterMetricFamily(
        "pilotage_pilot_requests", "Prediction requests, by any protocol", labels=("pilot",)
    )
    failed = CounterMetricFamily(
        "pilotage_pilot_errors",
        "Prediction requests that the server failed: status 500 and above",
        labels=("pilot",),
    )
    slow = CounterMetricFamily(
        "pilotage_pilot_slow_requests",
        "Prediction requests that were answered well, but later than the objective",
        labels=("pilot",),
    )
    objective = GaugeMetricFamily(
        "pilotage_pilot_latency_objective_seconds",
        "What 99 of 100 prediction requests must not take longer than",
        labels=("pilot",),
    )
    counted = {meter.pilot: meter for meter in reading.pilots}
    for pilot, seconds in objectives.items():
        meter = counted.get(pilot, PilotMeter(pilot))
        requests.add_metric((pilot,), meter.requests)
        failed.add_metric((pilot,), meter.errors)
        slow.add_metric((pilot,), meter.slow)
        objective.add_metric((pilot,), seconds)
    yield from (requests, failed, slow, objective)


def _loaded(reading: Reading, pilots: Iterable[str]) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "pilotage_model_info",
        "Versions that are loaded, and in which form",
        labels=("pilot", "version", "form"),
    )
    loaded = GaugeMetricFamily(
        "pilotage_model_loaded_timestamp_seconds",
        "When the champion that is live was loaded, by the process that did so last",
        labels=("pilot",),
    )
    champions: dict[str, int] = dict.fromkeys(pilots, 0)
    since: dict[tuple[str, int], float] = {}
    for label in dict.fromkeys((one.pilot, str(one.version), one.form) for one in reading.loaded):
        info.add_metric(label, 1)
    for one in reading.loaded:
        if one.champion:
            champions[one.pilot] = max(champions.get(one.pilot, 0), one.version)
            key = one.pilot, one.version
            since[key] = max(since.get(key, 0.0), one.since)
    yield info
    version = GaugeMetricFamily(
        "pilotage_model_version", "Champion that is live; 0 when none is", labels=("pilot",)
    )
    served = GaugeMetricFamily("pilotage_pilot_info", "The pilots that are served", labels=("pilot",))
    for pilot, number in champions.items():
        version.add_metric((pilot,), number)
        served.add_metric((pilot,), 1)
        if (pilot, number) in since:
            loaded.add_metric((pilot,), since[pilot, number])
    yield version
    yield loaded
    yield served
    ready = float(all(champions.values()))
    yield GaugeMetricFamily("pilotage_ready", "1 when a model of each pilot is live", value=ready)


def _by_seconds(counts: list[int]) -> list[tuple[str, float]]:
    return _buckets(readings.BOUNDS_SECONDS, counts)


def _by_size(counts: list[int]) -> list[tuple[str, float]]:
    return _buckets(readings.BOUNDS_SIZES, counts)


def _buckets(bounds: Iterable[float], counts: list[int]) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound, as Prometheus wants them."""
    names = [*(str(float(bound)) for bound in bounds), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True))
