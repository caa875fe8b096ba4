"""The routes of the Open Inference Protocol, for the version that is live and for one that is named."""

from __future__ import annotations

from functools import partial
from importlib import metadata

from fastapi import APIRouter, Request, Response

from pilotage.serving.protocols import repositories, tensors
from pilotage.serving.services import Service
from pilotage.serving.versions.lives import Live
from pilotage.serving.web import schemas
from pilotage.serving.web.answers import (
    NOT_FOUND,
    NOT_READY,
    REFUSALS,
    describe_answers,
    describe_body,
    describe_path,
    endpoint_of,
    predict,
    write_json,
)

PREFIXES = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")


def add_to(router: APIRouter, service: Service) -> None:
    """Add the protocol's routes."""
    get = partial(router.get, tags=["open inference protocol"])

    @get("/v2", summary="Server metadata", responses={200: {"model": schemas.ServerMetadata}})
    async def server() -> Response:
        version = metadata.version("pilotage")
        return write_json({"name": "pilotage", "version": version, "extensions": list(tensors.EXTENSIONS)})

    @get("/v2/health/live", summary="Whether the process runs")
    async def live() -> Response:
        return write_json({"live": True})

    @get("/v2/health/ready", summary="Whether models can answer", responses=NOT_READY)
    async def ready() -> Response:
        service.ready()
        return write_json({"ready": True})

    @router.post(
        "/v2/repository/index",
        tags=["open inference protocol"],
        summary="Models and versions that are loaded",
        responses={200: {"model": list[schemas.IndexEntry]}, **REFUSALS},
        openapi_extra=describe_body(("application/json", schemas.IndexRequest)),
    )
    async def index(request: Request) -> Response:
        async with service.intake.body(request) as body:
            ready_only = repositories.asks_ready_only(body)
        return write_json(repositories.index(service.endpoints.values(), ready_only=ready_only))

    for prefix in PREFIXES:
        _add_model(router, service, prefix)


def _add_model(router: APIRouter, service: Service, prefix: str) -> None:
    one = " of one version" if "{version}" in prefix else ""
    add = partial(router.add_api_route, tags=["open inference protocol"])
    missing = {**NOT_FOUND, **NOT_READY}
    path = describe_path(prefix)

    def asked(request: Request) -> Live:
        return endpoint_of(service, request).plane.live(request.path_params.get("version"))

    async def described(request: Request) -> Response:
        live = asked(request)
        return write_json(tensors.metadata(live.model, live.version))

    async def ready(request: Request) -> Response:
        live = asked(request)
        return write_json({"name": live.model.pilot, "ready": True})

    async def infer(request: Request) -> Response:
        codec = tensors.codec(request.headers.get(tensors.HEADER_LENGTH))
        return await predict(service, request, codec)

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
        responses={**describe_answers(schemas.InferAnswer), **missing},
        openapi_extra={
            **path,
            **describe_body(("application/json", schemas.InferRequest), (tensors.BINARY_TYPE, None)),
        },
    )
