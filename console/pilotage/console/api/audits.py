"""`/api/v1/audit`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.operations.chains import Chain
from pilotage.console.operations.evidence import audits
from pilotage.console.operations.evidence.audits import Filter, Format, Line
from pilotage.console.operations.listings import Listing

router = APIRouter(prefix="/audit", tags=["audit"])

_MEDIA_TYPES = {Format.CSV: "text/csv; charset=utf-8", Format.JSON: "application/json"}


def _filter(
    pilot: Annotated[str, Query(max_length=63)] = "",
    who: Annotated[str, Query(max_length=200, description="A part of the name.")] = "",
    action: Annotated[str, Query(max_length=32)] = "",
    since: Annotated[datetime | None, Query(description="From this time on; UTC without a zone.")] = None,
    until: Annotated[datetime | None, Query(description="Before this time; UTC without a zone.")] = None,
) -> Filter:
    return Filter(pilot=pilot, who=who, action=action, since=since, until=until)


FilterParameter = Annotated[Filter, Depends(_filter)]


@router.get("")
def list_lines(
    desk: DeskParameter,
    actor: ActorParameter,
    which: FilterParameter,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Line]:
    """Who did what, newest first."""
    return audits.list_lines(desk, actor, which, cursor=cursor, limit=limit)


@router.get("/export", response_class=StreamingResponse)
def export(
    desk: DeskParameter,
    actor: ActorParameter,
    which: FilterParameter,
    kind: Annotated[Format, Query(alias="format")] = Format.JSON,
) -> StreamingResponse:
    """All of it, oldest first, as one file."""
    pieces = audits.export(desk, actor, which, kind)
    headers = {"Content-Disposition": f'attachment; filename="audit.{kind.value}"'}
    return StreamingResponse(pieces, headers=headers, media_type=_MEDIA_TYPES[kind])


@router.get("/chain")
def chain(desk: DeskParameter, actor: ActorParameter) -> Chain | None:
    """How far the audit was seen to be whole; null for those who may not read all of it."""
    return audits.chain(desk, actor)
