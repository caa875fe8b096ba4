"""What is counted arrives in a scrape, whole, under bounded labels, from any number of threads."""

from __future__ import annotations

import json
import sys
import threading
import timeit
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pilotage.serving.telemetry import expositions, readings, statistics
from pilotage.serving.telemetry.meters import Across, Meters
from pilotage.serving.telemetry.readings import Loaded

Labels = dict[str, str]


def scraped(meters: Meters) -> dict[str, list[tuple[Labels, float]]]:
    """Samples by name, as an independent parser reads them."""
    found: dict[str, list[tuple[Labels, float]]] = {}
    for family in text_string_to_metric_families(meters.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def value(meters: Meters, name: str, **labels: str) -> float:
    (found,) = [number for given, number in scraped(meters)[name] if given == labels]
    return found


@pytest.fixture
def meters() -> Meters:
    return Meters({"flights": 0.1})


def test_requests_are_counted_by_route_and_status_with_a_cumulative_histogram(meters: Meters) -> None:
    route = meters.route("/predict", "POST")
    route.observe(200, 0.0004)
    route.observe(200, 0.0005)  # a bound belongs to its bucket
    route.observe(503, 99.0)
    assert value(meters, "pilotage_requests_total", route="/predict", method="POST", status="200") == 2
    assert value(meters, "pilotage_requests_total", route="/predict", method="POST", status="503") == 1
    samples = scraped(meters)["pilotage_request_duration_seconds_bucket"]
    by_bound = {labels["le"]: number for labels, number in samples}
    assert (by_bound["0.00025"], by_bound["0.0005"], by_bound["10.0"], by_bound["+Inf"]) == (0, 2, 2, 3)
    assert value(meters, "pilotage_request_duration_seconds_sum", route="/predict") == pytest.approx(99.0009)


def test_a_pilots_requests_are_measured_against_its_objectives(meters: Meters) -> None:
    assert value(meters, "pilotage_pilot_requests_total", pilot="flights") == 0, "a rate needs a first zero"
    for status, seconds in ((200, 0.1), (200, 0.1001), (503, 0.2), (500, 0.001), (422, 5.0)):
        meters.answered("flights", status, seconds)
    assert value(meters, "pilotage_pilot_requests_total", pilot="flights") == 5
    assert value(meters, "pilotage_pilot_errors_total", pilot="flights") == 2
    assert value(meters, "pilotage_pilot_slow_requests_total", pilot="flights") == 1
    assert value(meters, "pilotage_pilot_latency_objective_seconds", pilot="flights") == 0.1


def test_a_champion_tells_when_it_was_loaded_last(meters: Meters) -> None:
    meters.watch(
        lambda: [Loaded("flights", 1, "onnx", False, 50.0), Loaded("flights", 2, "onnx", True, 70.0)]
    )
    assert value(meters, "pilotage_model_loaded_timestamp_seconds", pilot="flights") == 70
    one, other = meters.reading(), meters.reading()
    other.loaded = [Loaded("flights", 2, "onnx", True, 90.0)]
    text = expositions.write(readings.merge([one, other]), meters).decode()
    assert 'pilotage_model_loaded_timestamp_seconds{pilot="flights"} 90.0' in text
    assert text.count('pilotage_model_info{form="onnx",pilot="flights",version="2"}') == 1


def test_batches_tell_why_they_were_released_how_long_they_waited_and_how_large_they_were(
    meters: Meters,
) -> None:
    meters.released("idle", 1, 1, 0.0, 0.001)
    meters.released("full", 30, 300, 0.02, 0.004)
    meters.released("full", 10**6, 10**7, 0.02, 0.004)
    assert value(meters, "pilotage_batches_total", reason="full") == 2
    assert value(meters, "pilotage_batch_queue_seconds_sum", reason="full") == pytest.approx(0.04)
    rows = {labels["le"]: number for labels, number in scraped(meters)["pilotage_batch_rows_bucket"]}
    assert (rows["1.0"], rows["256.0"], rows["512.0"], rows["65536.0"], rows["+Inf"]) == (1, 1, 2, 2, 3)
    assert value(meters, "pilotage_batch_requests_sum") == 10**6 + 31
    assert value(meters, "pilotage_batch_model_seconds_count") == 3


def test_what_exists_is_told_before_anything_happened(meters: Meters) -> None:
    assert value(meters, "pilotage_swap_failures_total") == 0
    assert value(meters, "pilotage_ready") == 0
    assert value(meters, "pilotage_model_version", pilot="flights") == 0
    assert value(meters, "pilotage_workers") == 1
    assert value(meters, "process_resident_memory_bytes") > 1e6
    assert value(meters, "process_open_fds") > 0
    assert value(meters, "process_cpu_seconds_total") > 0


def test_loaded_versions_show_their_form(meters: Meters) -> None:
    meters.watch(lambda: [Loaded("flights", 7, "onnx"), Loaded("flights", 8, "trained", champion=False)])
    assert value(meters, "pilotage_model_info", pilot="flights", version="7", form="onnx") == 1
    assert value(meters, "pilotage_model_info", pilot="flights", version="8", form="trained") == 1
    assert value(meters, "pilotage_model_version", pilot="flights") == 7
    assert value(meters, "pilotage_ready") == 1


def test_a_server_is_ready_when_each_of_its_pilots_is() -> None:
    meters = Meters({"flights": 0.1, "diamonds": 0.1})
    meters.watch(lambda: [Loaded("flights", 7, "onnx")])
    assert value(meters, "pilotage_ready") == 0


def test_routes_and_methods_are_bounded_whatever_is_asked(meters: Meters) -> None:
    for number in range(10_000):
        meters.route(f"/{number}", f"BREW{number}").observe(404, 0.001)
    samples = scraped(meters)["pilotage_requests_total"]
    assert len(samples) <= 201
    assert {labels["method"] for labels, _ in samples} == {"other"}
    assert sum(number for _, number in samples) == 10_000


def test_reasons_are_bounded(meters: Meters) -> None:
    for number in range(1000):
        meters.shed(f"reason {number}")
        meters.released(f"reason {number}", 1, 1, 0, 0)
    for name in ("pilotage_shed_requests_total", "pilotage_batches_total"):
        samples = scraped(meters)[name]
        assert len(samples) <= 34
        assert sum(number for _, number in samples) == 1000


def test_the_newest_versions_have_numbers_of_their_own(meters: Meters) -> None:
    for version in range(1, 101):
        meters.version("flights", version).answered(1, 2, 0.001)
    meters.version("flights", 3).answered(1, 1000, 0.001)
    rows = {labels["version"]: number for labels, number in scraped(meters)["pilotage_version_rows_total"]}
    assert rows == {**{str(version): 2 for version in range(91, 101)}, "other": 1000}


def test_a_version_of_another_pilot_is_another_one() -> None:
    meters = Meters({"flights": 0.1, "diamonds": 0.1})
    meters.version("flights", 1).answered(3, 30, 0.001)
    meters.version("diamonds", 1).failed(2)
    assert value(meters, "pilotage_version_requests_total", pilot="flights", version="1") == 3
    assert value(meters, "pilotage_version_failures_total", pilot="diamonds", version="1") == 2


def test_nothing_is_lost_when_threads_count_at_once(meters: Meters) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    together = threading.Barrier(4)

    def work(_: int) -> None:
        together.wait()
        for _ in range(5000):
            meters.route("/predict", "POST").observe(200, 0.001)
            meters.released("idle", 1, 2, 0.0, 0.001)
            meters.version("flights", 1).answered(1, 2, 0.001)
            meters.shed("overloaded")
            meters.rows.inc(2)

    try:
        with ThreadPoolExecutor(5) as pool:
            counting = [pool.submit(work, number) for number in range(4)]
            while not all(one.done() for one in counting):
                scraped(meters)
            for one in counting:
                one.result()
    finally:
        sys.setswitchinterval(before)
    assert value(meters, "pilotage_requests_total", route="/predict", method="POST", status="200") == 20_000
    assert value(meters, "pilotage_batch_rows_sum") == 40_000
    assert value(meters, "pilotage_version_rows_total", pilot="flights", version="1") == 40_000
    assert value(meters, "pilotage_shed_requests_total", reason="overloaded") == 20_000
    assert value(meters, "pilotage_rows_total") == 40_000


def test_a_gauge_that_fails_is_left_out_and_harms_no_other(meters: Meters) -> None:
    meters.gauge("pilotage_broken", "Broken", lambda: 1 / 0)
    meters.gauge("pilotage_depth", "Depth", lambda: 3, Across.MAX)
    assert "pilotage_broken" not in scraped(meters)
    assert value(meters, "pilotage_depth") == 3


def test_label_values_cannot_break_the_format() -> None:
    meters = Meters({"flights": 0.1})
    meters.shed('a"b\\c\nd')
    found = [labels["reason"] for labels, _ in scraped(meters)["pilotage_shed_requests_total"]]
    assert found == ["rate", 'a"b\\c\nd']


def test_requests_over_a_rate_are_counted_as_turned_away(meters: Meters) -> None:
    meters.route("/predict", "POST").observe(429, 0.001)
    meters.route("/explain", "POST").observe(429, 0.001)
    assert value(meters, "pilotage_shed_requests_total", reason="rate") == 2


def test_statistics_add_up_and_name_versions_that_answered_nothing(meters: Meters) -> None:
    meters.watch(lambda: [Loaded("flights", 12, "onnx"), Loaded("other-pilot", 1, "onnx")])
    meter = meters.version("flights", 11)
    meter.answered(2, 5, 0.25, 0.5)
    meter.answered(1, 1, 0.25)
    meter.failed(3, 0.125)
    newest, older = json.loads(json.dumps(statistics.describe(meters.total(), "flights")))
    assert (newest["version"], newest["inference_count"], newest["last_inference"]) == ("12", 0, 0)
    assert (older["version"], older["inference_count"], older["execution_count"]) == ("11", 6, 2)
    found = older["inference_stats"]
    assert found["success"] == {"count": 3, "ns": 1_000_000_000}
    assert found["queue"] == {"count": 3, "ns": 500_000_000}
    assert found["compute_infer"] == {"count": 2, "ns": 500_000_000}
    assert found["fail"] == {"count": 3, "ns": 125_000_000}
    sizes = {one["batch_size"]: one["compute_infer"]["count"] for one in older["batch_stats"]}
    assert sizes == {1: 1, 8: 1}
    assert [one["version"] for one in statistics.describe(meters.total(), "flights", "11")] == ["11"]
    assert statistics.describe(meters.total(), "flights", "13") == []


def test_every_bound_of_sizes_is_its_own_bucket(meters: Meters) -> None:
    for rows in readings.BOUNDS_SIZES:
        meters.released("idle", 1, rows, 0, 0)
        meters.released("idle", 1, rows + 1, 0, 0)
    counts = meters.reading().batches[0].rows
    assert sum(counts) == 2 * len(readings.BOUNDS_SIZES)
    assert counts[0] == 1
    assert counts[-1] == 1


def test_what_counting_costs_is_printed(meters: Meters, capsys: pytest.CaptureFixture[str]) -> None:
    """Not asserted: a machine that does other things too measures anything."""
    route = meters.route("/predict", "POST")

    def once() -> None:
        route.observe(200, 0.0003)
        meters.released("idle", 1, 1, 0.0, 0.0001)
        meters.version("flights", 1).answered(1, 1, 0.0001)

    seconds = min(timeit.repeat(once, number=2000, repeat=5)) / 2000
    with capsys.disabled():
        sys.stdout.write(f"\n[counting one request in a batch of its own: {seconds * 1e6:.2f} µs]\n")
    assert route.statuses[200] == 10_000
