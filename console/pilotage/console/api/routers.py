"""All of `/api/v1`, one router a resource."""

from __future__ import annotations

from fastapi import APIRouter

from pilotage.console.api import (
    alarms,
    approvals,
    monitors,
    pilots,
    releases,
    runs,
    schedules,
    services,
    snapshots,
    triggers,
    versions,
)

PREFIX = "/api/v1"

_MODULES = (
    *(pilots, runs, schedules, services, snapshots),
    *(versions, approvals, releases, monitors, alarms, triggers),
)


def build() -> APIRouter:
    """The API's routes."""
    router = APIRouter(prefix=PREFIX)
    for module in _MODULES:
        router.include_router(module.router)
    return router
