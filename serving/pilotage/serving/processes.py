"""One serving process: uvicorn around the application, on a socket that it is given, to its orderly end.

Told to stop, it says at once that it is not ready, takes requests for
`Settings.drain_delay_seconds` more, then no new connections, answers what is under way,
writes all counts and returns. Who starts it, and how many there are, is not known here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI

from pilotage.serving import listeners
from pilotage.serving.listeners import Acceptor, Board
from pilotage.serving.plans import BOARD, Plan
from pilotage.serving.security import guards, tls
from pilotage.serving.services import Service
from pilotage.serving.telemetry.sharing import Share
from pilotage.serving.versions import pins
from pilotage.serving.web import connections
from pilotage.serving.web.apps import create_app
from pilotage.serving.web.lanes import Lane

if TYPE_CHECKING:
    from pilotage.serving.protocols.grpc.servers import GrpcServer
    from pilotage.serving.security.guards import Guard

logger = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0005
"""How long the event loop waits for a thread that counts or writes beside it to let go of the interpreter."""
GARBAGE_THRESHOLDS = (100_000, 50, 100)
"""Requests leave nothing that only the collector of cycles could free, so it need not look so often."""


def serve(plan: Plan, listener: socket.socket, on_ready: Callable[[int | None], None]) -> None:
    """Serve on `listener` until SIGTERM or SIGINT; then finish what is in progress, write all counts, return.

    Args:
        plan: what to serve.
        listener: listens; closed at the end.
        on_ready: called with the port of gRPC, once connections are accepted and each champion, where there
            is one, is loaded or took longer than `Limits.first_load_seconds`.

    Raises:
        SettingsError: the storage cannot be opened, or the port of gRPC cannot be listened on.
        NotFound: the registry says that a pinned version does not exist.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    pins.require(plan.settings, plan.pins)
    service = Service(plan.pilots, plan.settings, plan.limits, _share(plan), plan.versions, plan.pins)
    guard = guards.open_guard(plan.settings, workers=plan.place.workers if plan.place else 1)
    lane = Lane(service, guard)
    with _orderly_end():
        _Server(plan, create_app(service, guard), lane, guard, on_ready).run(sockets=[listener])
    logger.info("stopped serving %s", ", ".join(pilot.name for pilot in plan.pilots))


class _Server(uvicorn.Server):
    """Accepts by itself, tells when it listens, and drains in the order that balancers need."""

    def __init__(
        self,
        plan: Plan,
        app: FastAPI,
        lane: Lane,
        guard: Guard | None,
        on_ready: Callable[[int | None], None],
    ) -> None:
        super().__init__(_config(plan, app, lane))
        self._guard = guard
        self._plan = plan
        self._service = app.state.service
        self._on_ready = on_ready
        self._acceptor: Acceptor | None = None
        self._grpc: GrpcServer | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets  # noqa: S101 - `serve` gives one
        await super().startup(sockets=[])
        acceptor = Acceptor(
            sockets[0],
            self._connection,
            board=_board(self._plan),
            place=self._plan.place.number if self._plan.place else 0,
            tls=self.config.ssl,
            handshake_seconds=self._plan.limits.head_seconds,
        )
        connections: Any = listeners.Connections(acceptor.opened)
        self.server_state.connections = connections
        acceptor.start()
        self._acceptor = acceptor
        self._on_ready(await self._speak_grpc())

    async def _speak_grpc(self) -> int | None:
        """Begin to answer over gRPC, where the plan asks for it; returns the port."""
        plan = self._plan
        if plan.grpc_port is None:
            return None
        from pilotage.serving.protocols.grpc.servers import GrpcServer

        credentials = tls.grpc_credentials(plan.settings)
        self._grpc = GrpcServer(self._service, plan.host, plan.grpc_port, self._guard, credentials)
        return await self._grpc.start()

    def _connection(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        connection: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return connection

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.draining = True
        super().handle_exit(sig, frame)

    async def main_loop(self) -> None:
        await super().main_loop()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._plan.settings.drain_delay_seconds
        while loop.time() < end and not self.force_exit:
            await asyncio.sleep(0.1)
            self.should_exit = False
            await self.on_tick(0)  # keeps the date of answers
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.draining = True
        if self._acceptor is not None:
            await self._acceptor.stop()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self._grpc is not None:
            await self._grpc.stop(self._plan.limits.drain_seconds)
        await super().shutdown(sockets)


def _config(plan: Plan, app: FastAPI, lane: Lane) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=connections.connections(lane),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=listeners.BACKLOG,
        timeout_keep_alive=int(plan.limits.idle_seconds),
        timeout_graceful_shutdown=plan.limits.drain_seconds,
        **tls.uvicorn_options(plan.settings),
    )


def _share(plan: Plan) -> Share | None:
    return None if plan.place is None else Share(plan.place.folder, plan.place.name)


def _board(plan: Plan) -> Board | None:
    return None if plan.place is None else Board(plan.place.folder / BOARD, plan.place.places)


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Return after SIGTERM or SIGINT: uvicorn raises the signal again when it is done, which would kill."""
    try:
        before = {
            number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
        }
    except ValueError:  # not the main thread, where signals do not arrive
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
