"""Schedules: when runs are asked for, in words, and pausing, resuming, running, making and removing them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from pilotage.console.access.actors import Permission
from pilotage.console.api import problems
from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter
from pilotage.console.operations import pilots
from pilotage.console.operations.execution import schedules
from pilotage.console.operations.listings import MOST
from pilotage.console.pages.rendering import page
from pilotage.core import errors

router = APIRouter()

_PATH = "/schedules"
WhyField = Annotated[str, Form(max_length=2000)]


@router.get(_PATH)
def show_schedules(
    request: Request, desk: DeskParameter, actor: ActorParameter, cursor: CursorParameter = None
) -> HTMLResponse:
    """Every schedule."""
    return _page(request, desk, actor, cursor)


@router.post(_PATH)
def add_schedule(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: Annotated[str, Form(max_length=63)],
    cron: Annotated[str, Form(max_length=200)],
    time_zone: Annotated[str, Form(max_length=64)] = "UTC",
) -> Response:
    """Make one; what is wrong with it is said beside the form."""
    try:
        schedules.add_schedule(desk, actor, pilot, cron.strip(), time_zone.strip())
    except errors.InputError as error:
        given = {"pilot": pilot, "cron": cron, "time_zone": time_zone}
        return _page(request, desk, actor, None, given=given, problem=error)
    return RedirectResponse(_PATH, 303)


@router.post(_PATH + "/{schedule}/pause")
def pause_schedule(
    desk: DeskParameter, actor: ActorParameter, schedule: str, why: WhyField = ""
) -> RedirectResponse:
    """Let it ask for nothing."""
    schedules.pause_schedule(desk, actor, schedule, why=why)
    return RedirectResponse(_PATH, 303)


@router.post(_PATH + "/{schedule}/resume")
def resume_schedule(
    desk: DeskParameter, actor: ActorParameter, schedule: str, why: WhyField = ""
) -> RedirectResponse:
    """Let it go on."""
    schedules.resume_schedule(desk, actor, schedule, why=why)
    return RedirectResponse(_PATH, 303)


@router.post(_PATH + "/{schedule}/run")
def run_schedule(
    desk: DeskParameter, actor: ActorParameter, schedule: str, why: WhyField = ""
) -> RedirectResponse:
    """Ask for its run now, and go there."""
    run = schedules.run_schedule(desk, actor, schedule, why=why)
    return RedirectResponse(f"/runs/{run.id}", 303)


@router.post(_PATH + "/{schedule}/remove")
def remove_schedule(
    desk: DeskParameter, actor: ActorParameter, schedule: str, why: WhyField = ""
) -> RedirectResponse:
    """Forget it."""
    schedules.remove_schedule(desk, actor, schedule, why=why)
    return RedirectResponse(_PATH, 303)


def _page(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    cursor: str | None,
    *,
    given: dict[str, str] | None = None,
    problem: errors.PilotageError | None = None,
) -> HTMLResponse:
    listing = schedules.list_schedules(desk, actor, cursor=cursor)
    known = pilots.list_pilots(desk, actor, limit=MOST).items
    return page(
        request,
        "schedules.html.j2",
        status=200 if problem is None else int(problems.status_of(problem)),
        actor=actor,
        listing=listing,
        pilots=[pilot.name for pilot in known if actor.may(Permission.OPERATE, pilot.name)],
        given=given or {"pilot": "", "cron": "", "time_zone": "UTC"},
        problem=problem,
        operate=Permission.OPERATE,
        later=cursor is not None,
    )
