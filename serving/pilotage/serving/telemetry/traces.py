"""Traces of requests for OpenTelemetry: what came in, how long it waited, what the model took.

Off unless an address to send them to is set, and then `Tracer` is None and costs a
comparison. A request's parts are noted as plain tuples by whatever thread does them; spans are made of
them when the request ends, and sent by the SDK's own thread, so that no request
waits for a collector. The SDK is an extra, imported when traces are on.

A trace that the caller began (W3C `traceparent`) is continued, and whether it is sampled is the
caller's decision; else `traces_ratio` decides.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from pilotage.core import errors
from pilotage.core.settings import Settings

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
"""How long a stop waits for the last spans to be sent."""
_EXPORT_SECONDS = 5.0
_MOST_LINKS = 128
_LONGEST_HEADER = 512
_NOT_SAMPLED = b"-00"


def tracer(settings: Settings, exporter: SpanExporter | None = None) -> Tracer | None:
    """What traces requests as the settings ask; None when they do not.

    Args:
        settings: of the installation.
        exporter: takes the spans instead of the collector that the settings name.

    Raises:
        MissingExtra: traces are asked for and OpenTelemetry is not installed.
    """
    if not settings.traces and exporter is None:
        return None
    try:
        return Tracer(*_provider(settings, exporter))
    except ModuleNotFoundError as error:
        raise _missing(error.name or "opentelemetry") from error


def check(settings: Settings) -> None:
    """See that traces which are asked for can be made, without making any.

    Raises:
        MissingExtra: OpenTelemetry is not installed.
    """
    if settings.traces:
        for name in ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
            try:
                found = importlib.util.find_spec(name)
            except ModuleNotFoundError:
                found = None
            if found is None:
                raise _missing(name)


def _missing(name: str) -> errors.MissingExtra:
    return errors.MissingExtra(
        f"PILOTAGE_TRACES or OTEL_EXPORTER_OTLP_ENDPOINT is set, which needs the library `{name}`.",
        remedy='Install it with `pip install "pilotage[tracing]"`, or unset the variable.',
        extra="tracing",
    )


def _provider(settings: Settings, exporter: SpanExporter | None) -> tuple[TracerProvider, SpanExporter]:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    described = Resource.create({"service.version": metadata.version("pilotage")})
    if str(described.attributes.get("service.name", "")).startswith("unknown_service"):
        described = described.merge(Resource({"service.name": "pilotage"}))
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.traces_ratio)),
        resource=described,
        shutdown_on_exit=False,
    )
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        return provider, exporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    class Sending(OTLPSpanExporter):
        """Ends once, without a warning the second time: `close` may end it before the provider does."""

        ended = False

        def shutdown(self) -> None:
            if not self.ended:
                self.ended = True
                super().shutdown()  # type: ignore[no-untyped-call]

    sending = Sending(endpoint=f"{settings.traces}/v1/traces", timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(sending))
    return provider, sending


class Span:
    """One request that is traced. Parts may be noted by any thread, one after the other."""

    __slots__ = ("_epoch", "_parts", "span", "trace_id", "traceparent", "tracer")

    def __init__(self, tracer: Tracer, span: trace.Span, epoch: int) -> None:
        context = span.get_span_context()
        self.span = span
        self.trace_id = f"{context.trace_id:032x}"
        """For the access log."""
        self.traceparent = f"00-{self.trace_id}-{context.span_id:016x}-01".encode()
        """The header that goes back to the caller."""
        self.tracer = tracer
        self._epoch = epoch
        self._parts: list[tuple[str, float, float, dict[str, Any], trace.SpanContext | None]] = []

    def part(self, name: str, started: float, ended: float, **attributes: str | int | float) -> None:
        """Note what was done between two readings of `time.perf_counter()`: read, queue, model, …"""
        described = {f"pilotage.{key}": value for key, value in attributes.items()}
        self._parts.append((name, started, ended, described, None))

    def shared_part(
        self, name: str, started: float, ended: float, batch: trace.SpanContext, **attributes: str | int
    ) -> None:
        """Note what was done for several requests at once; `batch` is its span."""
        described = {f"pilotage.{key}": value for key, value in attributes.items()}
        self._parts.append((name, started, ended, described, batch))

    def nanoseconds(self, moment: float) -> int:
        """A reading of `time.perf_counter()` since the epoch."""
        return self._epoch + int(moment * 1e9)

    def end(
        self,
        method: str,
        route: str,
        status: int,
        *,
        rows: int | None = None,
        version: int | None = None,
        request_id: bytes | None = None,
    ) -> None:
        """Note the answer and let the spans go.

        Args:
            method: of the request.
            route: as in the metrics, never the path.
            status: of the answer.
            rows: that were predicted.
            version: that answered.
            request_id: that the answer carries.
        """
        attributes = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "pilotage.rows": rows,
            "pilotage.version": version,
            "pilotage.request_id": None if request_id is None else request_id.decode("ascii", "replace"),
        }
        self.tracer.finish(
            self,
            f"{method} {route}",
            status,
            {name: value for name, value in attributes.items() if value is not None},
            self._parts,
        )


def note_batch(
    spans: Sequence[Span],
    started: float,
    ended: float,
    *,
    requests: int,
    rows: int,
    version: int,
    reason: str,
) -> None:
    """The same as `Tracer.batch` for whoever has no tracer; nothing happens without spans."""
    if spans:
        spans[0].tracer.batch(
            spans, started, ended, requests=requests, rows=rows, version=version, reason=reason
        )


class Tracer:
    """Makes the spans of requests and batches."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._api = trace
        self._provider = provider
        self._exporter = exporter
        self._tracer = provider.get_tracer("pilotage.serving")
        self._propagator = TraceContextTextMapPropagator()
        self._none = Context()

    def request(
        self,
        traceparent: bytes | None = None,
        tracestate: bytes | None = None,
        started: float | None = None,
    ) -> Span | None:
        """Begin to trace a request; None when it is not sampled.

        Args:
            traceparent: header of the request; one that is malformed is passed over.
            tracestate: header of the request.
            started: reading of `time.perf_counter()` when the request came; now when left out.
        """
        if traceparent is not None and traceparent.endswith(_NOT_SAMPLED):
            return None
        context = self._none if traceparent is None else self._context(traceparent, tracestate)
        epoch = time.time_ns() - int(time.perf_counter() * 1e9)
        began = epoch + int((time.perf_counter() if started is None else started) * 1e9)
        span = self._tracer.start_span(
            "request", context=context, kind=self._api.SpanKind.SERVER, start_time=began
        )
        if not span.is_recording():
            return None
        return Span(self, span, epoch)

    def _context(self, traceparent: bytes, tracestate: bytes | None) -> Any:
        headers = {"traceparent": traceparent[:_LONGEST_HEADER].decode("latin-1")}
        if tracestate is not None:
            headers["tracestate"] = tracestate[:_LONGEST_HEADER].decode("latin-1")
        return self._propagator.extract(headers, context=self._none)

    def batch(
        self,
        spans: Sequence[Span],
        started: float,
        ended: float,
        *,
        requests: int,
        rows: int,
        version: int,
        reason: str,
    ) -> None:
        """Note one call of the model for several requests, of which `spans`, at least one, are traced.

        The batch is a span in the first one's trace with links to the others; each request has a part
        `model` with a link to it.

        Args:
            spans: of the requests that are traced.
            started: reading of `time.perf_counter()`.
            ended: likewise.
            requests: in the batch, traced or not.
            rows: of all of them.
            version: that answered.
            reason: why the batch was released.
        """
        if requests == 1:
            spans[0].part("model", started, ended, rows=rows, version=version, release=reason)
            return
        first = spans[0]
        whole = self._tracer.start_span(
            "batch",
            context=self._api.set_span_in_context(first.span, self._none),
            links=[self._api.Link(span.span.get_span_context()) for span in spans[1 : _MOST_LINKS + 1]],
            start_time=first.nanoseconds(started),
            attributes={
                "pilotage.rows": rows,
                "pilotage.requests": requests,
                "pilotage.version": version,
                "pilotage.release": reason,
            },
        )
        whole.end(first.nanoseconds(ended))
        context = whole.get_span_context()
        for span in spans:
            span.shared_part("model", started, ended, context, version=version, release=reason)

    def finish(
        self,
        span: Span,
        name: str,
        status: int,
        attributes: dict[str, Any],
        parts: Sequence[tuple[str, float, float, dict[str, Any], trace.SpanContext | None]],
    ) -> None:
        """Let a request's spans go; see `Span.end`."""
        parent = self._api.set_span_in_context(span.span, self._none)
        for part, started, ended, details, batch in parts:
            child = self._tracer.start_span(
                part,
                context=parent,
                links=None if batch is None else [self._api.Link(batch)],
                start_time=span.nanoseconds(started),
                attributes=details,
            )
            child.end(span.nanoseconds(ended))
        span.span.update_name(name)
        span.span.set_attributes(attributes)
        if status >= 500:
            span.span.set_status(self._api.Status(self._api.StatusCode.ERROR))
        span.span.end()

    def close(self) -> None:
        """Send what is left, as far as that takes no longer than `CLOSE_SECONDS`."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)
        if ending.is_alive():
            logger.warning("the last traces could not be sent within %.0f s", CLOSE_SECONDS)
            self._exporter.shutdown()  # it tries again no more
            ending.join(1.0)
