"""What a model leans on has the importance, whatever it predicts, within a budget of time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from pilotage.components.datasets import Dataset
from pilotage.components.training import estimators, importances
from pilotage.core.artifacts import Feature
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind

FEATURES = tuple(Feature(name=name, kind=FeatureKind.NUMBER) for name in ("much", "little", "nothing"))
ROWS = 3000


class Answers:
    """Answers by rule, as slowly as told, and counts how it was asked."""

    def __init__(self, seconds_a_row: float = 0.0) -> None:
        self.seconds_a_row = seconds_a_row
        self.asked: list[int] = []

    def margin(self, frame: Any) -> Any:
        until = time.process_time() + self.seconds_a_row * len(frame)
        while time.process_time() < until:
            pass
        self.asked.append(len(frame))
        return (3 * frame["much"] + frame["little"]).to_numpy()


class Numbers(Answers):
    def predict(self, frame: Any) -> Any:
        return self.margin(frame)


class Fails(Answers):
    def predict(self, frame: Any) -> Any:
        found = self.margin(frame)
        if len(self.asked) > 2:
            raise ValueError("no such combination")
        return found


class Classes(Answers):
    classes_ = np.array([0, 1, 2])

    def predict(self, frame: Any) -> Any:
        return np.digitize(self.margin(frame), [-1.0, 1.0])


class Margins(Classes):
    classes_ = np.array([0, 1])

    def predict(self, frame: Any) -> Any:
        return (self.margin(frame) > 0).astype(int)

    def decision_function(self, frame: Any) -> Any:
        return self.margin(frame)


class Probabilities(Margins):
    def predict_proba(self, frame: Any) -> Any:
        share = 1 / (1 + np.exp(-self.margin(frame)))
        return np.column_stack([1 - share, share])


class Constant(Answers):
    def predict(self, frame: Any) -> Any:
        return np.ones(len(frame))


def held_out(target: Any) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(FEATURES, {feature.name: rng.normal(size=ROWS) for feature in FEATURES}, target)


def measured(model: Answers, **budget: float) -> dict[str, float]:
    classes = getattr(model, "classes_", None)
    task = Task.REGRESSION if classes is None else Task.CLASSIFICATION
    dataset = held_out(np.zeros(ROWS) if classes is None else classes[np.arange(ROWS) % len(classes)])
    positive = 1 if classes is not None and len(classes) == 2 else None
    predictor = estimators.predictor(model, dataset, task, positive)
    return importances.measure(predictor, dataset, "mine", seed=1, **budget)


@pytest.mark.parametrize("model", [Numbers, Classes, Margins, Probabilities])
def test_importances_follow_what_the_answers_depend_on(model):
    found = measured(model())
    assert sum(found.values()) == pytest.approx(1)
    assert found["much"] > 2 * found["little"] > 0
    assert found["nothing"] == 0
    assert measured(model()) == found


def test_a_slow_model_is_asked_with_fewer_rows():
    model = Numbers(seconds_a_row=0.001)
    assert measured(model, budget_seconds=1.0)["much"] > 0.5
    each = 1 + len(FEATURES)
    assert each * importances.ROUNDS[0] <= sum(model.asked) < each * sum(importances.ROUNDS) / 2


def test_many_features_are_asked_for_in_few_calls():
    model = Numbers()
    measured(model, budget_seconds=60.0)
    assert len(model.asked) == 2 * len(importances.ROUNDS)
    assert sum(model.asked) == (1 + len(FEATURES)) * sum(importances.ROUNDS)


@pytest.mark.parametrize(
    ("model", "budget"),
    [(Numbers(0.0001), 0.001), (Fails(), 9.0), (Constant(), 9.0)],
    ids=["slow", "fails", "constant"],
)
def test_importances_that_cannot_be_measured_do_not_stop_a_training(model, budget):
    assert measured(model, budget_seconds=budget) == {}
