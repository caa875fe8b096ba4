"""The health service that Kubernetes' gRPC probes and balancers ask (`grpc.health.v1.Health`).

The empty service and the inference service serve when all pilots can answer; a
pilot's own name tells of that pilot alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pilotage.serving.problems import Problem
from pilotage.serving.protocols.grpc import messages

if TYPE_CHECKING:
    from pilotage.serving.services import Service

_LOOK_SECONDS = 0.5
"""How often a watch looks for a change."""
_STATUS = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers whether the server and its pilots can answer."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def Check(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802 - the protocol's
        """The status now; NOT_FOUND for a service that is not known."""
        status = self._status(request.service)
        if status == _STATUS.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service here.")
        return _STATUS(status=status)

    async def Watch(  # noqa: N802 - the protocol's
        self, request: Any, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Any]:
        """The status now and whenever it changes."""
        told = None
        while not context.done():
            status = self._status(request.service)
            if status != told:
                told = status
                yield _STATUS(status=status)
            await asyncio.sleep(_LOOK_SECONDS)

    def _status(self, name: str) -> int:
        try:
            if name in ("", messages.SERVICE):
                self._service.ready()
            elif name not in self._service.names:
                return int(_STATUS.SERVICE_UNKNOWN)
            else:
                self._service.endpoint(name).plane.live()
        except Problem:
            return int(_STATUS.NOT_SERVING)
        return int(_STATUS.NOT_SERVING if self._service.draining else _STATUS.SERVING)
