"""All pages, one router a subject."""

from __future__ import annotations

from fastapi import APIRouter

from pilotage.console.pages import comparisons, pilot_details, pilots, run_details, runs, statics


def build() -> APIRouter:
    """The pages' routes."""
    router = APIRouter(include_in_schema=False)
    for module in (pilots, pilot_details, runs, comparisons, run_details, statics):
        router.include_router(module.router)
    return router
