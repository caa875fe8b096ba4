"""`/api/v1/pilots/{pilot}/environments`: what git says is to run where, releasing, and taking back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations.listings import Listing, Model
from pilotage.console.operations.models import environments
from pilotage.console.operations.models.environments import EnvironmentRelease, ReleaseDifference, ReleaseDone

router = APIRouter(prefix="/pilots/{pilot}/environments", tags=["versions"])

EnvironmentParameter = Annotated[
    str, Path(min_length=1, max_length=63, description="Name of the environment.")
]
Why = Annotated[str, Field(max_length=2000)]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]


class ReleaseWish(Model):
    """A version that is to run there."""

    version: Version
    why: Why = ""
    force: bool = False
    """Overrule gates and a missing approval; for admins, with a reason."""


class ReturnWish(Model):
    """Why a release is taken back."""

    why: Why = ""
    version: Version | None = None
    """Nothing is done where git says another version."""


@router.get("")
def list_environments(desk: DeskParameter, actor: ActorParameter, pilot: str) -> Listing[EnvironmentRelease]:
    """What git says of the pilot, by environment."""
    return environments.list_environments(desk, actor, pilot)


@router.get("/{environment}/diff")
def compare(
    desk: DeskParameter, actor: ActorParameter, pilot: str, environment: EnvironmentParameter
) -> ReleaseDifference:
    """What git says, against what runs."""
    return environments.compare(desk, actor, pilot, environment)


@router.post("/{environment}/release")
def release(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    environment: EnvironmentParameter,
    wish: ReleaseWish,
) -> ReleaseDone:
    """Let git say that a version runs there."""
    return environments.release(desk, actor, pilot, environment, wish.version, why=wish.why, force=wish.force)


@router.post("/{environment}/rollback")
def rollback(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    environment: EnvironmentParameter,
    wish: ReturnWish,
) -> ReleaseDone:
    """Let git say what it said before the last release."""
    return environments.take_back(desk, actor, pilot, environment, why=wish.why, version=wish.version)
