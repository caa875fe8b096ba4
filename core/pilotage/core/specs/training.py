"""How a pilot's model is made, and which conditions it must meet."""

from __future__ import annotations

import math
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from pilotage.core.durations import Duration
from pilotage.core.hints import unknown
from pilotage.core.metrics import (
    COST_MEASURES,
    DECIDED_MEASURES,
    GROUP_MEASURES,
    METRICS,
    SYNTHETIC_MEASURES,
    Measure,
)
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
    MLP = "mlp"
    """A network of fully connected layers, trained with PyTorch."""


DISTRIBUTED = (Estimator.XGBOOST.value, Estimator.LIGHTGBM.value, "mlp")
"""Estimators that several workers train together, each on its share of the rows."""


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


class Encoder(Model):
    """How a column of texts or images becomes numbers."""

    model: str | None = None
    """Of texts: a wheel's name, a folder with a sentence-transformers model, or a name on a hub where
    PILOTAGE_ALLOW_HUB lets it be fetched; PILOTAGE_ENCODER's when left out."""
    most_tokens: Annotated[int, Field(ge=8, le=8192)] | None = None
    """Of a text that are read; the model's own limit when left out."""
    fine_tune: bool = False
    """Whether the encoder's last layers are trained too; for `mlp`."""
    tuned_layers: Annotated[int, Field(ge=1, le=48)] = 2
    """How many of its last layers are."""
    epochs: Annotated[int, Field(ge=1, le=100)] = 4
    """The most passes of fine-tuning over the training rows; it stops when rows aside get no better."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    """Of fine-tuning."""
    backbone: str | None = None
    """Of images: an ONNX file, relative to pilot.yaml."""
    output: str | None = None
    """Which of the backbone's outputs is taken; its first when left out."""
    size: Annotated[int, Field(ge=1, le=4096)] | tuple[int, int] | None = None
    """Pixels of each side, or height and width, that images are brought to; the backbone's own when left
    out."""
    mean: tuple[float, ...] | None = None
    """By channel, of pixels from 0 to 1; what the file's metadata says, else 0."""
    std: tuple[float, ...] | None = None
    """By channel; what the file's metadata says, else 1."""

    @model_validator(mode="after")
    def _one_kind(self) -> Encoder:
        of_texts = {"model", "most_tokens", "fine_tune", "tuned_layers", "epochs", "learning_rate"}
        of_images = {"backbone", "output", "size", "mean", "std"}
        texts, images = self.model_fields_set & of_texts, self.model_fields_set & of_images
        if texts and images:
            raise ValueError(f"`{min(texts)}` is for texts and `{min(images)}` for images; a column has one")
        if self.std is not None and min(self.std, default=0.0) <= 0:
            raise ValueError("`std` needs numbers above 0")
        tuning = texts & {"tuned_layers", "epochs", "learning_rate"}
        if tuning and not self.fine_tune:
            raise ValueError(f"`{min(tuning)}` goes with `fine_tune: true`")
        return self


class Train(Model):
    estimator: str = Estimator.HIST_GRADIENT_BOOSTING.value
    params: dict[str, Any] = {}
    search: Search | None = None
    encoders: dict[Column, Encoder] = {}
    """How columns of texts and images become numbers, by column."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    resources: Resources = Resources()
    """How many workers train, and what each asks for on a cluster."""

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


_WITH_INTERVALS = SYNTHETIC_MEASURES - {Measure.SYNTHETIC_FIDELITY, Measure.SYNTHETIC_COPIES}


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
        if self.metric in DECIDED_MEASURES and (self.min is None or self.max is not None):
            raise ValueError(f"a gate on `{self.metric}` says `min`, from 0 to 7, and nothing else")
        if (self.against is None) == (self.min is None and self.max is None):
            raise ValueError("a gate says either `min` and/or `max`, or `against`")
        self._require_sound_groups()
        if self.metric in COST_MEASURES and self.against is not None:
            raise ValueError(f"a gate on `{self.metric}` says `max`, not `against`")
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
        if self.at is not At.VALUE and self.metric not in METRICS | GROUP_MEASURES | _WITH_INTERVALS:
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
