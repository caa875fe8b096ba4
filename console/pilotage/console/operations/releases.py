"""Which version was champion when, by whose word and why: the audit read as a history."""

from __future__ import annotations

from datetime import datetime

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model


class Release(Model):
    """A version that became champion."""

    pilot: str
    version: int
    replaced: int | None
    """The champion before."""
    action: str
    """`promoted` by Pilotage; `promote`, `approve` or `rollback` by a person."""
    who: str
    why: str
    at: datetime
    until: datetime | None
    """When the next one took its place; null while it serves."""


def list_releases(
    desk: Desk, actor: Actor, pilot: str, *, cursor: str | None = None, limit: int = 50
) -> Listing[Release]:
    """Champions of a pilot, newest first."""
    raise NotImplementedError
