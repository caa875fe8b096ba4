"""All of `/api/v1`, one router a resource."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from pilotage.console.access.doors import require_own_page
from pilotage.console.api import (
    adoptions,
    alarms,
    approvals,
    audits,
    costs,
    environments,
    me,
    monitors,
    observations,
    pilots,
    privacy,
    readiness,
    releases,
    runs,
    schedules,
    services,
    snapshots,
    studies,
    tables,
    tokens,
    transitions,
    triggers,
    users,
    versions,
    webhooks,
)

PREFIX = "/api/v1"

_MODULES = (
    *(pilots, runs, schedules, services, snapshots),
    *(versions, approvals, releases, environments, transitions),
    *(monitors, observations, alarms, triggers, readiness),
    *(studies, tables, adoptions),
    *(me, users, tokens, webhooks),
    *(audits, costs, privacy),
)


def build() -> APIRouter:
    """The API's routes."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(require_own_page)])
    for module in _MODULES:
        router.include_router(module.router)
    return router
