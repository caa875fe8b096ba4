"""What is watched while a pilot is served, and when it is trained again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from cronsim import CronSim, CronSimError
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


class Retrain(Model):
    schedule: str | None = None
    """A cron expression of five fields, in UTC."""
    on: tuple[Cause, ...] = (Cause.DRIFT, Cause.PERFORMANCE)
    cooldown: Duration = timedelta(hours=24)

    @field_validator("schedule")
    @classmethod
    def _cron(cls, schedule: str | None) -> str | None:
        if schedule is not None:
            try:
                CronSim(schedule, datetime(2026, 1, 1, tzinfo=UTC))
            except CronSimError as error:
                raise ValueError(
                    f"`{schedule}` is not a cron expression such as `0 3 * * 1` ({error})"
                ) from error
        return schedule
