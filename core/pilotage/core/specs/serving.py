"""How a pilot is served, and how a new version takes over."""

from __future__ import annotations

import itertools
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from pilotage.core.durations import Duration
from pilotage.core.specs.bases import Model


class Replicas(Model):
    min: Annotated[int, Field(ge=1)] = 1
    max: Annotated[int, Field(ge=1)] = 3

    @model_validator(mode="after")
    def _ordered(self) -> Replicas:
        if self.min > self.max:
            raise ValueError("`min` is above `max`")
        return self


class Strategy(StrEnum):
    SWAP = "swap"
    CANARY = "canary"
    SHADOW = "shadow"


class Bounds(Model):
    """How much worse than the champion a challenger may be before its rollout is halted."""

    errors: Annotated[float, Field(ge=0, lt=1)] | None = 0.01
    """Share of requests that may fail on the challenger beyond the champion's share; null: any."""
    latency: Annotated[float, Field(ge=1)] | None = 1.5
    """Ratio of the models' p99 times on batches of like size; null: any."""
    score: Annotated[float, Field(gt=0)] | None = 0.2
    """Population stability index between the scores of both versions on the same traffic; null: any."""


class Rollout(Model):
    strategy: Strategy = Strategy.SWAP
    steps: tuple[Annotated[int, Field(gt=0, lt=100)], ...] = ()
    """Percent of traffic for the challenger, step by step; 10 and 50 for a canary when left out."""
    pause: Duration = timedelta(minutes=5)
    """Least time between two steps."""
    bounds: Bounds = Bounds()
    min_requests: Annotated[int, Field(ge=1)] = 200
    """Requests that either version must have answered in a step before the next."""

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
            raise ValueError("expected percentages that rise from step to step, such as [10, 50]")
        return steps

    @property
    def shares(self) -> tuple[int, ...]:
        """Percent of the traffic by step; 0 where the challenger sees copies only, nothing for a swap."""
        if self.strategy is Strategy.SWAP:
            return ()
        return (0, *self.steps) if self.strategy is Strategy.SHADOW else self.steps or (10, 50)


class Serve(Model):
    replicas: Replicas = Replicas()
    cpu: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?m?$")] = "500m"
    memory: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$")] = "512Mi"
    p99_ms: Annotated[float, Field(gt=0)] = 100.0
    rollout: Rollout = Rollout()
