"""All of `/api/v1`, one router a resource."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from pilotage.console.access.doors import require_own_page
from pilotage.console.api import me, pilots, tokens, users, webhooks

PREFIX = "/api/v1"


def build() -> APIRouter:
    """The API's routes."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(require_own_page)])
    for module in (me, pilots, users, tokens, webhooks):
        router.include_router(module.router)
    return router
