"""What a section of the page Responsible is, and what it is told; nothing is read here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.models.versions import Version
from pilotage.core.artifacts import Scorecard
from pilotage.core.specs import PilotSpec


@dataclass(frozen=True)
class Subject:
    """What sections speak of."""

    desk: Desk
    actor: Actor
    pilot: str
    version: Version | None
    """The one that is shown; None before there is any."""
    scorecard: Scorecard | None
    """Its own; None where there is none that can be read."""
    spec: PilotSpec | None
    """pilot.yaml as it was last read; None where this installation was never given it."""


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    key: str
    """Of its heading's id, unique on the page."""
    title: str
    template: str
    """Below `templates/`; it sees `section`, `subject` and all that the page has."""
    note: str = ""
    """Beside the title."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """What the template shows, as `section.values.NAME`."""


Show = Callable[[Subject], Section | None]
"""A section of a subject; None where there is nothing to say, not even that something is missing."""
