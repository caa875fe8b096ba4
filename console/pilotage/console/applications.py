"""The console as one web application: API and pages over the same operations, behind the same door."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pilotage.console.access.actors import Actor
from pilotage.console.api import problems
from pilotage.console.api import routers as api
from pilotage.console.operations.desks import Desk
from pilotage.console.pages import failures, streams
from pilotage.console.pages import routers as pages
from pilotage.core import errors

logger = logging.getLogger(__name__)

Authenticate = Callable[[Request], Actor]
"""Who sends a request; raises Unauthenticated."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " font-src 'self'; form-action 'self'; frame-ancestors 'none'; frame-src 'self'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create(desk: Desk, authenticate: Authenticate) -> FastAPI:
    """The application of one installation."""
    app = FastAPI(
        title="Pilotage", version="1", openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None
    )
    app.state.desk = desk
    app.state.authenticate = authenticate
    app.state.streams = streams.of(desk.engine)
    app.include_router(api.build())
    app.include_router(pages.build())
    app.middleware("http")(_secure)
    for kind in (errors.PilotageError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _on_error)
    return app


async def _secure(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await proceed(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _on_error(request: Request, error: Any) -> Response:
    if problems.status_of(error) >= 500:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    if not request.url.path.startswith(api.PREFIX) and "text/html" in request.headers.get("accept", ""):
        return failures.response_to(request, error)
    return problems.response_to(error)
