"""All pages, one router a subject."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from pilotage.console.access.doors import require_own_page
from pilotage.console.pages import pilots, schedules, settings, signing_in, statics


def build() -> APIRouter:
    """The pages' routes."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(require_own_page)])
    for module in (pilots, schedules, settings, signing_in, statics):
        router.include_router(module.router)
    return router
