"""The API's own description (OpenAPI): who may ask, how every route refuses, keys and tags.

What is the same for all routes is said here once, so that no route can forget it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from pilotage.console.api import problems, replays

_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token: `pilotage users token`, or Settings in the dashboard.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-pilotage",
        "description": "A browser that is signed in; `pilotage-PORT` over http on loopback. What changes"
        " something also needs the header X-CSRF-Token, which `GET /me` tells.",
    },
}
_PROBLEM = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:pilotage:problem:not-found"]},
        "title": {"type": "string", "examples": ["Not Found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["There is no pilot `flights` here."]},
        "remedy": {"type": "string", "examples": ["`pilotage up PILOT` adds one."]},
        "exit_code": {"type": "integer", "examples": [2]},
        "details": {"type": "object", "additionalProperties": True},
    },
}
_REFUSALS = {
    "400": "The body cannot be read.",
    "401": "Nobody known sends the request.",
    "403": "They may not, or another site's page sent it.",
    "404": "It is not there, or not for them.",
    "409": "It does not fit the state that things are in.",
    "413": "The body is too long.",
    "422": "The request is wrong.",
    "429": "Too many attempts; `Retry-After` says how long to wait.",
}
_KEY = {
    "name": replays.HEADER,
    "in": "header",
    "required": False,
    "description": "Any text of your own: the request is carried out once under it, and repeats get the"
    " first answer for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
    "example": "5f1c2f6e-8f1d-4c0c-9a55-0c8c2e6f6a10",
}
_KNOWN = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "`ETag` of what you have already; 304 where nothing changed.",
    "schema": {"type": "string", "pattern": '^(W/)?"[!-~]*"$'},
    "example": '"1f0c"',
}


def describing(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What the application calls for its description; it is made once."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title="Pilotage",
                    version=version("pilotage"),
                    description="Everything that the dashboard and the commands do. Lists come in pages:"
                    " `next` of one goes into `cursor` of the following request.",
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    return describe


def _complete(description: dict[str, Any]) -> dict[str, Any]:
    components = description.setdefault("components", {})
    components["securitySchemes"] = _SECURITY
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    description["security"] = [{"bearer": []}, {"session": []}]
    for path in description["paths"].values():
        for method, operation in path.items():
            _add_refusals(operation)
            parameters = operation.setdefault("parameters", [])
            if method == "post":
                parameters.append(_KEY)
            if method == "get":
                parameters.append(_KNOWN)
                operation["responses"]["304"] = {"description": "You have it already."}
    return description


def _add_refusals(operation: dict[str, Any]) -> None:
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for status, text in _REFUSALS.items():
        operation["responses"][status] = {"description": text, "content": {problems.MEDIA_TYPE: schema}}
    if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", [])):
        operation["responses"]["412"] = {
            "description": "It has changed since it was read.",
            "content": {problems.MEDIA_TYPE: schema},
        }
