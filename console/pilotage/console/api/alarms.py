"""`/api/v1/alarms`, and those of one pilot: what the monitor says is wrong."""

from __future__ import annotations

from fastapi import APIRouter

from pilotage.console.api.parameters import (
    ActorParameter,
    CursorParameter,
    DeskParameter,
    LimitParameter,
    OptionalVersionParameter,
)
from pilotage.console.api.versions import Word
from pilotage.console.operations.listings import Listing
from pilotage.console.operations.monitoring import alarms
from pilotage.console.operations.monitoring.alarms import Alarm
from pilotage.core.specs import Cause
from pilotage.pipelines.retraining.observations import AlarmState

router = APIRouter(tags=["monitoring"])


@router.get("/alarms")
def list_all_alarms(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str | None = None,
    state: AlarmState | None = None,
    cause: Cause | None = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Alarm]:
    """Alarms of all pilots, newest window first."""
    return alarms.list_alarms(desk, actor, pilot=pilot, state=state, cause=cause, cursor=cursor, limit=limit)


@router.get("/pilots/{pilot}/alarms")
def list_alarms(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    state: AlarmState | None = None,
    cause: Cause | None = None,
    version: OptionalVersionParameter = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Alarm]:
    """Alarms of one pilot, newest window first."""
    return alarms.list_alarms(
        desk, actor, pilot=pilot, state=state, cause=cause, version=version, cursor=cursor, limit=limit
    )


@router.get("/pilots/{pilot}/alarms/{alarm}")
def get_alarm(desk: DeskParameter, actor: ActorParameter, pilot: str, alarm: str) -> Alarm:
    """One alarm."""
    return alarms.get_alarm(desk, actor, pilot, alarm)


@router.post("/pilots/{pilot}/alarms/{alarm}/acknowledge")
def acknowledge(desk: DeskParameter, actor: ActorParameter, pilot: str, alarm: str, word: Word) -> Alarm:
    """Say that it was seen."""
    return alarms.acknowledge(desk, actor, pilot, alarm, why=word.why)
