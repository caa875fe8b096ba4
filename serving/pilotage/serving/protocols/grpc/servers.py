"""The gRPC server of one process: its port, its limits, its orderly end.

It runs on the event loop of the HTTP server and hands requests to the same data
plane. Methods are in `handlers`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from pilotage.core import errors
from pilotage.serving.protocols.grpc.handlers import Inference
from pilotage.serving.protocols.grpc.healths import Health

if TYPE_CHECKING:
    from pilotage.serving.security.guards import Guard
    from pilotage.serving.services import Service

logger = logging.getLogger(__name__)

_PING_MS = 30_000
"""After how long in silence a connection is asked whether it is there."""
_PONG_MS = 10_000
"""How long it may take to say so."""
_HEAD_BYTES = 16 * 1024


class GrpcServer:
    """Speaks gRPC for a service."""

    def __init__(
        self,
        service: Service,
        host: str,
        port: int,
        guard: Guard | None = None,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        """
        Args:
            service: what answers.
            host: address to listen on.
            port: 0 stands for any that is free; several processes may listen on the same one.
            guard: admits callers; None for all.
            credentials: of TLS; None for plain text.
        """
        self._service = service
        self._host = host
        self._port = port
        self._guard = guard
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Begin to answer; returns the port.

        Raises:
            SettingsError: the address cannot be listened on.
        """
        limits = self._service.limits
        server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", limits.body_bytes),
                ("grpc.max_metadata_size", _HEAD_BYTES),
                ("grpc.max_concurrent_streams", limits.pending),
                ("grpc.so_reuseport", 1),
                ("grpc.keepalive_time_ms", _PING_MS),
                ("grpc.keepalive_timeout_ms", _PONG_MS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", _PONG_MS),
            ),
            maximum_concurrent_rpcs=2 * limits.pending,
        )
        server.add_generic_rpc_handlers((Inference(self._service, self._guard).handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(Health(self._service), server)
        port = self._listen(server)
        await server.start()
        self._server = server
        return port

    def _listen(self, server: grpc.aio.Server) -> int:
        host = f"[{self._host}]" if ":" in self._host else self._host
        address = f"{host}:{self._port}"
        try:
            if self._credentials is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise self._unusable(error) from error
        if port == 0:
            raise self._unusable(None)
        return int(port)

    def _unusable(self, error: Exception | None) -> errors.SettingsError:
        return errors.SettingsError(
            f"Cannot listen on {self._host} port {self._port} for gRPC: {error or 'it is taken'}.",
            remedy="Choose another `--grpc-port` (0 for any that is free) or address.",
            host=self._host,
            port=self._port,
        )

    async def stop(self, grace: float) -> None:
        """Take no more calls; return when those in progress are answered, at most `grace` seconds later."""
        if self._server is not None:
            await self._server.stop(grace)
