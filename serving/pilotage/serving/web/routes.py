"""The server's routes: each reads a request, calls the service and writes what it gives."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from pilotage.serving import problems
from pilotage.serving.inference import planes
from pilotage.serving.protocols import codecs, invocations, tensors
from pilotage.serving.protocols.batches import Codec
from pilotage.serving.services import Service
from pilotage.serving.web import pages, schemas

PREDICTING = frozenset(
    {"/predict", "/invocations", "/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"}
)
"""Routes whose failures count as errors of the window."""

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    }
    for status, text in {
        400: "The body is not what its content type says",
        413: "The body is too large",
        415: "The content type is not one that is read",
        422: "The body has another shape, or a row cannot be taken",
        503: "No model is ready, or too many requests wait",
    }.items()
}


def build(service: Service) -> APIRouter:
    """All routes of one server."""
    router = APIRouter(default_response_class=Response)
    _add_health(router, service)
    _add_prediction(router, service)
    _add_protocol(router, service)
    _add_labels(router, service)
    return router


def _json(document: Any, status: int = 200) -> Response:
    return Response(codecs.dump(document), status, media_type="application/json")


def _body(*contents: tuple[str, type[BaseModel] | None]) -> dict[str, Any]:
    """The description of a request's body; a model's schema is filled in by `apps`."""
    content = {
        kind: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"} if model else {"type": "string"}}
        for kind, model in contents
    }
    return {"requestBody": {"required": True, "content": content}}


def _answers(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model}, **_REFUSALS}


def _add_health(router: APIRouter, service: Service) -> None:
    not_ready: dict[int | str, dict[str, Any]] = {503: _REFUSALS[503]}

    @router.get("/health/live", tags=["health"], summary="Whether the process runs")
    async def live() -> Response:
        return _json({"status": "live"})

    @router.get("/health/ready", tags=["health"], summary="Whether a model can answer", responses=not_ready)
    async def ready() -> Response:
        found = service.ready()
        document = {"status": "ready", "model": service.name, "version": found.version}
        if service.follower.reason:
            document["warning"] = service.follower.reason
        return _json(document)

    @router.get("/health", tags=["mlflow"], summary="The same as /ping", responses=not_ready)
    @router.get("/ping", tags=["mlflow"], summary="Whether a model can answer", responses=not_ready)
    async def ping() -> Response:
        service.ready()
        return Response("\n", media_type="application/json")

    @router.get("/version", tags=["mlflow"], summary="The version of MLflow whose protocol is spoken")
    async def version() -> Response:
        return Response(metadata.version("mlflow"), media_type="text/plain")

    @router.get("/metrics", tags=["health"], summary="Metrics in Prometheus' text format")
    async def metrics() -> Response:
        text = await asyncio.to_thread(service.meters.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        page = pages.describe(request.app.openapi())
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": pages.POLICY})


async def _predict(service: Service, request: Request, codec: Codec, version: str | None = None) -> Response:
    started = time.perf_counter()
    content_type = request.headers.get("content-type", "")
    async with service.intake.body(request) as body:
        answer = await service.predict(planes.Request(body, content_type, codec, started, version))
    return Response(answer, media_type="application/json")


def _add_prediction(router: APIRouter, service: Service) -> None:
    @router.post(
        "/predict",
        tags=["predict"],
        summary="Predict rows",
        responses=_answers(schemas.Predictions),
        openapi_extra=_body(("application/json", schemas.PredictRequest)),
    )
    async def predict(request: Request) -> Response:
        return await _predict(service, request, codecs.rows)

    @router.post(
        "/invocations",
        tags=["mlflow"],
        summary="Predict in MLflow's scoring protocol",
        responses=_answers(schemas.InvocationsAnswer),
        openapi_extra=_body(("application/json", schemas.InvocationsRequest), ("text/csv", None)),
    )
    async def invoke(request: Request) -> Response:
        return await _predict(service, request, invocations.decode)


def _add_labels(router: APIRouter, service: Service) -> None:
    @router.post(
        "/labels",
        tags=["labels"],
        summary="Store labels that came late",
        responses=_answers(schemas.Stored),
        openapi_extra=_body(("application/json", schemas.LabelsRequest)),
    )
    async def labels(request: Request) -> Response:
        async with service.intake.body(request) as body:
            stored = await service.keep_labels(body, request.headers.get("content-type", ""))
        return _json({"stored": stored})


def _path(name: str) -> dict[str, Any]:
    """The description of a path parameter."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _add_protocol(router: APIRouter, service: Service) -> None:
    """The Open Inference Protocol, for the live version and for one that is named."""
    get = partial(router.get, tags=["open inference protocol"])

    @get("/v2", summary="Server metadata", responses={200: {"model": schemas.ServerMetadata}})
    async def server() -> Response:
        return _json({"name": "pilotage", "version": metadata.version("pilotage"), "extensions": []})

    @get("/v2/health/live", summary="Whether the process runs")
    async def live() -> Response:
        return _json({"live": True})

    @get("/v2/health/ready", summary="Whether a model can answer", responses={503: _REFUSALS[503]})
    async def ready() -> Response:
        service.ready()
        return _json({"ready": True})

    _add_model(router, service, "/v2/models/{name}")
    _add_model(router, service, "/v2/models/{name}/versions/{version}")


def _add_model(router: APIRouter, service: Service, prefix: str) -> None:
    one = " of one version" if "{version}" in prefix else ""
    missing: dict[int | str, dict[str, Any]] = {
        404: {**_REFUSALS[422], "description": "No such model or version is served here"},
        503: _REFUSALS[503],
    }
    add = partial(router.add_api_route, tags=["open inference protocol"])

    path = {"parameters": [_path(name) for name in ("name", "version") if f"{{{name}}}" in prefix]}

    def asked(request: Request) -> str | None:
        """The version that the path names; raises Problem for another model."""
        name = request.path_params["name"]
        if name != service.name:
            raise problems.not_found(f"Model `{name[:63]}` is not served here; `{service.name}` is.")
        version: str | None = request.path_params.get("version")
        return version

    async def described(request: Request) -> Response:
        found = service.plane.live(asked(request))
        return _json(tensors.metadata(found.model, found.version))

    async def ready(request: Request) -> Response:
        service.plane.live(asked(request))
        return _json({"name": service.name, "ready": True})

    async def infer(request: Request) -> Response:
        return await _predict(service, request, tensors.decode, asked(request))

    add(
        prefix,
        described,
        summary=f"Metadata{one}",
        responses={200: {"model": schemas.ModelMetadata}, **missing},
        openapi_extra=path,
    )
    add(f"{prefix}/ready", ready, summary=f"Readiness{one}", responses=missing, openapi_extra=path)
    add(
        f"{prefix}/infer",
        infer,
        methods=["POST"],
        summary=f"Predict tensors{one}",
        responses={**_answers(schemas.InferAnswer), **missing},
        openapi_extra={**path, **_body(("application/json", schemas.InferRequest))},
    )
