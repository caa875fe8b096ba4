"""`/api/v1/pilots/{pilot}/versions`: what was trained, what it scored, and deciding about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import Field
from starlette.background import BackgroundTask

from pilotage.console.api.parameters import (
    ActorParameter,
    CursorParameter,
    DeskParameter,
    LimitParameter,
    SearchParameter,
    VersionParameter,
)
from pilotage.console.operations.evidence import dossiers, exports
from pilotage.console.operations.evidence.dossiers import Told
from pilotage.console.operations.listings import Listing, Model
from pilotage.console.operations.models import decisions, shrinks, versions
from pilotage.console.operations.models.decisions import Moved
from pilotage.console.operations.models.versions import Live, Version
from pilotage.core.artifacts import Scorecard

router = APIRouter(tags=["versions"])

CARD_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
"""A card was written by a run: it may neither run nor load anything, nor act as this site."""

_PIECE = 256 * 1024
"""Bytes of an archive that are sent at once."""

Why = Annotated[str, Field(max_length=2000)]


class Word(Model):
    """Why somebody decides so."""

    why: Why = ""


class Refusal(Model):
    """Why somebody says no."""

    why: Annotated[str, Field(min_length=1, max_length=2000)]


class PromotionWish(Word):
    """A version that is to be champion at once."""

    force: bool = False
    """Overrule gates and a rejection; for admins."""


@router.get("/live")
def list_live(
    desk: DeskParameter,
    actor: ActorParameter,
    search: SearchParameter = "",
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Live]:
    """What serves each pilot, and what waits."""
    return versions.list_live(desk, actor, search=search, cursor=cursor, limit=limit)


@router.get("/pilots/{pilot}/versions")
def list_versions(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Version]:
    """Versions, newest first."""
    return versions.list_versions(desk, actor, pilot, cursor=cursor, limit=limit)


@router.get("/pilots/{pilot}/versions/{version}")
def get_version(desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter) -> Version:
    """One version."""
    return versions.get_version(desk, actor, pilot, version)


@router.get("/pilots/{pilot}/versions/{version}/scorecard")
def get_scorecard(
    desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter
) -> Scorecard:
    """What evaluation found, and every gate's verdict."""
    return versions.get_scorecard(desk, actor, pilot, version)


@router.get("/pilots/{pilot}/versions/{version}/card", response_class=HTMLResponse)
def get_card(
    desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter
) -> HTMLResponse:
    """The model card, a page of its own."""
    text = dossiers.card_page(desk, actor, pilot, version)
    return HTMLResponse(text, headers={"Content-Security-Policy": CARD_POLICY})


@router.get(
    "/pilots/{pilot}/versions/{version}/bundle",
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
    response_class=Response,
)
def get_bundle(desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter) -> Response:
    """The version for machines that have onnxruntime alone, as a zip."""
    data = shrinks.make_bundle(desk, actor, pilot, version)
    name = f"{pilot}-{version}.zip"
    return Response(
        data,
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/pilots/{pilot}/versions/{version}/card/told")
def tell_card(desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter) -> Told:
    """The model card as Markdown and as a page, and what it does not say."""
    return dossiers.tell(desk, actor, pilot, version)


@router.get("/pilots/{pilot}/versions/{version}/export", response_class=StreamingResponse)
def export(
    desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter
) -> StreamingResponse:
    """All that speaks for a version, as one archive that proves itself; noted in the audit."""
    stream = exports.spool(desk, actor, pilot, version)
    named = f'attachment; filename="{exports.name_of(pilot, version)}"'
    return StreamingResponse(
        iter(lambda: stream.read(_PIECE), b""),
        headers={"Content-Disposition": named, "Cache-Control": "no-store"},
        media_type="application/zip",
        background=BackgroundTask(stream.close),
    )


@router.post("/pilots/{pilot}/versions/{version}/approve")
def approve(
    desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter, word: Word
) -> Moved:
    """Say yes to a version that waits, and make it champion."""
    return decisions.approve(desk, actor, pilot, version, why=word.why)


@router.post("/pilots/{pilot}/versions/{version}/reject")
def reject(
    desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter, word: Refusal
) -> Version:
    """Say no to a version that waits or is being rolled out."""
    return decisions.reject(desk, actor, pilot, version, why=word.why)


@router.post("/pilots/{pilot}/versions/{version}/promote")
def promote(
    desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter, wish: PromotionWish
) -> Moved:
    """Make a version champion at once."""
    return decisions.promote(desk, actor, pilot, version, why=wish.why, force=wish.force)


@router.post("/pilots/{pilot}/rollback")
def rollback(desk: DeskParameter, actor: ActorParameter, pilot: str, word: Word) -> Moved:
    """End a rollout, or bring back the champion before."""
    return decisions.rollback(desk, actor, pilot, why=word.why)
