"""All pages, one router a subject."""

from __future__ import annotations

from fastapi import APIRouter

from pilotage.console.pages import comparisons, models, monitoring, pilots, run_details, runs, statics


def build() -> APIRouter:
    """The pages' routes."""
    router = APIRouter(include_in_schema=False)
    for module in (pilots, runs, comparisons, run_details, models, monitoring, statics):
        router.include_router(module.router)
    return router
