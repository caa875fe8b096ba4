"""The short way of a prediction request: from a connection to the batcher and back.

Routes whose answers count by the thousand a second are here by their raw path;
they behave as the application's routes of the same paths do, for which they stand
in. Sockets and HTTP's syntax are the connection's business.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pilotage.serving import problems
from pilotage.serving.endpoints import Endpoint
from pilotage.serving.inference.planes import Outcome, Reply
from pilotage.serving.inference.works import Request
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import codecs, invocations, tensors
from pilotage.serving.protocols.batches import Codec, Encoded
from pilotage.serving.security.middlewares import authorization
from pilotage.serving.services import Service
from pilotage.serving.telemetry import accesses
from pilotage.serving.web import connections, headers

if TYPE_CHECKING:
    from pilotage.serving.security.guards import Guard
    from pilotage.serving.web.connections import Connection
    from pilotage.serving.web.exchanges import Exchange

logger = logging.getLogger(__name__)

_TENSORS = tensors.decode
_OK = b"HTTP/1.1 200 OK\r\n"
_FIXED = b"x-content-type-options: nosniff\r\nx-request-id: %b\r\n"
_JSON = _OK + b"content-type: application/json\r\n" + _FIXED


@dataclass(frozen=True)
class Route:
    """A route of the short way."""

    path: str
    """As the application's routes are named, for counting."""
    endpoint: Endpoint
    codec: Codec


def routes_of(service: Service) -> dict[bytes, Route]:
    """Routes by raw path."""
    found: dict[bytes, Route] = {}
    for name, endpoint in service.endpoints.items():
        alone = len(service.endpoints) == 1
        for path, codec in {"/predict": codecs.rows, "/invocations": invocations.decode}.items():
            named = Route(f"/models/{{name}}{path}", endpoint, codec)
            found[f"/models/{name}{path}".encode()] = named
            if alone:
                found[path.encode()] = Route(path, endpoint, codec)
        infer = Route("/v2/models/{name}/infer", endpoint, _TENSORS)
        found[f"/v2/models/{name}/infer".encode()] = infer
    return found


class Lane:
    """What the connections of one server process share."""

    clock = staticmethod(time.perf_counter)

    def __init__(self, service: Service, guard: Guard | None) -> None:
        self.limits = service.limits
        self.meters = service.meters
        self.routes = routes_of(service)
        self._guard = guard
        self._accesses = service.accesses
        self._tracer = service.tracer
        self._intake = service.intake
        self._sweeper: asyncio.Task[None] | None = None
        self._dates: tuple[Any, bytes] = (None, b"")

    # -- the connection's side ----------------------------------------------

    def opened(self, connection: Connection) -> None:
        """Watch over the connections of `connection`'s server."""
        if self._sweeper is None or self._sweeper.done():
            everyone = connection.connections
            self._sweeper = connection.loop.create_task(connections.sweep(lambda: list(everyone)))

    def begin(self, exchange: Exchange) -> None:
        """Look at a request's head: what is over a limit already need not be read."""
        self.meters.in_flight.value += 1
        if not exchange.route.endpoint.batcher.admission.admits():
            self.meters.shed("overloaded")
            exchange.refusal = _OVERLOADED
        elif self._guard is not None:
            self._admit(exchange, self._guard)

    def _admit(self, exchange: Exchange, guard: Guard) -> None:
        """Ask who sends the request before its body comes, so that strangers hold no memory."""
        try:
            exchange.principal = guard.known(authorization(exchange.headers))
        except Problem as problem:
            exchange.refusal = problem
            return
        if exchange.principal is None:
            exchange.asking = exchange.connection.loop.create_task(self._resolve(exchange, guard))

    async def _resolve(self, exchange: Exchange, guard: Guard) -> None:
        """Have the guard look at a token that it has not seen yet, while the body is read."""
        try:
            exchange.principal = await guard.resolve(authorization(exchange.headers))
        except Exception as error:
            if not exchange.response_complete:
                self._refuse(exchange, error)
            return
        if exchange.whole:
            self._submit(exchange)

    def add(self, exchange: Exchange, part: bytes) -> None:
        """Take a part of the body."""
        if exchange.refusal is not None:
            return
        size = len(part)
        exchange.keep(part)
        exchange.held += size
        self._intake.held += size
        if exchange.held > self.limits.body_bytes:
            self._refuse(exchange, problems.too_large(self.limits.body_bytes))
        elif self._intake.held > self.limits.held_bytes:
            self.meters.shed("memory")
            self._refuse(exchange, problems.full())

    def _refuse(self, exchange: Exchange, error: Exception) -> None:
        """Answer before the body was read to its end, of which no more is kept."""
        exchange.refusal = problems.of(error)
        exchange.keep_alive = exchange.whole and exchange.keep_alive
        self._intake.held -= exchange.held
        exchange.held = 0
        exchange.body = b""
        self._fail(exchange, error)

    def let_go(self, exchange: Exchange) -> None:
        """Forget a request whose client left while it was read."""
        if exchange.asking is not None:
            exchange.asking.cancel()
        if not exchange.response_complete:
            self.meters.in_flight.value -= 1
        self._intake.held -= exchange.held
        exchange.held = 0

    def take(self, exchange: Exchange) -> None:
        """Answer a request that was read to its end."""
        if exchange.response_complete:
            return
        if exchange.refusal is not None:
            self._fail(exchange, exchange.refusal)
            return
        head = dict(exchange.headers)
        exchange.identity = accesses.request_id(head.get(b"x-request-id"))
        if self._tracer is not None:
            given = head.get(b"traceparent"), head.get(b"tracestate")
            exchange.span = self._tracer.request(*given, exchange.started)
        exchange.whole = True
        if self._guard is None or exchange.principal is not None:
            self._submit(exchange)

    def _submit(self, exchange: Exchange) -> None:
        try:
            exchange.route.endpoint.submit(self._request(exchange), partial(self._done, exchange))
        except Exception as error:
            self._done(exchange, error)

    def _request(self, exchange: Exchange) -> Request:
        head = dict(exchange.headers)
        content_type = head.get(b"content-type", b"").decode("latin-1")
        codec = exchange.route.codec
        length = head.get(b"inference-header-content-length")
        if length is not None and codec is tensors.decode:
            codec = tensors.codec(length.decode("latin-1"))
        timeout = head.get(b"x-request-timeout-ms")
        until = None
        if timeout is not None:
            until = headers.deadline(timeout.decode("latin-1"), exchange.started)
        return Request(
            exchange.hand_over(),
            content_type,
            codec,
            exchange.started,
            None,
            until,
            exchange.principal,
            exchange.span,
        )

    # -- answers ------------------------------------------------------------

    def _done(self, exchange: Exchange, outcome: Outcome) -> None:
        if not isinstance(outcome, Reply):
            self._fail(exchange, outcome)
            return
        body = outcome.body
        if isinstance(body, Encoded):
            head = _head(HTTPStatus.OK, body.content_type, body.headers)
            self._send(exchange, head, body.body, 200, outcome)
        else:
            self._send(exchange, _JSON, body, 200, outcome)

    def _fail(self, exchange: Exchange, error: Exception) -> None:
        problem = problems.of(error)
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, Problem):
            logger.error("POST %s failed", exchange.route.path, exc_info=error)
        exchange.route.endpoint.refused()
        if problem is _OVERLOADED:  # when there is no time to write it again and again
            self._send(exchange, _OVERLOADED_HEAD, _OVERLOADED_BODY, 503)
        else:
            self._send(exchange, _head_of(problem), problem.body(), int(problem.status))

    def _send(
        self, exchange: Exchange, head: bytes, body: bytes, status: int, reply: Reply | None = None
    ) -> None:
        meters = self.meters
        meters.in_flight.value -= 1
        self._intake.held -= exchange.held
        exchange.held = 0
        path = exchange.route.path
        seconds = time.perf_counter() - exchange.started
        meters.route(path, "POST").observe(status, seconds)
        meters.answered(exchange.route.endpoint.name, status, seconds)
        identity = exchange.identity or accesses.request_id(None)
        head = head % identity
        span = exchange.span
        rows, version = (None, None) if reply is None else (reply.rows, reply.version)
        if span is not None:
            span.end("POST", path, status, rows=rows, version=version, request_id=identity)
            head += b"traceparent: %b\r\n" % span.traceparent
        log = self._accesses
        if log is not None and status >= log.least:
            trace = None if span is None else span.trace_id
            log.note("POST", path, status, seconds, identity, rows, version, exchange.principal, trace)
        exchange.connection.send(exchange, head, body)

    def head_of(self, problem: Problem) -> bytes:
        """Status line and headers of a problem document."""
        return _head_of(problem) % accesses.request_id(None)

    def date(self, connection: Connection) -> bytes:
        """The headers that all answers have, such as the date, as uvicorn renews them each second."""
        current = connection.server_state.default_headers
        if self._dates[0] is not current:
            lines = b"".join(b"%b: %b\r\n" % (name, value) for name, value in current)
            self._dates = current, lines
        return self._dates[1]


def _head(status: HTTPStatus, content_type: str, extra: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"HTTP/1.1 {int(status)} {status.phrase}", f"content-type: {content_type}"]
    lines += [f"{name}: {value}" for name, value in extra]
    return "\r\n".join(lines).replace("%", "%%").encode("latin-1") + b"\r\n" + _FIXED


def _head_of(problem: Problem) -> bytes:
    return _head(problem.status, problems.MEDIA_TYPE, tuple(problem.headers.items()))


_OVERLOADED = problems.overloaded()
_OVERLOADED_HEAD, _OVERLOADED_BODY = _head_of(_OVERLOADED), _OVERLOADED.body()
