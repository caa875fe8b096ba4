"""From challenger to champion under traffic: a rollout, and what it compared."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pilotage.core.artifacts.bases import Artifact, Part
from pilotage.core.specs import Bounds, Strategy

Count = Annotated[int, Field(ge=0)]


class Side(Part):
    """What one of two versions did; sums of calls, so that replicas add up."""

    requests: Count = 0
    failures: Count = 0
    """Requests that failed on this version."""
    rows: Count = 0
    times: dict[int, dict[int, Count]] = {}
    """Calls of the model by size class of their rows and by cell of their time."""
    scores: tuple[Count, ...] = ()
    """Rows by the cells of the champion's score profile."""


class Comparison(Artifact):
    """What one replica, or all together, saw of both versions in one step of a rollout."""

    FILE = "comparison.json"
    kind: Literal["comparison"] = "comparison"
    schema_version: Literal[1] = 1
    pilot: str
    step: int
    champion: Side = Side()
    challenger: Side = Side()
    copied: Count = 0
    """Requests whose copy the challenger answered, unseen by the client."""
    dropped: Count = 0
    """Copies that the challenger was too busy for."""
    compared: Count = 0
    """Rows that both versions answered."""
    agreed: Count = 0
    """Of those, rows with the same prediction."""
    distance: Annotated[float, Field(ge=0)] = 0.0
    """Sum, over those rows, of the absolute difference of the scores."""


class Measured(Part):
    """A comparison in figures, as bounds are held against them."""

    requests: Count
    """That the challenger answered."""
    champion_requests: Count
    errors: float
    """Share of failed requests beyond the champion's."""
    latency: float | None = None
    """Ratio of the models' p99 times; None while there is too little to tell."""
    score: float | None = None
    """Population stability index of the scores, bias-corrected; None while there is too little to tell."""
    agreement: float | None = None
    """Share of copied rows with the same prediction."""
    distance: float | None = None
    """Mean absolute difference of the scores of copied rows."""
    copied: Count = 0
    dropped: Count = 0
    beyond: str = ""
    """Which bound the challenger is beyond, in words; empty when within all."""


class Stage(Part):
    """A step of a rollout that is over."""

    share: int
    started_at: AwareDatetime
    ended_at: AwareDatetime
    measured: Measured | None = None


class RolloutState(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    """The challenger became champion."""
    HALTED = "halted"
    """The challenger was taken back."""


class Rollout(Artifact):
    """A challenger's way to become champion, step by step."""

    FILE = "rollout.json"
    kind: Literal["rollout"] = "rollout"
    schema_version: Literal[1] = 1
    pilot: str
    champion: int
    challenger: int
    strategy: Strategy
    steps: Annotated[tuple[int, ...], Field(min_length=1)]
    """Percent of the requests that the challenger answers; 0 where it sees copies only."""
    pause_seconds: Annotated[float, Field(ge=0)]
    bounds: Bounds
    min_requests: Annotated[int, Field(ge=1)]
    step: Count = 0
    """Position in `steps`."""
    state: RolloutState = RolloutState.RUNNING
    reason: str = ""
    """Why it goes on or ended."""
    started_at: AwareDatetime
    step_started_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    """When everything that its end takes was done; None while something is left to do."""
    ended_by: str = ""
    """Who ended it; Pilotage itself when empty."""
    measured: Measured | None = None
    """In the step that goes on, or went on last."""
    stages: tuple[Stage, ...] = ()
    """The steps before."""

    @property
    def share(self) -> int:
        """Percent of the requests that the challenger answers now."""
        return self.steps[min(self.step, len(self.steps) - 1)] if self.running else 0

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.state is RolloutState.RUNNING
