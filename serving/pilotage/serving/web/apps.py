"""The HTTP shell: a FastAPI application around a service.

What every request has in common is here: timing and counting, and turning each
error into a problem document. `create_app` needs no server, so that tests and
other ASGI servers can use it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from http import HTTPStatus
from importlib import metadata
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.core import errors
from pilotage.serving import problems
from pilotage.serving.problems import Problem
from pilotage.serving.security.guards import Guard
from pilotage.serving.security.middlewares import PRINCIPAL, Guarded
from pilotage.serving.services import Service
from pilotage.serving.telemetry import accesses, meters
from pilotage.serving.telemetry.traces import Span
from pilotage.serving.web import routes, schemas

logger = logging.getLogger(__name__)

_DESCRIBED = (
    schemas.PredictRequest,
    schemas.InvocationsRequest,
    schemas.InferRequest,
    schemas.IndexRequest,
    schemas.LabelsRequest,
    schemas.ProblemDocument,
)


def create_app(service: Service, guard: Guard | None = None) -> FastAPI:
    """The model server as an ASGI application; its lifespan loads the champions and follows them."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.start)
        try:
            yield
        finally:
            await asyncio.to_thread(service.stop)

    app = FastAPI(
        title=f"Pilotage: {', '.join(service.names)}",
        description=" ".join(endpoint.spec.description for endpoint in service.endpoints.values()).strip(),
        version=metadata.version("pilotage"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(routes.build(service))
    app.add_exception_handler(Problem, _answer_error)
    app.add_exception_handler(errors.PilotageError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http)
    if guard is not None:
        app.add_middleware(Guarded, guard=guard)
    app.add_middleware(_Watch, service=service)
    app.openapi = _described(app)  # type: ignore[method-assign]
    return app


async def _answer_error(_: Request, error: Exception) -> Response:
    return _response(problems.of(error))


async def _answer_http(request: Request, error: Exception) -> Response:
    """What the framework refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    status = HTTPStatus(error.status_code)
    path = request.url.path[:200]
    detail = {
        HTTPStatus.NOT_FOUND: f"There is nothing at `{path}`; `/docs` lists what there is.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"`{path}` does not take {request.method[:20]}.",
    }.get(status, status.description)
    kind = status.phrase.lower().replace(" ", "-")
    response = _response(Problem(status, kind, detail))
    response.headers.update(error.headers or {})
    return response


def _response(problem: Problem) -> Response:
    return Response(problem.body(), int(problem.status), problem.headers, problems.MEDIA_TYPE)


def _described(app: FastAPI) -> Any:
    """The application's own OpenAPI document, with the schemas of the bodies that codecs read."""
    build = app.openapi

    @cache
    def openapi() -> dict[str, Any]:
        document = build()
        parts = document.setdefault("components", {}).setdefault("schemas", {})
        for model in _DESCRIBED:
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            parts.update(schema.pop("$defs", {}))
            parts[model.__name__] = schema
        return document

    return openapi


class _Watch:
    """Counts and times every request, and answers the errors that nobody foresaw."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        started = time.perf_counter()
        identity = accesses.request_id(_header(scope, b"x-request-id"))
        span = self._traced(scope)

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [(b"x-content-type-options", b"nosniff"), (b"x-request-id", identity)]
                if span is not None:
                    message["headers"].append((b"traceparent", span.traceparent))
            await send(message)

        in_flight = self._service.meters.in_flight
        in_flight.inc()
        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if not status:
                await _response(problems.of(error))(scope, receive, watched)
        finally:
            in_flight.dec()
            self._count(scope, status, time.perf_counter() - started, identity)

    def _traced(self, scope: Scope) -> Span | None:
        """The span of a request that does something, where it is sampled."""
        tracer = self._service.tracer
        if tracer is None or scope["method"] != "POST":
            return None
        span = tracer.request(_header(scope, b"traceparent"), _header(scope, b"tracestate"))
        scope["span"] = span
        return span

    def _count(self, scope: Scope, status: int, seconds: float, identity: bytes) -> None:
        route = getattr(scope.get("route"), "path", meters.UNMATCHED)
        self._service.meters.route(route, scope["method"]).observe(status, seconds)
        if "pilot" in scope and status:  # else the client left before it was answered
            self._service.meters.answered(scope["pilot"], status, seconds)
        span: Span | None = scope.get("span")
        if span is not None:
            rows, version = scope.get("rows"), scope.get("version")
            span.end("POST", route, status, rows=rows, version=version, request_id=identity)
        if self._service.accesses is not None:
            self._service.accesses.note(
                scope["method"],
                scope["path"],
                status,
                seconds,
                identity,
                scope.get("rows"),
                scope.get("version"),
                scope.get("state", {}).get(PRINCIPAL),
                None if span is None else span.trace_id,
            )
        if route in routes.PREDICTING and not 200 <= status < 300:
            self._refused(scope)

    def _refused(self, scope: Scope) -> None:
        try:
            self._service.endpoint(scope.get("path_params", {}).get("name")).refused()
        except Problem:
            pass  # no such pilot, so no window to count it in


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    found: bytes | None = next((value for name, value in scope["headers"] if name == wanted), None)
    return found
