"""How ready a pilot is for production, over time, and what people vouch for.

What earns a point is in `pipelines.readiness`; here it is asked whether the actor may look, or vouch.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model
from pilotage.pipelines.readiness import histories, judgements, notes
from pilotage.pipelines.readiness.scores import Readiness

MOST_ENTRIES = 400
"""Of a history, the latest."""


class Note(Model):
    """Somebody's word that a test was done by hand."""

    id: str
    pilot: str
    test: str
    text: str
    who: str
    at: datetime
    until: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None


class Entry(Model):
    """How ready a pilot was."""

    id: str
    pilot: str
    at: datetime
    version: int | None
    """That was judged; null while there was no champion."""
    score: float
    sections: dict[str, float]
    points: dict[str, float]
    """By test."""


def get_readiness(desk: Desk, actor: Actor, pilot: str) -> Readiness:
    """How ready a pilot is now.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    specs.find(desk, actor, pilot)
    return judgements.assess(desk.settings, pilot, engine=desk.engine, registry=desk.registry)


def list_history(desk: Desk, actor: Actor, pilot: str, limit: int = MOST_ENTRIES) -> Listing[Entry]:
    """How ready it was, the latest entries, the oldest of them first.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    specs.find(desk, actor, pilot)
    found = histories.listed(desk.engine, pilot, limit)
    return Listing(items=tuple(Entry(**vars(entry)) for entry in found))


def list_notes(desk: Desk, actor: Actor, pilot: str) -> Listing[Note]:
    """What people vouched for, newest first, also what holds no more.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    specs.find(desk, actor, pilot)
    return Listing(items=tuple(_note(note) for note in notes.listed(desk.engine, pilot)))


def add_note(
    desk: Desk, actor: Actor, pilot: str, test: str, text: str, *, until: datetime | None = None
) -> Note:
    """Vouch for a test.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
        Forbidden: the actor may not; it takes who may approve, for a gate may ask for readiness.
        SettingsError: there is no such test, nothing is said, or the time is past or too far away.
    """
    _require(desk, actor, pilot)
    return _note(notes.add(desk.engine, pilot, test, text, who=actor.name, until=until))


def withdraw_note(desk: Desk, actor: Actor, pilot: str, note: str, *, why: str = "") -> Note:
    """Take a note back; the same again changes nothing.

    Raises:
        NotFound: the pilot or the note is not there, or not for this actor.
        Forbidden: the actor may not.
    """
    _require(desk, actor, pilot)
    return _note(notes.withdraw(desk.engine, pilot, note, who=actor.name, why=why.strip()))


def _require(desk: Desk, actor: Actor, pilot: str) -> None:
    specs.find(desk, actor, pilot)
    actor.require(Permission.APPROVE, pilot)


def _note(note: notes.Note) -> Note:
    values: dict[str, Any] = vars(note)
    return Note(**values)
