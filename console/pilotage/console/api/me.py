"""`/api/v1/me`: who asks, and what they may do."""

from __future__ import annotations

from fastapi import APIRouter, Request

from pilotage.console.access.actors import ALL, Permission, Role
from pilotage.console.api.parameters import ActorParameter
from pilotage.console.operations.listings import Model

router = APIRouter(prefix="/me", tags=["access"])


class Held(Model):
    """A role that is theirs."""

    pilot: str
    """`*` for all pilots."""
    role: Role


class Me(Model):
    """Whoever asks."""

    name: str
    grants: tuple[Held, ...]
    permissions: tuple[Permission, ...]
    """What they may do everywhere."""
    token: str | None
    """Id of the token that was sent."""
    csrf: str | None
    """What a browser sends as `X-CSRF-Token` with what changes something; null with a token."""


@router.get("")
def get_me(request: Request, actor: ActorParameter) -> Me:
    """Who asks."""
    return Me(
        name=actor.name,
        grants=tuple(Held(pilot=grant.pilot, role=grant.role) for grant in sorted(actor.grants)),
        permissions=tuple(permission for permission in Permission if actor.may(permission, ALL)),
        token=actor.token,
        csrf=getattr(request.state, "csrf", "") or None,
    )
