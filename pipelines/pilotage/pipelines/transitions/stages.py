"""The stages of a transition, and one as it is known now. Nothing is changed here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row


class Stage(StrEnum):
    """How far a version is on its way."""

    ASKED = "asked"
    """Waits for its commit."""
    COMMITTED = "committed"
    """Waits for the cluster, or for a person who merges or confirms."""
    LIVE = "live"
    """The cluster runs nothing else; becomes champion now."""
    DONE = "done"
    REVERTING = "reverting"
    """Its commit is taken back now."""
    REVERTED = "reverted"
    YIELDING = "yielding"
    """Another took its place; the registry is to say so."""
    SUPERSEDED = "superseded"


OPEN = (Stage.ASKED, Stage.COMMITTED, Stage.LIVE, Stage.REVERTING, Stage.YIELDING)
"""Something is to be done."""
UNDER_WAY = (Stage.ASKED, Stage.COMMITTED, Stage.LIVE)
"""It may still become champion."""
GIVEN_UP = (Stage.REVERTING, Stage.REVERTED, Stage.YIELDING, Stage.SUPERSEDED)
HALTABLE = (Stage.ASKED, Stage.COMMITTED)
"""It may be taken back, or give way."""


@dataclass(frozen=True)
class Transition:
    """One version on its way, or at its end."""

    id: str
    pilot: str
    version: int
    environment: str
    action: str
    """Whose word it was: `promoted` by Pilotage; `promote`, `approve` or `rollback` by a person."""
    who: str
    why: str
    forced: bool
    """Gates and a rejection are overruled."""
    run: str | None
    stage: Stage
    asked_at: datetime
    commit: str | None
    branch: str | None
    url: str | None
    """Where people see the commit, or the pull request that waits."""
    committed_at: datetime | None
    seen_at: datetime | None
    taken_up_at: datetime | None
    progress: Any
    looked_at: datetime | None
    stalled_seconds: float
    """How long it was seen without progress; time in which nobody looked does not count."""
    standing: str
    """Where it stands and what it waits for, in words."""
    trouble: str | None
    """Why the next hop cannot be made now."""
    trouble_since: datetime | None
    attempts: int
    next_at: datetime
    replaced: int | None
    outcome: str | None
    reason: str
    """Why it ended as it did."""
    ended_by: str | None
    ended_at: datetime | None

    @property
    def told(self) -> str:
        """Where it stands, in one sentence."""
        if self.trouble is None:
            return self.standing or self.reason
        since = f" since {self.trouble_since:%Y-%m-%d %H:%M} UTC" if self.trouble_since else ""
        return f"{self.standing or 'it cannot go on'}; trouble{since}: {self.trouble.rstrip('.')}"


def transition(row: Row[Any]) -> Transition:
    """A row of the table."""
    return Transition(**{**row._mapping, "stage": Stage(row.stage)})
