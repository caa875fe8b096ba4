"""All of `/api/v1`, one router a resource."""

from __future__ import annotations

from fastapi import APIRouter

from pilotage.console.api import alarms, approvals, monitors, pilots, releases, triggers, versions

PREFIX = "/api/v1"


def build() -> APIRouter:
    """The API's routes."""
    router = APIRouter(prefix=PREFIX)
    for module in (pilots, versions, approvals, releases, monitors, alarms, triggers):
        router.include_router(module.router)
    return router
