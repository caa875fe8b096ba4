"""A trace is continued, sampled as its caller says, shows its parts, and never holds a server up."""

from __future__ import annotations

import builtins
import importlib.util
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from pilotage.core import errors, settings
from pilotage.serving.telemetry import traces
from pilotage.serving.telemetry.traces import Span, Tracer

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def make(exporter: InMemorySpanExporter, ratio: float = 1.0) -> Tracer:
    found = traces.tracer(settings.load(traces_ratio=ratio), exporter)
    assert found is not None
    return found


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Iterator[Tracer]:
    found = make(exporter)
    yield found
    found.close()


def begin(tracer: Tracer, traceparent: bytes | None = None, tracestate: bytes | None = None) -> Span:
    span = tracer.request(traceparent, tracestate)
    assert span is not None
    return span


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_no_tracer_without_an_address() -> None:
    assert traces.tracer(settings.load()) is None


@pytest.mark.parametrize("name", ["PILOTAGE_TRACES", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_the_address_comes_from_either_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://collector:4318/")
    assert settings.load().traces == "http://collector:4318"


def test_an_address_that_is_none_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
    with pytest.raises(errors.SettingsError, match=r"is no http.*OTEL_EXPORTER_OTLP_ENDPOINT"):
        settings.load()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(errors.MissingExtra, match=r"`opentelemetry.*pilotage\[tracing\]"):
        traces.tracer(settings.load(traces="http://127.0.0.1:1"))


def test_a_missing_extra_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = settings.load(traces="http://127.0.0.1:1")
    traces.check(asked)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    traces.check(settings.load())
    with pytest.raises(errors.MissingExtra, match=r"`opentelemetry`.*pilotage\[tracing\]"):
        traces.check(asked)


def test_a_callers_trace_is_continued(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    span = begin(tracer, f"00-{TRACE}-{CALLER}-01".encode(), b"vendor=value")
    span.end("POST", "/predict", 200, rows=3, version=7, request_id=b"abc")
    (found,) = exporter.get_finished_spans()
    assert found.parent is not None
    assert (f"{found.context.trace_id:032x}", f"{found.parent.span_id:016x}") == (TRACE, CALLER)
    assert span.traceparent == f"00-{TRACE}-{found.context.span_id:016x}-01".encode()
    assert span.trace_id == TRACE
    assert found.context.trace_state.get("vendor") == "value"
    assert found.attributes == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "pilotage.rows": 3,
        "pilotage.version": 7,
        "pilotage.request_id": "abc",
    }
    assert found.name == "POST /predict"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"00-xyz-1-01", id="no hex"),
        pytest.param(b"\xff\xfe\x00", id="bytes"),
        pytest.param(b"00-" + b"0" * 32 + b"-" + CALLER.encode() + b"-01", id="zeros"),
        pytest.param(b"00-" + b"a" * 100_000 + b"-01", id="endless"),
    ],
)
def test_a_malformed_header_begins_a_new_trace(
    tracer: Tracer, exporter: InMemorySpanExporter, header: bytes
) -> None:
    begin(tracer, header).end("GET", "/v2", 200)
    (found,) = exporter.get_finished_spans()
    assert found.parent is None


def test_sampling_is_the_callers_decision_and_else_a_ratio(exporter: InMemorySpanExporter) -> None:
    never = make(exporter, 0.0)
    assert never.request() is None
    assert never.request(f"00-{TRACE}-{CALLER}-00".encode()) is None
    assert never.request(f"00-{TRACE}-{CALLER}-01".encode()) is not None
    half = make(exporter, 0.5)
    sampled = sum(half.request() is not None for _ in range(2000))
    assert 880 < sampled < 1120  # 5 standard deviations
    assert make(exporter, 1.0).request(f"00-{TRACE}-{CALLER}-00".encode()) is None
    never.close()
    half.close()


def test_parts_lie_within_the_request_and_in_its_trace(
    tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    span = begin(tracer)
    times = [time.perf_counter() for _ in range(4)]
    span.part("decode", times[0], times[1])
    span.part("queue", times[1], times[2])
    tracer.batch([span], times[2], times[3], requests=1, rows=4, version=2, reason="idle")
    span.end("POST", "/predict", 200)
    (whole,) = named(exporter, "POST /predict")
    children = [*named(exporter, "decode"), *named(exporter, "queue"), *named(exporter, "model")]
    assert [child.parent for child in children] == [whole.context] * 3
    edges = [moment for child in children for moment in (child.start_time or 0, child.end_time or 0)]
    assert edges == sorted(edges)
    assert (whole.start_time or 0) <= edges[0] + 1000  # the clocks differ by the time of reading two
    assert edges[-1] <= (whole.end_time or 0) + 1000
    assert dict(children[2].attributes or {})["pilotage.rows"] == 4
    assert not named(exporter, "batch")


def test_a_batch_links_the_requests_that_it_answers(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    spans = [begin(tracer) for _ in range(3)]
    now = time.perf_counter()
    tracer.batch(spans, now, now + 0.001, requests=5, rows=9, version=2, reason="full")
    traces.note_batch([], now, now, requests=5, rows=9, version=2, reason="full")
    for span in spans:
        span.end("POST", "/predict", 200)
    (batch,) = named(exporter, "batch")
    assert batch.parent == spans[0].span.get_span_context()
    assert [link.context for link in batch.links] == [span.span.get_span_context() for span in spans[1:]]
    models = named(exporter, "model")
    assert [[link.context for link in model.links] for model in models] == [[batch.context]] * 3
    assert {model.context.trace_id for model in models} == {
        span.span.get_span_context().trace_id for span in spans
    }


@pytest.mark.parametrize(
    ("status", "code"), [(200, StatusCode.UNSET), (422, StatusCode.UNSET), (503, StatusCode.ERROR)]
)
def test_only_the_servers_own_failures_are_errors(
    tracer: Tracer, exporter: InMemorySpanExporter, status: int, code: StatusCode
) -> None:
    begin(tracer).end("POST", "/predict", status)
    (found,) = exporter.get_finished_spans()
    assert found.status.status_code is code


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_spans_arrive_at_a_collector() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as server:
        server.bodies = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tracer = traces.tracer(settings.load(traces=f"http://127.0.0.1:{server.server_port}"))
        assert tracer is not None
        begin(tracer).end("POST", "/predict", 200)
        tracer.close()
        server.shutdown()
        ((path, body),) = server.bodies  # type: ignore[attr-defined]
    assert path == "/v1/traces"
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    names = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert names["service.name"] == "pilotage"
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["POST /predict"]


def test_a_collector_that_is_not_there_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "CLOSE_SECONDS", 0.3)
    tracer = traces.tracer(settings.load(traces="http://127.0.0.1:1"))
    assert tracer is not None
    started = time.perf_counter()
    begin(tracer).end("POST", "/predict", 200)
    tracer.close()
    assert time.perf_counter() - started < 30, "asking again and again takes a minute"
