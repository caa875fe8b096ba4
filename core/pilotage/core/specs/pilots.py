"""The whole of pilot.yaml, and what only the whole can tell."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pilotage.core.metrics import (
    BINARY_ONLY,
    CLASS_MEASURES,
    DECIDED_MEASURES,
    METRICS,
    NUMBER_MEASURES,
    SYNTHETIC_MEASURES,
    Measure,
    Task,
    task_of,
)
from pilotage.core.specs.bases import Misplaced, Model, Name
from pilotage.core.specs.cards import Card
from pilotage.core.specs.clusters import SHARED_STEPS, Cluster, Step
from pilotage.core.specs.data import EMBEDDED, Data, FeatureKind
from pilotage.core.specs.goals import Goal
from pilotage.core.specs.monitoring import Monitor, Season
from pilotage.core.specs.retraining import Retrain
from pilotage.core.specs.serving import Serve
from pilotage.core.specs.training import DISTRIBUTED, Against, Approval, At, Estimator, Gate, Train

LEAK_GATES = (
    Gate(metric=Measure.SYNTHETIC_COPIES, max=0.01),
    Gate(metric=Measure.SYNTHETIC_CLOSENESS, max=0.55, at=At.LOW),
    Gate(metric=Measure.SYNTHETIC_MEMBERSHIP, max=0.55, at=At.LOW),
)
"""What synthetic rows may give away of training rows, unless gates say otherwise: shares of few rows are
off by chance, so it is the lower end of their intervals that has to lie near guessing."""


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
            if gate.metric in SYNTHETIC_MEASURES and self.data.augment is None:
                raise Misplaced(f"{gate.metric} needs `data.augment`", ("gates", index, "metric"))
        augment = self.data.augment
        if augment is not None and self.task is Task.REGRESSION and not augment.rows:
            raise Misplaced("regression has no classes; say `rows`", ("data", "augment"))
        metric = self.monitor.performance.metric
        if metric is not None and task_of(metric) != self.task:
            raise Misplaced(f"{metric} is not for {self.task}", ("monitor", "performance", "metric"))
        if self.monitor.drift.season is not Season.NONE and self.data.time is None:
            raise Misplaced("a season needs `data.time`", ("monitor", "drift", "season"))
        self._check_encoders()
        training = self.cluster.steps.get("train", Step())
        if training.resources is not None:
            raise Misplaced(
                "resources of training are said in `train.resources`",
                ("cluster", "steps", "train", "resources"),
            )
        for name, step in self.cluster.steps.items():
            if step.resources is not None and step.resources.workers > 1 and name not in SHARED_STEPS:
                raise Misplaced(
                    f"step `{name}` has one worker", ("cluster", "steps", name, "resources", "workers")
                )
        return self

    @model_validator(mode="after")
    def _shared(self) -> PilotSpec:
        """Several workers need something that they can share: rows, or the trials of a search."""
        train = self.train
        embedded = [name for name, kind in (self.data.features or {}).items() if kind in EMBEDDED]
        if train.resources.workers > 1 and embedded:
            raise Misplaced(
                f"`{embedded[0]}` is a text or an image, which one process encodes; take one worker",
                ("train", "resources", "workers"),
            )
        if train.resources.workers > 1 and self.data.augment is not None:
            raise Misplaced(
                "synthetic rows are made in one process; take one worker",
                ("train", "resources", "workers"),
            )
        if train.resources.workers > 1 and train.estimator not in DISTRIBUTED and train.search is None:
            raise Misplaced(
                f"`{train.estimator}` trains in one process; take {', '.join(DISTRIBUTED[:-1])} or"
                f" {DISTRIBUTED[-1]}, or `train.search`, whose trials workers share, or one worker",
                ("train", "resources", "workers"),
            )
        return self

    def _check_encoders(self) -> None:
        """Raise Misplaced where an encoder does not fit its column or the estimator."""
        kinds, own = self.data.features or {}, ":" in self.train.estimator
        for name, encoder in self.train.encoders.items():
            place = ("train", "encoders", name)
            kind = kinds.get(name)
            if kind not in EMBEDDED:
                raise Misplaced(f"`{name}` is not a text or an image under `data.features`", place)
            if own:
                raise Misplaced("an estimator of one's own gets texts and images as they are", place)
            if encoder.fine_tune and self.train.estimator != Estimator.MLP:
                raise Misplaced("only `estimator: mlp` can be fine-tuned with", (*place, "fine_tune"))
            if kind is FeatureKind.TEXT and encoder.backbone is not None:
                raise Misplaced("a backbone is for images", (*place, "backbone"))
            if kind is FeatureKind.IMAGE and encoder.backbone is None:
                raise Misplaced("an image needs `backbone`, an ONNX file", place)
        for name, kind in kinds.items():
            if kind is FeatureKind.IMAGE and name not in self.train.encoders and not own:
                raise Misplaced(
                    f"image `{name}` needs `train.encoders: {{{name}: {{backbone: FILE.onnx}}}}`",
                    ("data", "features", name),
                )

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
        """What steps judge: the pilot's own gates behind those that are always on unless restated."""
        stated = {(gate.metric, gate.against) for gate in self.gates}
        always = [
            Gate(metric=self.goal.metric, against=against) for against in (Against.BASELINE, Against.CHAMPION)
        ]
        if self.data.augment is not None:
            always += LEAK_GATES
        return tuple(gate for gate in always if (gate.metric, gate.against) not in stated) + tuple(
            gate for gate in self.gates if gate.metric not in DECIDED_MEASURES
        )

    @property
    def decided_gates(self) -> tuple[Gate, ...]:
        """What is judged where a version is promoted or released."""
        return tuple(gate for gate in self.gates if gate.metric in DECIDED_MEASURES)

    @property
    def performance_metric(self) -> str:
        """The metric that the monitor follows once labels are there."""
        return self.monitor.performance.metric or self.goal.metric
