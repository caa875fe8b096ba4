"""The whole of pilot.yaml, and what only the whole can tell."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pilotage.core.metrics import (
    BINARY_ONLY,
    CLASS_MEASURES,
    METRICS,
    NUMBER_MEASURES,
    Measure,
    Task,
    task_of,
)
from pilotage.core.specs.bases import Misplaced, Model, Name
from pilotage.core.specs.cards import Card
from pilotage.core.specs.clusters import Cluster, Step
from pilotage.core.specs.data import Data
from pilotage.core.specs.goals import Goal
from pilotage.core.specs.monitoring import Monitor, Season
from pilotage.core.specs.retraining import Retrain
from pilotage.core.specs.serving import Serve
from pilotage.core.specs.training import Against, Approval, Gate, Train


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
    card: Card = Card()
    """What the model card says besides what was measured."""
    serve: Serve = Serve()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    cluster: Cluster = Cluster()
    """What the steps need on a cluster, besides `train.resources`."""

    @model_validator(mode="after")
    def _coherent(self) -> PilotSpec:
        if self.data.task is not None and self.data.task != self.task:
            message = f"{self.goal.metric} is for {self.task}, `data.task` is {self.data.task}"
            raise Misplaced(message, ("goal", "metric"))
        for index, gate in enumerate(self.gates):
            elsewhere = gate.metric in METRICS and task_of(gate.metric) != self.task
            if elsewhere or gate.metric in (
                CLASS_MEASURES if self.task is Task.REGRESSION else NUMBER_MEASURES
            ):
                raise Misplaced(f"{gate.metric} is not for {self.task}", ("gates", index, "metric"))
            if gate.metric == Measure.BUSINESS_VALUE and self.goal.value is None:
                raise Misplaced(f"{gate.metric} needs `goal.value`", ("gates", index, "metric"))
        metric = self.monitor.performance.metric
        if metric is not None and task_of(metric) != self.task:
            raise Misplaced(f"{metric} is not for {self.task}", ("monitor", "performance", "metric"))
        if self.monitor.drift.season is not Season.NONE and self.data.time is None:
            raise Misplaced("a season needs `data.time`", ("monitor", "drift", "season"))
        training = self.cluster.steps.get("train", Step())
        if training.resources is not None:
            raise Misplaced(
                "resources of training are said in `train.resources`",
                ("cluster", "steps", "train", "resources"),
            )
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
