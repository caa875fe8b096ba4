"""The console as one web application: API and pages over the same operations, behind the same door."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from pilotage.console.access.actors import Actor
from pilotage.console.api import headers, problems
from pilotage.console.api import routers as api
from pilotage.console.api.bodies import BodyLimit
from pilotage.console.api.descriptions import describing
from pilotage.console.api.etags import ETags
from pilotage.console.api.headers import Shield
from pilotage.console.api.healths import Health, HealthRoutes
from pilotage.console.api.replays import Replays
from pilotage.console.metrics.requests import Counting, Requests
from pilotage.console.operations.desks import Desk
from pilotage.console.pages import entrances, failures, streams
from pilotage.console.pages import routers as pages
from pilotage.core import errors

logger = logging.getLogger(__name__)

Authenticate = Callable[[Request], Actor]
"""Who sends a request; raises Unauthenticated."""


def create(desk: Desk, authenticate: Authenticate) -> FastAPI:
    """The application of one installation; `access.doors.authenticate` asks who sends a request."""
    app = FastAPI(openapi_url=f"{api.PREFIX}/openapi.json", docs_url=None, redoc_url=None)
    app.openapi = describing(app)  # type: ignore[method-assign]
    app.state.desk = desk
    app.state.authenticate = authenticate
    app.state.streams = streams.of(desk.engine)
    app.state.health = Health(desk.engine)
    app.state.requests = Requests()
    app.router.routes.extend(_routes())
    # The last that is added is the first that a request meets.
    app.add_middleware(ETags, prefix=f"{api.PREFIX}/")
    app.add_middleware(Replays, prefix=f"{api.PREFIX}/")
    app.add_middleware(BodyLimit)
    app.add_middleware(Shield, settings=desk.settings)
    app.add_middleware(Counting, requests=app.state.requests)
    app.add_middleware(HealthRoutes, health=app.state.health)
    for kind in (errors.PilotageError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _on_error)
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """API and pages; which installation they are about, a request's application says."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(api.build())
    app.include_router(pages.build())
    return tuple(app.routes)


async def _on_error(request: Request, error: Any) -> Response:
    answer = _answer_to(request, error)
    headers.add_to(answer.headers, request, request.app.state.desk.settings)  # a failure passes the shield by
    return answer


def _answer_to(request: Request, error: Any) -> Response:
    if problems.status_of(error) >= 500:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    if request.url.path.startswith("/api/"):
        return problems.response_to(error)
    if isinstance(error, errors.Unauthenticated) and not request.url.path.startswith(entrances.SIGN_IN):
        return entrances.response_to(request, error)
    if "text/html" in request.headers.get("accept", ""):
        return failures.response_to(request, error)
    return problems.response_to(error)
