"""The methods of the inference service: each reads a message, asks the service and writes a message.

What every call has in common is here too: the guard, counting, and turning each
error into a status. Requests come as bytes: what cannot be parsed is then the
client's error, and tensors are read by the data plane like bodies of HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib import metadata
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from pilotage.serving import problems
from pilotage.serving.inference.works import Request
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import repositories, tensors
from pilotage.serving.protocols.grpc import codecs, messages, statuses
from pilotage.serving.telemetry import accesses
from pilotage.serving.telemetry.traces import Span

if TYPE_CHECKING:
    from pilotage.serving.security.guards import Guard
    from pilotage.serving.services import Service

logger = logging.getLogger(__name__)

METHOD = "GRPC"
"""How calls are told from HTTP's requests in metrics and logs."""
_CANCELLED = 499
"""What is counted as status when the client left before the answer."""
_LONGEST_DETAIL = 1000


@dataclass(slots=True)
class Call:
    """One call, as it came."""

    body: bytes
    context: grpc.aio.ServicerContext
    started: float
    """`time.perf_counter()` when it came."""
    principal: str | None = None
    """Who calls, where a guard asks."""
    rows: int | None = None
    """Rows of the answer, once there is one."""
    version: int | None = None
    """That gave it."""
    span: Span | None = None
    """Of the call's trace, where it is traced."""
    pilot: str | None = None
    """That is asked for predictions, once that is known."""


Method = Callable[[Call], Awaitable[bytes]]


class Inference:
    """The inference service around a server's pilots."""

    def __init__(self, service: Service, guard: Guard | None) -> None:
        self._service = service
        self._guard = guard

    def handler(self) -> grpc.GenericRpcHandler:
        """All methods, for a server."""
        public = {"ServerLive": self._server_live, "ServerReady": self._server_ready}
        guarded = {
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
            "RepositoryIndex": self._repository_index,
        }
        found = {name: self._method(name, method, None) for name, method in public.items()}
        found |= {name: self._method(name, method, self._guard) for name, method in guarded.items()}
        return grpc.method_handlers_generic_handler(messages.SERVICE, found)

    def _method(self, name: str, method: Method, guard: Guard | None) -> grpc.RpcMethodHandler:
        route = f"/{messages.SERVICE}/{name}"
        meters = self._service.meters

        async def answer(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
            call = Call(body, context, time.perf_counter())
            if name == "ModelInfer":
                call.span = self._traced(context)
            status = _CANCELLED
            meters.in_flight.inc()
            try:
                if guard is not None:
                    call.principal = await _admit(guard, context)
                answered = await method(call)
                status = HTTPStatus.OK
                return answered
            except Exception as error:
                problem = _problem(route, error)
                status = problem.status
                await _abort(context, problem)
            finally:
                meters.in_flight.dec()
                self._count(route, int(status), call)

        return grpc.unary_unary_rpc_method_handler(answer)

    def _traced(self, context: grpc.aio.ServicerContext) -> Span | None:
        tracer = self._service.tracer
        if tracer is None:
            return None
        given = _metadata(context).get("traceparent")
        return tracer.request(given.encode() if isinstance(given, str) else given)

    def _count(self, route: str, status: int, call: Call) -> None:
        seconds = time.perf_counter() - call.started
        self._service.meters.route(route, METHOD).observe(status, seconds)
        if call.pilot is not None and status != _CANCELLED:
            self._service.meters.answered(call.pilot, status, seconds)
        if call.span is not None:
            call.span.end(METHOD, route, status, rows=call.rows, version=call.version)
        log = self._service.accesses
        if log is not None and status >= log.least:
            given = _metadata(call.context).get("x-request-id")
            identity = accesses.request_id(given.encode() if isinstance(given, str) else given)
            log.note(METHOD, route, status, seconds, identity, call.rows, call.version, call.principal)

    async def _server_live(self, call: Call) -> bytes:
        return messages.made("ServerLiveResponse", live=True)

    async def _server_ready(self, call: Call) -> bytes:
        return messages.made("ServerReadyResponse", ready=_succeeds(self._service.ready))

    async def _server_metadata(self, call: Call) -> bytes:
        return messages.made(
            "ServerMetadataResponse",
            name="pilotage",
            version=metadata.version("pilotage"),
            extensions=tensors.EXTENSIONS,
        )

    async def _model_ready(self, call: Call) -> bytes:
        asked = messages.parse("ModelReadyRequest", call.body)
        plane = self._service.endpoint(asked.name).plane
        ready = _succeeds(lambda: plane.live(asked.version or None))
        return messages.made("ModelReadyResponse", ready=ready)

    async def _model_metadata(self, call: Call) -> bytes:
        asked = messages.parse("ModelMetadataRequest", call.body)
        live = self._service.endpoint(asked.name).plane.live(asked.version or None)
        return codecs.metadata(tensors.metadata(live.model, live.version))

    async def _repository_index(self, call: Call) -> bytes:
        asked = messages.parse("RepositoryIndexRequest", call.body)
        return messages.made(
            "RepositoryIndexResponse",
            models=repositories.index(self._service.endpoints.values(), ready_only=asked.ready),
        )

    async def _model_infer(self, call: Call) -> bytes:
        asked = messages.parse("ModelInferHead", call.body)
        endpoint = self._service.endpoint(asked.model_name)
        call.pilot = endpoint.name
        left = call.context.time_remaining()
        request = Request(
            body=call.body,
            content_type="",
            codec=codecs.decode,
            started=call.started,
            version=asked.model_version or None,
            deadline=None if left is None else call.started + left,
            principal=call.principal,
            span=call.span,
        )
        intake = self._service.intake
        size = len(call.body)
        intake.held += size
        try:
            if intake.held > self._service.limits.held_bytes:
                self._service.meters.shed("memory")
                raise problems.full()
            reply = await endpoint.predict(request)
        except Exception:
            endpoint.refused()
            raise
        finally:
            intake.held -= size
        call.rows, call.version = reply.rows, reply.version
        body: bytes = reply.body
        return body


async def _admit(guard: Guard, context: grpc.aio.ServicerContext) -> str:
    """The caller's name; raises Problem for one who may not."""
    given = _metadata(context).get("authorization")
    token = given.encode("latin-1", "replace") if isinstance(given, str) else given
    return guard.known(token) or await guard.resolve(token)


def _metadata(context: grpc.aio.ServicerContext) -> dict[str, str | bytes]:
    """What the caller sent beside the message."""
    return dict(context.invocation_metadata() or ())


def _problem(route: str, error: Exception) -> Problem:
    problem = problems.of(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, Problem):
        logger.error("%s failed", route, exc_info=error)
    return problem


async def _abort(context: grpc.aio.ServicerContext, problem: Problem) -> NoReturn:
    detail = problem.detail[:_LONGEST_DETAIL]
    await context.abort(statuses.code_of(problem), detail, statuses.trailers_of(problem))
    raise asyncio.CancelledError  # not reached: `abort` raises


def _succeeds(look: Callable[[], Any]) -> bool:
    try:
        look()
    except Problem:
        return False
    return True
