"""The route of explanations, which takes the same body as `/predict`."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request, Response

from pilotage.serving.services import Service
from pilotage.serving.web import headers, schemas
from pilotage.serving.web.answers import (
    NOT_FOUND,
    describe_answers,
    describe_body,
    describe_path,
    endpoint_of,
)


def add_to(router: APIRouter, service: Service, prefix: str) -> None:
    """Add `{prefix}/explain` to `router`."""

    @router.post(
        f"{prefix}/explain",
        tags=["explain"],
        summary="Explain predictions by the contributions of features",
        responses={**describe_answers(schemas.Explanations), **(NOT_FOUND if prefix else {})},
        openapi_extra={
            **describe_path(prefix),
            **describe_body(("application/json", schemas.PredictRequest)),
        },
        include_in_schema=bool(prefix) or len(service.endpoints) == 1,
    )
    async def explain(request: Request) -> Response:
        started = time.perf_counter()
        choose = endpoint_of(service, request).follower.choose
        until = headers.deadline(request.headers.get(headers.TIMEOUT), started)
        content_type = request.headers.get("content-type", "")
        async with service.intake.body(request) as body:
            answer = await service.explaining.explain(body, content_type, choose, until)
        return Response(answer, media_type="application/json")
