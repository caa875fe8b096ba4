"""`/api/v1/pilots`."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

from pilotage.console.api.parameters import (
    ActorParameter,
    CursorParameter,
    DeskParameter,
    LimitParameter,
    SearchParameter,
)
from pilotage.console.operations import pilots
from pilotage.console.operations.listings import Listing, Model
from pilotage.console.operations.pilots import Pilot

router = APIRouter(prefix="/pilots", tags=["pilots"])


class NewPilot(Model):
    """A pilot to take in."""

    folder: str
    """Folder with a pilot.yaml, on the machine of the console."""


@router.get("")
def list_pilots(
    desk: DeskParameter,
    actor: ActorParameter,
    search: SearchParameter = "",
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Pilot]:
    """Pilots by name."""
    return pilots.list_pilots(desk, actor, search=search, cursor=cursor, limit=limit)


@router.get("/{pilot}")
def get_pilot(desk: DeskParameter, actor: ActorParameter, pilot: str) -> Pilot:
    """One pilot."""
    return pilots.get_pilot(desk, actor, pilot)


@router.post("", status_code=201)
def add_pilot(desk: DeskParameter, actor: ActorParameter, new: NewPilot) -> Pilot:
    """Take a pilot in, or read its pilot.yaml again."""
    return pilots.add_pilot(desk, actor, Path(new.folder))
