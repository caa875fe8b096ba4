"""`/api/v1/schedules`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.api.runs import Why
from pilotage.console.operations.execution import schedules
from pilotage.console.operations.execution.runs import Run
from pilotage.console.operations.execution.schedules import Schedule
from pilotage.console.operations.listings import Listing, Model

router = APIRouter(prefix="/schedules", tags=["schedules"])


class NewSchedule(Model):
    """A schedule to make."""

    pilot: Annotated[str, Field(max_length=63)]
    cron: Annotated[str, Field(max_length=200)]
    """Minute, hour, day of the month, month, day of the week."""
    time_zone: Annotated[str, Field(max_length=64)] = "UTC"
    """An IANA name."""


@router.get("")
def list_schedules(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: Annotated[str | None, Query(max_length=63)] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Schedule]:
    """Schedules by pilot."""
    return schedules.list_schedules(desk, actor, pilot=pilot, cursor=cursor, limit=limit)


@router.post("", status_code=201)
def add_schedule(
    desk: DeskParameter, actor: ActorParameter, new: NewSchedule, response: Response
) -> Schedule:
    """Let runs of a pilot be asked for by the clock."""
    made = schedules.add_schedule(desk, actor, new.pilot, new.cron, new.time_zone)
    response.headers["Location"] = f"/api/v1/schedules/{made.id}"
    return made


@router.get("/{schedule}")
def get_schedule(desk: DeskParameter, actor: ActorParameter, schedule: str) -> Schedule:
    """One schedule."""
    return schedules.get_schedule(desk, actor, schedule)


@router.post("/{schedule}/pause")
def pause_schedule(desk: DeskParameter, actor: ActorParameter, schedule: str, reason: Why) -> Schedule:
    """Let it ask for nothing until it is resumed."""
    return schedules.pause_schedule(desk, actor, schedule, why=reason.why)


@router.post("/{schedule}/resume")
def resume_schedule(desk: DeskParameter, actor: ActorParameter, schedule: str, reason: Why) -> Schedule:
    """Let it go on from now."""
    return schedules.resume_schedule(desk, actor, schedule, why=reason.why)


@router.post("/{schedule}/run", status_code=201)
def run_schedule(
    desk: DeskParameter, actor: ActorParameter, schedule: str, reason: Why, response: Response
) -> Run:
    """Ask for its run now."""
    made = schedules.run_schedule(desk, actor, schedule, why=reason.why)
    response.headers["Location"] = f"/api/v1/runs/{made.id}"
    return made


@router.delete("/{schedule}", status_code=204)
def remove_schedule(
    desk: DeskParameter,
    actor: ActorParameter,
    schedule: str,
    why: Annotated[str, Query(max_length=2000)] = "",
) -> None:
    """Forget a schedule that a person made."""
    schedules.remove_schedule(desk, actor, schedule, why=why)
