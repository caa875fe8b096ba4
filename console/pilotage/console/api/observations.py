"""`/api/v1/pilots/{pilot}/observations`: what monitors elsewhere found."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations.listings import Model
from pilotage.console.operations.monitoring import observations
from pilotage.console.operations.monitoring.observations import Inventory, Observed
from pilotage.core.artifacts import DriftReport

router = APIRouter(prefix="/pilots/{pilot}/observations", tags=["monitoring"])


class Found(Model):
    """What a monitor found."""

    reports: Annotated[tuple[DriftReport, ...], Field(min_length=1, max_length=200)]


@router.get("")
def get_inventory(desk: DeskParameter, actor: ActorParameter, pilot: str) -> Inventory:
    """Which reports were taken in."""
    return observations.get_inventory(desk, actor, pilot)


@router.post("")
def report(desk: DeskParameter, actor: ActorParameter, pilot: str, found: Found) -> Observed:
    """Take in reports of a monitor elsewhere; what is known changes nothing."""
    return observations.report(desk, actor, pilot, found.reports)
