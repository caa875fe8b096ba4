"""What asked for retrainings, letting them wait, and asking for one now."""

from __future__ import annotations

from datetime import datetime, timedelta

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model
from pilotage.core.artifacts import TriggerState
from pilotage.core.specs import Cause


class Trigger(Model):
    """A request to retrain."""

    id: str
    pilot: str
    version: int
    alarm: str
    cause: Cause
    at: datetime
    """In the data's own time."""
    reason: str
    state: TriggerState
    opened_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    run: str | None
    waits_for: str | None
    until: datetime | None


class Snooze(Model):
    """No retraining of a pilot starts before."""

    pilot: str
    until: datetime
    who: str
    why: str
    at: datetime


class Retraining(Model):
    """A retraining that was asked for."""

    pilot: str
    run: str


def list_triggers(
    desk: Desk,
    actor: Actor,
    *,
    pilot: str | None = None,
    state: TriggerState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Listing[Trigger]:
    """Triggers of one pilot, or of all that the actor may look at, newest data first."""
    raise NotImplementedError


def get_snooze(desk: Desk, actor: Actor, pilot: str) -> Snooze | None:
    """The snooze that is in force."""
    raise NotImplementedError


def snooze(desk: Desk, actor: Actor, pilot: str, duration: timedelta, *, why: str) -> Snooze:
    """Let no retraining start for a while."""
    raise NotImplementedError


def unsnooze(desk: Desk, actor: Actor, pilot: str, *, why: str = "") -> Snooze | None:
    """End a snooze; returns it, or None when there was none."""
    raise NotImplementedError


def retrain(desk: Desk, actor: Actor, pilot: str, *, why: str = "") -> Retraining:
    """Ask for a run now, whatever waits."""
    raise NotImplementedError
