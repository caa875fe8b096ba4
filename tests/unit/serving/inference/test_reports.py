"""Each version is credited with what it answered and blamed for what it could not, once each."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.unit.serving import small_models

from pilotage.core import errors, settings
from pilotage.serving import problems
from pilotage.serving.inference import reports
from pilotage.serving.inference.planes import Outcome, Reply
from pilotage.serving.inference.works import Request, Work
from pilotage.serving.protocols import codecs
from pilotage.serving.telemetry import traces
from pilotage.serving.telemetry.meters import Meters
from pilotage.serving.telemetry.readings import VersionMeter
from pilotage.serving.versions.lives import Live


@pytest.fixture
def meters() -> Meters:
    return Meters({small_models.NAME: 0.1})


@pytest.fixture
def challenger(live: Live) -> Live:
    return replace(live, registered=replace(live.registered, version=live.version + 1))


def work(live: Live, rows: int = 1, span: Any = None) -> Work:
    return Work(Request(b"", "", codecs.rows, 0.0, span=span), live, rows, None)


def versions(meters: Meters) -> dict[str, VersionMeter]:
    return {meter.version: meter for meter in meters.reading().versions}


def report(meters: Meters, entries: list[tuple[Work, Outcome]], came: float = 1.0) -> None:
    taken = [(work, None, came) for work, _ in entries]
    outcomes = [outcome for _, outcome in entries]
    reports.report(meters, small_models.NAME, taken, outcomes, "idle", started=1.5, took=0.1)


def test_a_batch_is_one_call_of_its_version(meters: Meters, live: Live) -> None:
    report(meters, [(work(live, rows), Reply(b"", rows, live.version)) for rows in (1, 3)])
    (found,) = versions(meters).values()
    assert (found.version, found.requests, found.rows, found.executions) == (str(live.version), 2, 4, 1)
    assert found.took_seconds == pytest.approx(0.1)
    assert found.waited_seconds == pytest.approx(1.0)
    reading = meters.reading()
    assert reading.counts["pilotage_rows"] == 4
    assert (reading.batches[0].requests_total, reading.batches[0].rows_total) == (2, 4)


def test_versions_share_a_batch_by_their_rows(meters: Meters, live: Live, challenger: Live) -> None:
    report(
        meters,
        [
            (work(live, 3), Reply(b"", 3, live.version)),
            (work(challenger, 1), Reply(b"", 1, challenger.version)),
        ],
    )
    found = versions(meters)
    assert found[str(live.version)].took_seconds == pytest.approx(0.075)
    assert found[str(challenger.version)].took_seconds == pytest.approx(0.025)
    assert meters.reading().counts["pilotage_rows"] == 4


def test_a_challenger_is_blamed_though_the_champion_answered(
    meters: Meters, live: Live, challenger: Live
) -> None:
    report(meters, [(work(challenger, 2), Reply(b"", 2, live.version))])
    found = versions(meters)
    assert (found[str(live.version)].rows, found[str(live.version)].failures) == (2, 0)
    assert (found[str(challenger.version)].rows, found[str(challenger.version)].failures) == (0, 1)


@pytest.mark.parametrize(
    ("outcome", "failures"),
    [
        pytest.param(RuntimeError("broken"), 1, id="the model's fault"),
        pytest.param(errors.RequestError("Row 0: wrong."), 0, id="the row's fault"),
        pytest.param(problems.too_late(), 0, id="the server's"),
    ],
)
def test_only_the_versions_own_failures_are_its(
    meters: Meters, live: Live, outcome: Exception, failures: int
) -> None:
    report(meters, [(work(live), outcome)])
    assert sum(meter.failures for meter in versions(meters).values()) == failures
    assert meters.reading().counts["pilotage_rows"] == 0
    assert sum(meters.reading().batches[0].rows) == 1


@pytest.mark.parametrize("read", [True, False])
def test_a_large_request_is_counted_by_itself(meters: Meters, live: Live, read: bool) -> None:
    asked = work(live, 5)
    given = asked if read else asked.request
    reply = Reply(b"", 5, live.version)
    reports.report_large(meters, small_models.NAME, given, reply, "alone", came=1.0, started=1.5, took=0.1)
    (found,) = versions(meters).values()
    assert (found.requests, found.rows, found.executions) == (1, 5, 1)
    assert [batch.reason for batch in meters.reading().batches] == ["alone"]


def test_traced_requests_of_a_batch_have_their_parts(meters: Meters, live: Live) -> None:
    exporter = InMemorySpanExporter()
    tracer = traces.tracer(settings.load(), exporter)
    assert tracer is not None
    span = tracer.request()
    assert span is not None
    now = time.perf_counter()
    entries = [(work(live, span=span), None, now), (work(live), None, now)]
    outcomes: list[Outcome] = [Reply(b"", 1, live.version)] * 2
    reports.report(meters, small_models.NAME, entries, outcomes, "full", now + 0.001, 0.002)
    span.end("POST", "/predict", 200)
    spans = {found.name: found for found in exporter.get_finished_spans()}
    assert set(spans) == {"POST /predict", "queue", "model", "batch"}
    assert dict(spans["batch"].attributes or {})["pilotage.requests"] == 2
    tracer.close()
