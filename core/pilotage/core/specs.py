"""What a pilot is: the models behind pilot.yaml.

Only shape and meaning are checked here; `pilotage.core.pilots` reads the file
and says on which line something is wrong. No model looks at data.
"""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from pilotage.core.durations import Duration
from pilotage.core.hints import unknown
from pilotage.core.metrics import BINARY_ONLY, CLASS_MEASURES, GROUP_MEASURES, METRICS, Measure, Task, task_of

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
"""A DNS-1123 label."""
Column = Annotated[str, Field(min_length=1)]
Target = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""A Python function as `module:function`."""


class Model(BaseModel):
    """Base of all parts of a spec: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Misplaced(ValueError):
    """A mistake that only the whole spec shows, and the key to which it belongs."""

    def __init__(self, message: str, location: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.location = location


class FeatureKind(StrEnum):
    """How a column is treated."""

    NUMBER = "number"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    TIME = "time"


class Estimator(StrEnum):
    """The built-in estimators."""

    LOGISTIC_REGRESSION = "logistic_regression"
    """Ridge regression when the task is regression."""
    HIST_GRADIENT_BOOSTING = "hist_gradient_boosting"
    RANDOM_FOREST = "random_forest"
    LIGHTGBM = "lightgbm"
    XGBOOST = "xgboost"


class Value(Model):
    """What a prediction is worth, by outcome for classification or by error for regression."""

    true_positive: float = 0.0
    false_positive: float = 0.0
    false_negative: float = 0.0
    true_negative: float = 0.0
    per_unit_error: float = 0.0
    """Regression: worth of one unit of absolute error; negative is a cost."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Goal(Model):
    metric: str
    target: float | None = None
    value: Value | None = None

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(unknown("metric", metric, sorted(METRICS)))
        return metric


class SqlSource(Model):
    sql: Annotated[str, Field(min_length=1)]
    url: Annotated[str, Field(min_length=1)]
    """SQLAlchemy URL, or `env:NAME` to take it from the environment."""
    fingerprint: str | None = None
    """A cheap query whose result changes when the data does; without it ingest always reads."""


class PythonSource(Model):
    python: Target
    args: dict[str, Any] = {}
    fingerprint: Target | None = None
    """A cheap function of the same args whose text changes when the data does."""


def _source_kind(value: object) -> str:
    if isinstance(value, dict):
        return "python" if "python" in value else "sql"
    if isinstance(value, PythonSource):
        return "python"
    return "sql" if isinstance(value, SqlSource) else "files"


Source = Annotated[
    Annotated[str, Field(min_length=1), Tag("files")]
    | Annotated[SqlSource, Tag("sql")]
    | Annotated[PythonSource, Tag("python")],
    Discriminator(_source_kind),
]


class Split(Model):
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2


class Data(Model):
    source: Source
    target: Column
    task: Task | None = None
    positive: str | bool | int | float | None = None
    """The class that counts as positive when there are two; the last in sorted order when left out."""
    time: Column | None = None
    key: Column | None = None
    features: dict[Column, FeatureKind] | None = None
    exclude: tuple[Column, ...] = ()
    split: Split = Split()

    @model_validator(mode="after")
    def _roles(self) -> Data:
        for role, columns in {"time": [self.time], "key": [self.key], "exclude": self.exclude}.items():
            if self.target in columns:
                raise ValueError(f"`{self.target}` is the target and cannot also be `{role}`")
        if self.features is not None:
            if not self.features:
                raise ValueError("`features` names no column; leave it out to infer the features")
            if self.target in self.features:
                raise ValueError(f"`{self.target}` is the target and cannot also be a feature")
            if both := sorted(set(self.features) & set(self.exclude)):
                raise ValueError(f"`{both[0]}` is in `features` and in `exclude`")
        return self


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


class Gate(Model):
    """A condition a version must meet: limits, or a lead of at least `margin` over another model."""

    metric: str
    min: float | None = None
    max: float | None = None
    against: Against | None = None
    margin: float = 0.0
    """How much better it must be; negative: how much worse it may be."""
    by: Column | None = None

    @model_validator(mode="after")
    def _sound(self) -> Gate:
        if self.metric not in METRICS and self.metric not in set(Measure):
            raise ValueError(unknown("metric", self.metric, sorted(METRICS | set(Measure))))
        if (self.by is not None) != (self.metric in GROUP_MEASURES):
            need = "needs" if self.by is None else "does not take"
            raise ValueError(f"a gate on `{self.metric}` {need} `by`, the column whose groups are compared")
        if (self.against is None) == (self.min is None and self.max is None):
            raise ValueError("a gate says either `min` and/or `max`, or `against`")
        if self.against is None and "margin" in self.model_fields_set:
            raise ValueError("`margin` goes with `against`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("`min` is above `max`")
        return self

    @property
    def label(self) -> str:
        """The gate in one line, as reports and `--json` name it."""
        subject = f"{self.metric} by {self.by}" if self.by else self.metric
        if self.against:
            return f"{subject} against {self.against.value}"
        limits = [
            f"{sign} {limit:g}" for sign, limit in ((">=", self.min), ("<=", self.max)) if limit is not None
        ]
        return f"{subject} {' and '.join(limits)}"


class Approval(StrEnum):
    AUTO = "auto"
    MANUAL = "manual"


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


class Drift(Model):
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Share of undrifted windows that may raise an alarm, over all features together."""
    min_effect: Annotated[float, Field(ge=0)] = 0.1
    """Smallest population stability index that matters."""


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


class PilotSpec(Model):
    """One use case, as pilot.yaml says it."""

    version: Literal[1]
    pilot: Name
    owner: str = ""
    description: str = ""
    goal: Goal
    data: Data
    expectations: str | None = None
    """A Great Expectations suite, relative to pilot.yaml; drafted when left out."""
    train: Train = Train()
    gates: tuple[Gate, ...] = ()
    approval: Approval = Approval.AUTO
    serve: Serve = Serve()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()

    @model_validator(mode="after")
    def _coherent(self) -> PilotSpec:
        if self.data.task is not None and self.data.task != self.task:
            message = f"{self.goal.metric} is for {self.task}, `data.task` is {self.data.task}"
            raise Misplaced(message, ("goal", "metric"))
        for index, gate in enumerate(self.gates):
            elsewhere = gate.metric in METRICS and task_of(gate.metric) != self.task
            if elsewhere or (gate.metric in CLASS_MEASURES and self.task is Task.REGRESSION):
                raise Misplaced(f"{gate.metric} is not for {self.task}", ("gates", index, "metric"))
            if gate.metric == Measure.BUSINESS_VALUE and self.goal.value is None:
                raise Misplaced(f"{gate.metric} needs `goal.value`", ("gates", index, "metric"))
        metric = self.monitor.performance.metric
        if metric is not None and task_of(metric) != self.task:
            raise Misplaced(f"{metric} is not for {self.task}", ("monitor", "performance", "metric"))
        return self

    @property
    def task(self) -> Task:
        """Classification or regression; the goal's metric tells where `data.task` does not."""
        return task_of(self.goal.metric)

    @property
    def needs_two_classes(self) -> bool:
        """Whether the goal's metric is defined for binary targets only."""
        return self.goal.metric in BINARY_ONLY

    @property
    def all_gates(self) -> tuple[Gate, ...]:
        """The pilot's own gates behind those that are always on unless restated."""
        stated = {(gate.metric, gate.against) for gate in self.gates}
        always = (
            Gate(metric=self.goal.metric, against=against) for against in (Against.BASELINE, Against.CHAMPION)
        )
        return tuple(gate for gate in always if (gate.metric, gate.against) not in stated) + self.gates

    @property
    def performance_metric(self) -> str:
        """The metric that the monitor follows once labels are there."""
        return self.monitor.performance.metric or self.goal.metric
