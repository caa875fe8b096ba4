"""What many routes take: who asks, the installation, and which part of a list."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import MOST


def _desk(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


def _actor(request: Request) -> Actor:
    found: Actor = request.app.state.authenticate(request)
    request.state.actor = found
    return found


DeskParameter = Annotated[Desk, Depends(_desk)]
ActorParameter = Annotated[Actor, Depends(_actor)]
CursorParameter = Annotated[str | None, Query(description="`next` of the page before.", max_length=400)]
LimitParameter = Annotated[int, Query(ge=1, le=MOST, description="Items of one page.")]
