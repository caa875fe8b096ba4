"""What the server and its explaining process say to each other, over a pipe that nobody else holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pilotage.core.explanations.attributions import Attribution, Budget
from pilotage.core.features import Columns
from pilotage.core.settings import Settings


@dataclass(frozen=True)
class Question:
    """Rows to explain."""

    folder: Path
    """Of the version's model."""
    columns: Columns
    budget: Budget


@dataclass(frozen=True)
class Refusal:
    """That the model cannot take a row."""

    row: int
    reason: str


@dataclass(frozen=True)
class Failure:
    """That the model could not be loaded or explained; the process' log says more."""

    reason: str


@dataclass(frozen=True)
class Greeting:
    """The first message, from the server."""

    settings: Settings
    idle_seconds: float
    """Without a question for so long, the process ends."""


Outcome = Attribution | Refusal | Failure
