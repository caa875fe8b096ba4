"""Connections: uvicorn's protocol, with a short way for predictions and an eye on slow clients.

A prediction request skips the ASGI application: its body goes to the batcher and
its answer to the socket, with no task, no message and no coroutine of its own
(`lanes`). All else, and what is pipelined behind something in progress, takes
uvicorn's way to the application, which answers predictions too.

Uvicorn waits for ever for a head or a body that does not come. A sweep closes
connections that are too slow, so that they hold neither memory nor descriptors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pilotage.serving import problems
from pilotage.serving.problems import Problem
from pilotage.serving.web.exchanges import Exchange

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from pilotage.serving.web.lanes import Lane

SWEEP_SECONDS = 0.5
HEAD_BYTES = 64 * 1024
"""Request line and headers together."""
_PAIRS = 256
"""Headers of one request."""


class Phase(IntEnum):
    """What a connection is doing."""

    IDLE = 0
    """Nothing of a request has come."""
    HEAD = 1
    BODY = 2
    ANSWER = 3


class Connection(HttpToolsProtocol):
    """One client's connection."""

    lane: Lane
    """Set by `connections`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._phase = Phase.IDLE
        self._since = self.loop.time()
        self._unseen_bytes = 0
        """What came since the last data of a body: of a head, of trailers, of chunks' own lines."""
        self._fresh = True
        self._write_paused_at: float | None = None
        self._closing_after: float | None = None
        self._ending_since: float | None = None
        self._exchange: Exchange | None = None
        """The prediction request that is being read."""
        self._running: Any = None
        """The request that the application answers, or answered last."""

    # -- the transport's side -----------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self)
        self.lane.opened(self)
        if len(self.connections) > self.lane.limits.connections:
            self.lane.meters.shed("connections")
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self._exchange
        if exchange is not None:
            self._exchange = None
            self.lane.let_go(exchange)
        if self._running is not None:
            self._running.disconnected = True  # uvicorn marks only the last of what is pipelined
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        self._unseen_bytes += len(data)
        while data:
            try:
                self.parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                data = self._pass_over_upgrade() + data[upgrade.args[0] :]
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
        if self._unseen_bytes > HEAD_BYTES and Phase.HEAD <= self._phase <= Phase.BODY:
            self._turn_away(problems.head_too_large(HEAD_BYTES))

    def _pass_over_upgrade(self) -> bytes:
        """Go on with a request that offers another protocol; returns what a new parser is to hear of it.

        The old one takes such a request to have no body, and what follows to be the other protocol.
        """
        self.parser = httptools.HttpRequestParser(_Rest(self))
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        framing = (b"content-length", b"transfer-encoding")
        lines = [b"%b: %b\r\n" % (name, value) for name, value in self.headers if name in framing]
        return b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(lines)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_paused_at = self.loop.time()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._write_paused_at = None
        self.flow.resume_reading()

    def shutdown(self) -> None:
        """Finish what is in progress; keep an idle connection a little, for a request that is under way."""
        if self._phase is Phase.IDLE:
            self._closing_after = self.loop.time() + self.lane.limits.linger_seconds
            return
        self._closing_after = 0.0
        if self._exchange is not None:
            self._exchange.keep_alive = False
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    # -- the parser's side --------------------------------------------------

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._phase = Phase.HEAD
        self._since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is not Phase.HEAD:
            return  # a trailer, which is no header: proxies check those alone
        super().on_header(name, value)
        if len(self.headers) > _PAIRS:
            self._turn_away(problems.head_too_large(HEAD_BYTES))

    def on_headers_complete(self) -> None:
        self._unseen_bytes = 0
        self._fresh = False
        route = self.lane.routes.get(self.url)
        parser = self.parser
        if (
            route is None
            or self.expect_100_continue
            or (self.cycle is not None and not self.cycle.response_complete)
            or parser.get_method() != b"POST"
            or parser.should_upgrade()
        ):
            self._begin_cycle()
            self._phase = Phase.BODY
            return
        keep_alive = (
            self._closing_after is None and parser.get_http_version() != "1.0" and parser.should_keep_alive()
        )
        self._phase = Phase.BODY
        exchange = Exchange(self, route, self.lane.clock(), keep_alive)
        self._exchange = exchange
        self.cycle = exchange  # type: ignore[assignment]
        self.lane.begin(exchange)

    def _begin_cycle(self) -> None:
        """Go uvicorn's way."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()
        if self._closing_after is not None and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._unseen_bytes = 0
        exchange = self._exchange
        if exchange is None:
            super().on_body(body)
        else:
            self.lane.add(exchange, body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # see `_pass_over_upgrade`
        self._phase = Phase.ANSWER
        self._since = self.loop.time()
        exchange = self._exchange
        if exchange is None:
            super().on_message_complete()
            if self.cycle.response_complete:  # before its body had come
                self._phase = Phase.IDLE
            return
        self._exchange = None
        self.lane.take(exchange)

    # -- answers ------------------------------------------------------------

    def send(self, exchange: Exchange, head: bytes, body: bytes) -> None:
        """Answer: `head` is the status line and headers but for the last ones."""
        if exchange.response_complete:
            return
        exchange.response_complete = True
        transport = self.transport
        if transport.is_closing():
            return
        close = b"" if exchange.keep_alive else b"connection: close\r\n"
        transport.write(
            b"%b%b%bcontent-length: %d\r\n\r\n%b" % (head, self.lane.date(self), close, len(body), body)
        )
        if not exchange.keep_alive:
            transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on with what is pipelined; the sweep, not a timer for each request, ends idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            self._since = self.loop.time()  # what is not read to its end was held up by those before it
        elif self._phase is Phase.ANSWER:
            self._phase = Phase.IDLE
            self._since = self.loop.time()
        self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP, or not any more."""
        self._turn_away(problems.malformed(msg))

    def _turn_away(self, problem: Problem) -> None:
        """Answer a request that cannot be read on, and close."""
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        if self._phase is Phase.BODY:
            unanswered = self._exchange is not None and not self._exchange.response_complete
        else:
            unanswered = cycle is None or cycle.response_complete
        if unanswered:
            body = problem.body()
            head = self.lane.head_of(problem)
            self.transport.write(
                b"%bconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (head, len(body), body)
            )
        self.transport.close()

    # -- the sweep ----------------------------------------------------------

    def check(self, now: float) -> None:
        """Close the connection if its client is too slow, or has been idle for long enough."""
        limits = self.lane.limits
        if self.transport.is_closing():
            self._ending_since = self._ending_since or now
            if now - self._ending_since > limits.write_seconds:
                self.transport.abort()  # it waits to be read
            return
        waited = now - self._since
        paused = self._write_paused_at
        if paused is not None and now - paused > limits.write_seconds:
            self.lane.meters.shed("slow-reader")
            self.transport.abort()
        elif self._phase is Phase.IDLE:
            closing = self._closing_after
            longest = limits.head_seconds if self._fresh else limits.idle_seconds
            if waited > longest or (closing is not None and now > closing):
                self.transport.close()
        elif self._phase is Phase.HEAD and waited > limits.head_seconds:
            self._end_slow("head", limits.head_seconds)
        elif self._phase is Phase.BODY and waited > limits.body_seconds:
            self._end_slow("body", limits.body_seconds)

    def _end_slow(self, what: str, seconds: float) -> None:
        self.lane.meters.shed("slow-client")
        self._turn_away(problems.too_slow(what, seconds))


class _Flow(FlowControl):
    """Reads no further while answers wait for the client to read them, or requests for their turn."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        super().__init__(transport)
        self._connection = connection

    def resume_reading(self) -> None:
        """Called whenever something was answered, and whenever the application waits for a body."""
        if self.read_paused and not self.write_paused and not self._connection.pipeline:
            super().resume_reading()


class _Rest:
    """Hears a parser for a connection, but for the first head, which the connection knows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._knows = True
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete

    def on_message_begin(self) -> None:
        if not self._knows:
            self._connection.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._knows:
            self._connection.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._knows:
            self._connection.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._knows:
            self._connection.on_headers_complete()
        self._knows = False


def connections(lane: Lane) -> type[Connection]:
    """The class of a server's connections, which share `lane`."""
    return type("Connection", (Connection,), {"lane": lane})


async def sweep(open_connections: Callable[[], list[Any]]) -> None:
    """Check all connections again and again, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = loop.time()
        for connection in open_connections():
            if isinstance(connection, Connection):
                connection.check(now)
