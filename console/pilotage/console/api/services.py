"""`/api/v1/services`."""

from __future__ import annotations

from fastapi import APIRouter

from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import services
from pilotage.console.operations.listings import Listing
from pilotage.console.operations.services import Service

router = APIRouter(prefix="/services", tags=["services"])


@router.get("")
def list_services(desk: DeskParameter, actor: ActorParameter) -> Listing[Service]:
    """The processes that `pilotage up` keeps running."""
    return services.list_services(desk, actor)
