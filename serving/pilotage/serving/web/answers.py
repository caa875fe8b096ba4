"""What the routes have in common: reading a prediction request, writing answers, describing both."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel

from pilotage.serving import problems
from pilotage.serving.endpoints import Endpoint
from pilotage.serving.inference import works
from pilotage.serving.protocols import codecs
from pilotage.serving.protocols.batches import Codec, Encoded
from pilotage.serving.security.middlewares import PRINCIPAL
from pilotage.serving.services import Service
from pilotage.serving.web import headers

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    }
    for status, text in {
        400: "The body is not what its content type says",
        401: "The server asks for a token",
        403: "The token does not allow this",
        408: "The request did not come in time",
        413: "The body is too large",
        415: "The content type is not one that is read",
        422: "The body has another shape, or a row cannot be taken",
        429: "The token has made too many requests",
        503: "No model is ready, or too many requests wait",
        504: "The deadline of the request passed",
    }.items()
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {**REFUSALS[422], "description": "No such model or version is served here"}
}
NOT_READY: dict[int | str, dict[str, Any]] = {503: REFUSALS[503]}


def write_json(document: Any, status: int = 200) -> Response:
    """A document as an answer."""
    return Response(codecs.dump(document), status, media_type="application/json")


def describe_body(*contents: tuple[str, type[BaseModel] | None]) -> dict[str, Any]:
    """The description of a request's body by media types; a model's schema is filled in by `apps`."""
    content = {
        kind: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"} if model else {"type": "string"}}
        for kind, model in contents
    }
    return {"requestBody": {"required": True, "content": content}}


def describe_path(prefix: str) -> dict[str, Any]:
    """The description of the parameters `{name}` and `{version}` of a path, where it has them."""
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("name", "version")
        if f"{{{name}}}" in prefix
    ]
    return {"parameters": parameters} if parameters else {}


def describe_answers(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The description of an answer and of all refusals."""
    return {200: {"model": model}, **REFUSALS}


def endpoint_of(service: Service, request: Request) -> Endpoint:
    """The pilot that the path names; the only one when it names none.

    Raises:
        Problem: it is not served here, or none is named and there are several.
    """
    return service.endpoint(request.path_params.get("name"))


async def predict(service: Service, request: Request, codec: Codec) -> Response:
    """The answer to a prediction request whose body `codec` reads."""
    started = time.perf_counter()
    endpoint = endpoint_of(service, request)
    request.scope["pilot"] = endpoint.name
    until = headers.deadline(request.headers.get(headers.TIMEOUT), started)
    async with service.intake.body(request) as body:
        reply = await endpoint.predict(
            works.Request(
                body,
                request.headers.get("content-type", ""),
                codec,
                started,
                request.path_params.get("version"),
                until,
                request.scope.get("state", {}).get(PRINCIPAL),
                request.scope.get("span"),
            )
        )
    request.scope["rows"], request.scope["version"] = reply.rows, reply.version
    found = reply.body
    if isinstance(found, Encoded):
        return Response(found.body, media_type=found.content_type, headers=dict(found.headers))
    return Response(found, media_type="application/json")
