"""The server's routes besides those of the Open Inference Protocol: each reads, asks the service, writes."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request, Response

from pilotage.serving.protocols import codecs, invocations
from pilotage.serving.services import Service
from pilotage.serving.web import explanations, models, pages, receipts, schemas, statistics
from pilotage.serving.web.answers import (
    NOT_FOUND,
    NOT_READY,
    describe_answers,
    describe_body,
    describe_path,
    endpoint_of,
    predict,
    write_json,
)

PREFIXES = ("", "/models/{name}")
"""Where a pilot's routes are: without a name when it is the only one, and by its name."""
PREDICTING = frozenset(
    {
        *(f"{prefix}{path}" for prefix in PREFIXES for path in ("/predict", "/invocations")),
        *(f"{prefix}/infer" for prefix in models.PREFIXES),
    }
)
"""Routes whose failures count as errors of the window."""


def build(service: Service) -> APIRouter:
    """All routes of one server."""
    router = APIRouter(default_response_class=Response)
    _add_health(router, service)
    for prefix in PREFIXES:
        _add_pilot(router, service, prefix)
        explanations.add_to(router, service, prefix)
    statistics.add_to(router, service)
    models.add_to(router, service)
    return router


def _add_health(router: APIRouter, service: Service) -> None:
    @router.get("/health/live", tags=["health"], summary="Whether the process runs")
    async def live() -> Response:
        return write_json({"status": "live"})

    @router.get("/health/ready", tags=["health"], summary="Whether models can answer", responses=NOT_READY)
    async def ready() -> Response:
        return write_json(_readiness(service))

    @router.get("/health", tags=["mlflow"], summary="The same as /ping", responses=NOT_READY)
    @router.get("/ping", tags=["mlflow"], summary="Whether models can answer", responses=NOT_READY)
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


def _readiness(service: Service) -> dict[str, Any]:
    """What is ready, and what is wrong beside it."""
    service.ready()
    found = [
        {
            "model": endpoint.name,
            "version": live.version,
            "form": "onnx" if live.form else "trained",
            "champion": live is endpoint.follower.live,
        }
        for endpoint in service.endpoints.values()
        for live in endpoint.follower.versions
    ]
    document: dict[str, Any] = {"status": "ready", "versions": found}
    if len(service.endpoints) == 1:
        (endpoint,) = service.endpoints.values()
        document |= {"model": endpoint.name, "version": endpoint.plane.live().version}
    warnings = [endpoint.follower.reason for endpoint in service.endpoints.values()]
    if any(warnings):
        document["warning"] = " ".join(filter(None, warnings))
    return document


def _add_pilot(router: APIRouter, service: Service, prefix: str) -> None:
    missing = NOT_FOUND if prefix else {}
    path = describe_path(prefix)
    post = partial(router.post, include_in_schema=bool(prefix) or len(service.endpoints) == 1)

    @post(
        f"{prefix}/predict",
        tags=["predict"],
        summary="Predict rows",
        responses={**describe_answers(schemas.Predictions), **missing},
        openapi_extra={**path, **describe_body(("application/json", schemas.PredictRequest))},
    )
    async def predict_rows(request: Request) -> Response:
        return await predict(service, request, codecs.rows)

    @post(
        f"{prefix}/invocations",
        tags=["mlflow"],
        summary="Predict in MLflow's scoring protocol",
        responses={**describe_answers(schemas.InvocationsAnswer), **missing},
        openapi_extra={
            **path,
            **describe_body(("application/json", schemas.InvocationsRequest), ("text/csv", None)),
        },
    )
    async def invoke(request: Request) -> Response:
        return await predict(service, request, invocations.decode)

    @post(
        f"{prefix}/labels",
        tags=["labels"],
        summary="Store labels that came late",
        responses={**describe_answers(schemas.Stored), **missing},
        openapi_extra={**path, **describe_body(("application/json", schemas.LabelsRequest))},
    )
    async def labels(request: Request) -> Response:
        endpoint = endpoint_of(service, request)
        async with service.intake.body(request) as body:
            receipt = await service.keep_labels(endpoint, body, request.headers.get("content-type", ""))
        return write_json(receipts.document(receipt))
