"""`/api/v1/pilots/{pilot}/privacy`: personal data, retention, and what is forgotten for good."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import privacy
from pilotage.console.operations.listings import Listing, Model
from pilotage.console.operations.privacy import Deletion, Privacy

router = APIRouter(prefix="/pilots/{pilot}", tags=["privacy"])

Key = Annotated[str, Field(min_length=1, max_length=1000)]


class Erasure(Model):
    """Whose rows are to go, and why."""

    keys: Annotated[list[Key], Field(min_length=1, max_length=10_000)]
    why: Annotated[str, Field(max_length=2000)] = ""
    """Needed, unless nothing is erased."""
    dry_run: bool = False
    """Tell what would go; erase nothing."""


class Purge(Model):
    """Whether anything is deleted."""

    dry_run: bool = False
    why: Annotated[str, Field(max_length=2000)] = ""
    """`data.retention` when left out."""


@router.get("/privacy")
def get_privacy(desk: DeskParameter, actor: ActorParameter, pilot: str) -> Privacy:
    """What a pilot holds of people."""
    return privacy.get_privacy(desk, actor, pilot)


@router.get("/deletions")
def list_deletions(desk: DeskParameter, actor: ActorParameter, pilot: str) -> Listing[Deletion]:
    """What was deleted, latest first."""
    return privacy.list_deletions(desk, actor, pilot)


@router.post("/erasures")
def forget(desk: DeskParameter, actor: ActorParameter, pilot: str, wish: Erasure) -> dict[str, Any]:
    """Erase the rows with these keys from snapshots, logs, samples and labels; for admins."""
    if wish.dry_run:
        return privacy.preview_forget(desk, actor, pilot, wish.keys)
    return privacy.forget(desk, actor, pilot, wish.keys, wish.why)


@router.post("/purge")
def purge(desk: DeskParameter, actor: ActorParameter, pilot: str, wish: Purge) -> dict[str, Any]:
    """Delete what is older than the pilot keeps it; for admins."""
    return privacy.purge(desk, actor, pilot, dry_run=wish.dry_run, why=wish.why)
