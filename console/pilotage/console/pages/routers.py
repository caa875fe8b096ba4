"""All pages, one router a subject."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from pilotage.console.access.doors import require_own_page
from pilotage.console.pages import (
    adoptions,
    audits,
    comparisons,
    costs,
    models,
    monitoring,
    pilot_details,
    pilots,
    privacy,
    readiness,
    responsible,
    run_details,
    runs,
    scaling,
    schedules,
    scores,
    settings,
    shrinks,
    signing_in,
    statics,
)

_MODULES = (
    *(pilots, adoptions, pilot_details),
    *(runs, comparisons, run_details),
    *(models, monitoring, readiness, scores, scaling, shrinks, responsible, privacy, costs),
    *(schedules, audits),
    *(settings, signing_in, statics),
)


def build() -> APIRouter:
    """The pages' routes."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(require_own_page)])
    for module in _MODULES:
        router.include_router(module.router)
    return router
