"""`/api/v1/approvals`: versions of all pilots that wait for a person, or waited."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.operations.listings import Listing
from pilotage.console.operations.models import approvals
from pilotage.console.operations.models.versions import Approval
from pilotage.pipelines.decisions.approvals import ApprovalState

router = APIRouter(prefix="/approvals", tags=["versions"])


@router.get("")
def list_approvals(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str | None = None,
    state: ApprovalState | None = None,
    decided: Annotated[bool, Query(description="Without `state`: also those that wait no more.")] = False,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Approval]:
    """Questions to people, newest first."""
    wanted = state or (None if decided else ApprovalState.PENDING)
    return approvals.list_approvals(desk, actor, pilot=pilot, state=wanted, cursor=cursor, limit=limit)
