"""The first page: every pilot, and where it stands."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter
from pilotage.console.operations import pilots
from pilotage.console.pages.rendering import page

router = APIRouter()


@router.get("/")
def show_pilots(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    search: str = "",
    cursor: CursorParameter = None,
) -> HTMLResponse:
    """Every pilot."""
    listing = pilots.list_pilots(desk, actor, search=search, cursor=cursor)
    return page(request, "pilots.html.j2", actor=actor, listing=listing, search=search)
