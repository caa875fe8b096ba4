"""`/api/v1/pilots/{pilot}/transitions`: releases to environments, and where each stands."""

from __future__ import annotations

from fastapi import APIRouter

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.operations.listings import Listing
from pilotage.console.operations.models import transitions
from pilotage.console.operations.models.transitions import Transition

router = APIRouter(prefix="/pilots/{pilot}/transitions", tags=["versions"])


@router.get("")
def list_transitions(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Transition]:
    """Releases to environments, newest first: where each stands and what it waits for."""
    return transitions.list_transitions(desk, actor, pilot, cursor=cursor, limit=limit)
