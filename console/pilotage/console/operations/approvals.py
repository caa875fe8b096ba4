"""Versions of all pilots that wait for a person, or waited."""

from __future__ import annotations

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing
from pilotage.console.operations.versions import Approval
from pilotage.pipelines.promotions import ApprovalState


def list_approvals(
    desk: Desk,
    actor: Actor,
    *,
    pilot: str | None = None,
    state: ApprovalState | None = ApprovalState.PENDING,
    cursor: str | None = None,
    limit: int = 50,
) -> Listing[Approval]:
    """Questions to people, newest first; of one state, or all when `state` is None."""
    raise NotImplementedError
