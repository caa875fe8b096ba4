"""What many routes take: who asks, the installation, and which part of a list."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, AwareDatetime

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
SearchParameter = Annotated[str, Query(max_length=128, description="A part of the name.")]
LimitParameter = Annotated[int, Query(ge=1, le=MOST, description="Items of one page.")]


def _usable(moment: datetime) -> datetime:
    """A time that every zone can tell."""
    if not 1970 <= moment.year <= 9000:
        raise ValueError("expected a year from 1970 to 9000")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_usable)]
VersionParameter = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the version.")]
OptionalVersionParameter = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
SinceParameter = Annotated[Moment | None, Query(description="Only what begins then or later.")]
UntilParameter = Annotated[Moment | None, Query(description="Only what begins before.")]
