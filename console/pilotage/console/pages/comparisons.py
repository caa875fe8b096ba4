"""Two runs of a pilot beside each other."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations.execution import comparisons, runs
from pilotage.console.operations.execution.comparisons import Section
from pilotage.console.pages.rendering import page

router = APIRouter()

_OFFERED = 50


@router.get("/runs/compare")
def compare_runs(
    request: Request, desk: DeskParameter, actor: ActorParameter, a: str = "", b: str = ""
) -> HTMLResponse:
    """Run `a` beside run `b`; asks which where one is left out."""
    if not a or not b:
        offered = runs.list_runs(desk, actor, limit=_OFFERED).items
        return page(request, "compare_choice.html.j2", actor=actor, offered=offered, a=a, b=b)
    found = comparisons.compare_runs(desk, actor, a, b)
    return page(request, "compare.html.j2", actor=actor, found=found, Section=Section)
