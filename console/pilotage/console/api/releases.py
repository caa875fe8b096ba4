"""`/api/v1/pilots/{pilot}/releases`: which version was champion when, and by whose word."""

from __future__ import annotations

from fastapi import APIRouter

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.operations.listings import Listing
from pilotage.console.operations.models import releases
from pilotage.console.operations.models.releases import Release

router = APIRouter(prefix="/pilots/{pilot}/releases", tags=["versions"])


@router.get("")
def list_releases(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Release]:
    """Champions, newest first."""
    return releases.list_releases(desk, actor, pilot, cursor=cursor, limit=limit)
