"""How a pilot's model is made, and which conditions it must meet."""

from __future__ import annotations

import math
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from pilotage.core.durations import Duration
from pilotage.core.hints import unknown
from pilotage.core.metrics import COST_MEASURES, GROUP_MEASURES, METRICS, Measure
from pilotage.core.specs.bases import Column, Model
from pilotage.core.specs.clusters import Resources
from pilotage.core.specs.groupings import FEWEST_ROWS, Grouping, SmallGroups


class Estimator(StrEnum):
    """The built-in estimators."""

    LOGISTIC_REGRESSION = "logistic_regression"
    """Ridge regression when the task is regression."""
    HIST_GRADIENT_BOOSTING = "hist_gradient_boosting"
    RANDOM_FOREST = "random_forest"
    LIGHTGBM = "lightgbm"
    XGBOOST = "xgboost"


class Range(Model):
    """One dimension of a search: an interval or a list of choices."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    choices: tuple[str | bool | int | float | None, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _integers(cls, value: Any) -> Any:
        if isinstance(value, dict) and "integer" not in value:
            whole = all(type(value.get(end)) is int for end in ("low", "high"))
            return {**value, "integer": whole and value.get("choices") is None}
        return value

    @model_validator(mode="after")
    def _complete(self) -> Range:
        if self.choices is not None:
            if not self.choices or self.low is not None or self.high is not None:
                raise ValueError("a range is either {low, high} or {choices: [a, b, …]}")
        elif self.low is None or self.high is None or self.low >= self.high:
            raise ValueError("a range needs `low` below `high`")
        elif self.log and self.low <= 0:
            raise ValueError("a logarithmic range needs `low` above 0")
        elif self.integer and math.ceil(self.low) > math.floor(self.high):
            raise ValueError("a range of whole numbers needs one between `low` and `high`")
        return self


class Search(Model):
    trials: Annotated[int, Field(ge=1, le=10_000)] = 20
    timeout: Duration = timedelta(minutes=10)
    space: Annotated[dict[str, Range], Field(min_length=1)]


class Train(Model):
    estimator: str = Estimator.HIST_GRADIENT_BOOSTING.value
    params: dict[str, Any] = {}
    search: Search | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    resources: Resources = Resources()
    """What training asks for on a cluster."""

    @field_validator("estimator")
    @classmethod
    def _known(cls, estimator: str) -> str:
        if estimator not in set(Estimator) and ":" not in estimator:
            raise ValueError(
                unknown("estimator", estimator, sorted(Estimator)) + " (your own: `module:function`)"
            )
        module, _, function = estimator.partition(":")
        names = [*module.split("."), function]
        if ":" in estimator and not all(name.isidentifier() for name in names):
            raise ValueError(f"`{estimator}` is not of the form `module:function`")
        return estimator


class Against(StrEnum):
    CHAMPION = "champion"
    BASELINE = "baseline"


class At(StrEnum):
    """Which number of an estimate a limit is held against."""

    VALUE = "value"
    LOW = "low"
    """The lower end of its 95 % interval."""
    HIGH = "high"
    """The upper end."""


class Gate(Model):
    """A condition a version must meet: limits, or a lead of at least `margin` over another model."""

    metric: str
    min: float | None = None
    max: float | None = None
    against: Against | None = None
    margin: float = 0.0
    """How much better it must be; negative: how much worse it may be."""
    by: Column | Annotated[tuple[Column, ...], Field(min_length=1, max_length=4)] | None = None
    """A column whose groups are compared, or several, whose combinations are."""
    min_group: Annotated[int, Field(ge=2, le=1_000_000)] = FEWEST_ROWS
    """Rows that a group must have to be compared."""
    small_groups: SmallGroups = SmallGroups.EXCLUDE
    at: At = At.VALUE

    @model_validator(mode="after")
    def _sound(self) -> Gate:
        if self.metric not in METRICS and self.metric not in set(Measure):
            raise ValueError(unknown("metric", self.metric, sorted(METRICS | set(Measure))))
        if (self.by is not None) != (self.metric in GROUP_MEASURES):
            need = "needs" if self.by is None else "does not take"
            raise ValueError(f"a gate on `{self.metric}` {need} `by`, the column whose groups are compared")
        if (self.against is None) == (self.min is None and self.max is None):
            raise ValueError("a gate says either `min` and/or `max`, or `against`")
        if self.metric in COST_MEASURES and self.against is not None:
            raise ValueError(f"a gate on `{self.metric}` says `max`, not `against`")
        self._require_sound_groups()
        if self.against is None and "margin" in self.model_fields_set:
            raise ValueError("`margin` goes with `against`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("`min` is above `max`")
        return self

    def _require_sound_groups(self) -> None:
        """Raise ValueError where what is said of groups or intervals means nothing."""
        if self.by is None and self.model_fields_set & {"min_group", "small_groups"}:
            raise ValueError("`min_group` and `small_groups` go with `by`")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("`by` names a column twice")
        if self.at is not At.VALUE and self.against is not None:
            raise ValueError("`at` goes with `min` and `max`")
        if self.at is not At.VALUE and self.metric not in METRICS | GROUP_MEASURES:
            raise ValueError(f"`{self.metric}` has no interval; leave `at` out")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose groups are compared."""
        if self.by is None:
            return ()
        return (self.by,) if isinstance(self.by, str) else self.by

    @property
    def grouping(self) -> Grouping | None:
        """How rows are parted for it; None where it is about all of them."""
        return Grouping(self.columns, self.min_group, self.small_groups) if self.by is not None else None

    @property
    def subject(self) -> tuple[str, str | None]:
        """The metric or measure, and the name of its grouping: what its value is found under."""
        return self.metric, None if self.grouping is None else self.grouping.label

    @property
    def label(self) -> str:
        """The gate in one line, as reports and `--json` name it."""
        subject = f"{self.metric} by {self.grouping.label}" if self.grouping else self.metric
        if self.at is not At.VALUE:
            subject = f"{self.at.value} end of {subject}"
        if self.against:
            return f"{subject} against {self.against.value}"
        limits = [
            f"{sign} {limit:g}" for sign, limit in ((">=", self.min), ("<=", self.max)) if limit is not None
        ]
        return f"{subject} {' and '.join(limits)}"


class Approval(StrEnum):
    AUTO = "auto"
    MANUAL = "manual"
