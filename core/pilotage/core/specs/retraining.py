"""When a pilot is trained again, and what makes a retraining wait.

Cooldown and budget are counted in the data's own time, quiet hours on the wall
clock of a place. Who starts a run, and when, is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from pilotage.core.durations import Duration
from pilotage.core.specs.bases import Model
from pilotage.core.specs.monitoring import Cause

_CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_MINUTE = timedelta(minutes=1)
_LONGEST_QUIET = timedelta(days=2)
"""Longer than any hours that leave a gap on every day, whatever the zones."""


def _clock(value: object) -> time:
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or not re.match(_CLOCK, value):
        raise ValueError(f'a time of day is written "22:00", from "00:00" to "23:59", not `{value}`')
    return time.fromisoformat(value)


Clock = Annotated[
    time,
    BeforeValidator(_clock),
    PlainSerializer(lambda value: f"{value:%H:%M}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": _CLOCK, "examples": ["22:00"]}),
]
"""A pydantic field for times of day."""


class Budget(Model):
    runs: Annotated[int, Field(ge=1)]
    per: Duration
    """In the data's own time."""


class Monthly(Model):
    """What the runs of a pilot may use in a calendar month, in UTC; retrainings wait for the next then."""

    cost: Annotated[float, Field(gt=0)] | None = None
    """In the currency of the installation's prices."""
    cpu_hours: Annotated[float, Field(gt=0)] | None = None
    gpu_hours: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Monthly:
        if self.cost is None and self.cpu_hours is None and self.gpu_hours is None:
            raise ValueError("say `cost`, `cpu_hours` or `gpu_hours`")
        return self


class QuietHours(Model):
    """Hours of every day, on the clock of a place, in which no retraining starts."""

    model_config = ConfigDict(serialize_by_alias=True)

    begin: Annotated[Clock, Field(alias="from")]
    end: Annotated[Clock, Field(alias="to")]
    """The first minute that is not quiet; on the next day where it is before `from`."""
    time_zone: str = "UTC"
    """A name of the IANA time zone database, such as Europe/Berlin."""

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"`{name}` is no time zone such as Europe/Berlin or UTC") from error
        return name

    def holds(self, moment: datetime) -> bool:
        """Whether the clock of the place shows one of these hours at `moment`, which is aware."""
        shown = moment.astimezone(ZoneInfo(self.time_zone)).time()
        if self.begin < self.end:
            return self.begin <= shown < self.end
        return shown >= self.begin or shown < self.end


def quiet_until(hours: Sequence[QuietHours], moment: datetime) -> datetime | None:
    """When the quiet hours that hold at `moment` end; None when none hold.

    The clock is read minute by minute, so that days with a changed clock need no rule:
    an hour that comes twice is quiet twice, one that is left out ends nothing late.

    Raises:
        ValueError: they leave no gap.
    """
    if not any(part.holds(moment) for part in hours):
        return None
    end = moment.astimezone(UTC).replace(second=0, microsecond=0)
    last = end + _LONGEST_QUIET
    while any(part.holds(end) for part in hours):
        end += _MINUTE
        if end > last:
            raise ValueError("they cover the whole day, so that no retraining could ever start")
    return end


class Retrain(Model):
    schedule: str | None = None
    """A cron expression of five fields, in UTC."""
    on: tuple[Cause, ...] = (Cause.DRIFT, Cause.PERFORMANCE)
    cooldown: Duration = timedelta(hours=24)
    """In the data's own time."""
    budget: Budget | None = None
    monthly: Monthly | None = None
    quiet_hours: tuple[QuietHours, ...] = ()

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

    @field_validator("quiet_hours")
    @classmethod
    def _leave_a_gap(cls, hours: tuple[QuietHours, ...]) -> tuple[QuietHours, ...]:
        for part in hours:
            if part.begin == part.end:
                raise ValueError(f"from {part.begin:%H:%M} to {part.end:%H:%M} is no time or all day")
        for season in (datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC)):
            quiet_until(hours, season)
        return hours
