"""All of `/api/v1`, one router a resource."""

from __future__ import annotations

from fastapi import APIRouter

from pilotage.console.api import audits, pilots, runs, schedules, services, snapshots

PREFIX = "/api/v1"


def build() -> APIRouter:
    """The API's routes."""
    router = APIRouter(prefix=PREFIX)
    for module in (audits, pilots, runs, schedules, services, snapshots):
        router.include_router(module.router)
    return router
