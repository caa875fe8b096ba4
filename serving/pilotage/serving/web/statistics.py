"""The routes of statistics: what each version has answered, for all models, one, or one version of it."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

from fastapi import APIRouter, Request, Response

from pilotage.serving import problems
from pilotage.serving.services import Service
from pilotage.serving.telemetry import statistics
from pilotage.serving.web import schemas
from pilotage.serving.web.answers import NOT_FOUND, describe_path, endpoint_of, write_json

PREFIXES = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")


def add_to(router: APIRouter, service: Service) -> None:
    """Add the routes; before those of models, for one of which `stats` could be taken."""
    tags: list[str | Enum] = ["open inference protocol"]
    answer: dict[int | str, dict[str, Any]] = {200: {"model": schemas.Statistics}}

    @router.get("/v2/models/stats", tags=tags, summary="Statistics of all models", responses=answer)
    async def every() -> Response:
        reading = await asyncio.to_thread(service.meters.total)
        found = [one for name in service.names for one in statistics.describe(reading, name)]
        return write_json({"model_stats": found})

    async def one(request: Request) -> Response:
        name, version = endpoint_of(service, request).name, request.path_params.get("version")
        reading = await asyncio.to_thread(service.meters.total)
        found = statistics.describe(reading, name, version)
        if version is not None and not found:
            raise problems.not_found(f"Version `{version[:40]}` of `{name}` has answered nothing here.")
        return write_json({"model_stats": found})

    for prefix in PREFIXES:
        router.add_api_route(
            f"{prefix}/stats",
            one,
            tags=tags,
            summary="Statistics of one version" if "{version}" in prefix else "Statistics of one model",
            responses={**answer, **NOT_FOUND},
            openapi_extra=describe_path(prefix),
        )
