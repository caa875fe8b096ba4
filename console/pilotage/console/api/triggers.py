"""`/api/v1/triggers`, and of one pilot `triggers`, `snooze` and `retrain`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.api.versions import Word
from pilotage.console.operations.execution import runs, triggers
from pilotage.console.operations.execution.runs import Run
from pilotage.console.operations.execution.triggers import Snooze, Trigger
from pilotage.console.operations.listings import Listing, Model
from pilotage.core.artifacts import TriggerState
from pilotage.core.durations import Duration

router = APIRouter(tags=["monitoring"])


class SnoozeWish(Model):
    """No retraining is to start for a while."""

    duration: Annotated[Duration, Field(gt=timedelta(0), le=triggers.LONGEST)]
    """Such as 6h, 2d or 1w."""
    why: Annotated[str, Field(min_length=1, max_length=2000)]


class Snoozed(Model):
    """The snooze of a pilot."""

    snooze: Snooze | None
    """Null where none is in force."""


@router.get("/triggers")
def list_all_triggers(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str | None = None,
    state: TriggerState | None = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Trigger]:
    """Triggers of all pilots, newest data first."""
    return triggers.list_triggers(desk, actor, pilot=pilot, state=state, cursor=cursor, limit=limit)


@router.get("/pilots/{pilot}/triggers")
def list_triggers(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    state: TriggerState | None = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Trigger]:
    """Triggers of one pilot, newest data first."""
    return triggers.list_triggers(desk, actor, pilot=pilot, state=state, cursor=cursor, limit=limit)


@router.post("/pilots/{pilot}/retrain", status_code=201)
def retrain(desk: DeskParameter, actor: ActorParameter, pilot: str, word: Word) -> Run:
    """Ask for a run now, whatever a retraining waits for."""
    return runs.start_run(desk, actor, pilot, why=word.why or "retraining was asked for")


@router.get("/pilots/{pilot}/snooze")
def get_snooze(desk: DeskParameter, actor: ActorParameter, pilot: str) -> Snoozed:
    """The snooze that is in force."""
    return Snoozed(snooze=triggers.get_snooze(desk, actor, pilot))


@router.put("/pilots/{pilot}/snooze")
def snooze(desk: DeskParameter, actor: ActorParameter, pilot: str, wish: SnoozeWish) -> Snoozed:
    """Let no retraining start for a while."""
    return Snoozed(snooze=triggers.snooze(desk, actor, pilot, wish.duration, why=wish.why))


@router.delete("/pilots/{pilot}/snooze")
def unsnooze(desk: DeskParameter, actor: ActorParameter, pilot: str, why: str = "") -> Snoozed:
    """End a snooze; tells which was ended."""
    return Snoozed(snooze=triggers.unsnooze(desk, actor, pilot, why=why))
