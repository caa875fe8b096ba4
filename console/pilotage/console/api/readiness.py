"""`/api/v1/pilots/{pilot}/readiness`: the ML Test Score, its history and badge, what people vouch for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from pilotage.console.api.parameters import ActorParameter, DeskParameter, Moment
from pilotage.console.operations import readiness
from pilotage.console.operations.listings import Listing, Model
from pilotage.console.operations.readiness import MOST_ENTRIES, Entry, Note
from pilotage.console.pages.figures import badges
from pilotage.pipelines.readiness.notes import MOST_LETTERS
from pilotage.pipelines.readiness.scores import Readiness

router = APIRouter(tags=["readiness"])

SVG = "image/svg+xml"
BADGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""A badge may be opened alone: it neither runs nor loads anything."""


class NoteWish(Model):
    """What somebody vouches for."""

    test: Annotated[str, Field(min_length=1, max_length=32)]
    """Such as `data-5`."""
    text: Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]
    """What was done, and with which result."""
    until: Moment | None = None
    """When it ends to hold; in 90 days when left out, in a year at most."""


@router.get("/pilots/{pilot}/readiness")
def get_readiness(desk: DeskParameter, actor: ActorParameter, pilot: str) -> Readiness:
    """How ready the pilot is for production, test by test."""
    return readiness.get_readiness(desk, actor, pilot)


@router.get("/pilots/{pilot}/readiness/history")
def list_history(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    limit: Annotated[int, Query(ge=1, le=MOST_ENTRIES)] = MOST_ENTRIES,
) -> Listing[Entry]:
    """How ready it was: an entry when points changed, and one a day."""
    return readiness.list_history(desk, actor, pilot, limit)


@router.get(
    "/pilots/{pilot}/readiness/badge", response_class=Response, responses={200: {"content": {SVG: {}}}}
)
def get_badge(desk: DeskParameter, actor: ActorParameter, pilot: str) -> Response:
    """The score as a picture."""
    found = readiness.get_readiness(desk, actor, pilot)
    headers = {"Content-Security-Policy": BADGE_POLICY, "Cache-Control": "no-cache"}
    return Response(str(badges.badge(found.score, found.band)), media_type=SVG, headers=headers)


@router.get("/pilots/{pilot}/readiness/notes")
def list_notes(desk: DeskParameter, actor: ActorParameter, pilot: str) -> Listing[Note]:
    """What people vouched for, newest first."""
    return readiness.list_notes(desk, actor, pilot)


@router.post("/pilots/{pilot}/readiness/notes", status_code=201)
def add_note(desk: DeskParameter, actor: ActorParameter, pilot: str, wish: NoteWish) -> Note:
    """Vouch for a test that was done by hand."""
    return readiness.add_note(desk, actor, pilot, wish.test, wish.text, until=wish.until)


@router.delete("/pilots/{pilot}/readiness/notes/{note}")
def withdraw_note(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    note: str,
    why: Annotated[str, Query(max_length=2000)] = "",
) -> Note:
    """Take a note back."""
    return readiness.withdraw_note(desk, actor, pilot, note, why=why)
