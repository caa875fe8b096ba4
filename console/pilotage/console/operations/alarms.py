"""Alarms: what the monitor says is wrong, and that somebody has seen it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model
from pilotage.core.specs import Cause
from pilotage.pipelines.observations import AlarmState


class Alarm(Model):
    """The monitor's verdict that something changed."""

    pilot: str
    id: str
    version: int
    cause: Cause
    start: datetime
    end: datetime
    message: str
    features: tuple[str, ...]
    value: float | None
    limit: float | None
    raised_at: datetime
    state: AlarmState
    acknowledged_at: datetime | None
    who: str | None
    """Acknowledged it."""
    why: str | None
    closed_at: datetime | None
    closed_why: str | None
    details: dict[str, Any]
    """The alarm as the monitor wrote it."""


def list_alarms(
    desk: Desk,
    actor: Actor,
    *,
    pilot: str | None = None,
    state: AlarmState | None = None,
    cause: Cause | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Listing[Alarm]:
    """Alarms of one pilot, or of all that the actor may look at, newest first."""
    raise NotImplementedError


def get_alarm(desk: Desk, actor: Actor, pilot: str, alarm: str) -> Alarm:
    """One alarm.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    raise NotImplementedError


def acknowledge(desk: Desk, actor: Actor, pilot: str, alarm: str, *, why: str = "") -> Alarm:
    """Say that it was seen; the same again changes nothing."""
    raise NotImplementedError
