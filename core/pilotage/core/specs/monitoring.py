"""What is watched while a pilot is served, and what may ask for a retraining."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator

from pilotage.core.durations import Duration
from pilotage.core.hints import unknown
from pilotage.core.metrics import METRICS
from pilotage.core.specs.bases import Model


class Season(StrEnum):
    """What times of the reference a window is compared with."""

    NONE = "none"
    """All of them."""
    WEEKDAY = "weekday"
    HOUR = "hour"
    """Of the day."""


class Drift(Model):
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Share of undrifted windows that may raise an alarm, over all features together."""
    min_effect: Annotated[float, Field(ge=0)] = 0.1
    """Smallest population stability index that matters."""
    persistence: Annotated[int, Field(ge=1, le=100)] = 1
    """Windows in a row in which a column must have drifted before an alarm is raised."""
    rows_together: bool = True
    """Whether whole rows are compared too, which finds changes that no column shows alone."""
    season: Season = Season.NONE
    """Compare a window with the reference's rows of the same weekday or hour (UTC) only."""


class Performance(Model):
    metric: str | None = None
    """The goal's when left out."""
    max_drop: Annotated[float, Field(gt=0)] = 0.05

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str | None) -> str | None:
        if metric is not None and metric not in METRICS:
            raise ValueError(unknown("metric", metric, sorted(METRICS)))
        return metric


class Monitor(Model):
    window: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(hours=1)
    drift: Drift = Drift()
    performance: Performance = Performance()


class Cause(StrEnum):
    """Why a retraining may be asked for."""

    DRIFT = "drift"
    PERFORMANCE = "performance"
