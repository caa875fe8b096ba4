"""`mlp` learns, repeats itself, stops early and names wrong parameters; what is kept needs no PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pilotage.components.datasets import Dataset
from pilotage.components.training import estimators
from pilotage.components.training.deep import modules, networks
from pilotage.core import errors, models, settings
from pilotage.core.artifacts import Feature
from pilotage.core.encoders import NetworkClassifier
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind

ROWS = 600
FEATURES = (
    Feature(name="angle", kind=FeatureKind.NUMBER),
    Feature(name="shift", kind=FeatureKind.NUMBER),
    Feature(name="side", kind=FeatureKind.CATEGORY),
)


def waves(task: Task, seed: int = 0) -> Dataset:
    """A target that no linear model finds, with missing values that say something."""
    rng = np.random.default_rng(seed)
    angle, shift = rng.uniform(-3, 3, ROWS), rng.normal(size=ROWS)
    side = np.array(["left", "right", None], dtype=object)[rng.integers(0, 3, ROWS)]
    value = 3 * np.sin(2 * angle) + shift + (side == "left")
    shown = angle.copy()
    shown[rng.random(ROWS) < 0.05] = np.nan
    target = 100 + 20 * value if task is Task.REGRESSION else np.where(value > 0, "up", "down").astype(object)
    return Dataset(FEATURES, {"angle": shown, "shift": shift, "side": side}, target)


def fitted(dataset: Dataset, task: Task, **params: Any) -> Any:
    small = {"hidden": 32, "epochs": 60, "learning_rate": 0.01, "batch_size": 64, **params}
    made = estimators.build("mlp", small, task=task, dataset=dataset, seed=3, folder=Path())
    return estimators.fit(made, dataset, "mlp")


def test_it_finds_what_a_linear_model_does_not() -> None:
    train, rest = waves(Task.CLASSIFICATION), waves(Task.CLASSIFICATION, seed=1)
    linear = estimators.build(
        "logistic_regression", {}, task=Task.CLASSIFICATION, dataset=train, seed=3, folder=Path()
    )
    estimators.fit(linear, train, "logistic_regression")
    deep = fitted(train, Task.CLASSIFICATION)
    right = [float(np.mean(model.predict(rest.frame()) == rest.target)) for model in (linear, deep)]
    assert right[1] > right[0] + 0.1
    numbers = fitted(waves(Task.REGRESSION), Task.REGRESSION)
    held_out = waves(Task.REGRESSION, seed=1)
    errors_ = held_out.target - numbers.predict(held_out.frame())
    assert np.var(errors_) < 0.4 * np.var(held_out.target)


def test_the_same_seed_gives_the_same_network_and_another_does_not() -> None:
    dataset = waves(Task.CLASSIFICATION)
    one, two = (fitted(dataset, Task.CLASSIFICATION, epochs=5) for _ in range(2))
    frame = dataset.frame()
    assert (one.predict_proba(frame) == two.predict_proba(frame)).all()
    other = estimators.build(
        "mlp", {"epochs": 5}, task=Task.CLASSIFICATION, dataset=dataset, seed=4, folder=Path()
    )
    estimators.fit(other, dataset, "mlp")
    assert not np.allclose(one.predict_proba(frame), other.predict_proba(frame))


def test_rows_aside_stop_it_and_are_never_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = waves(Task.CLASSIFICATION)
    noise = Dataset(FEATURES, dataset.columns, np.random.default_rng(5).permutation(dataset.target))
    seen: list[int] = []
    real = modules.batches

    def spied(x: Any, y: Any, size: int, rng: Any) -> Any:
        seen.append(len(x))
        return real(x, y, size, rng)

    monkeypatch.setattr(modules, "batches", spied)
    fitted(noise, Task.CLASSIFICATION, patience=4, validation=0.2)
    assert len(seen) < 60  # of as many epochs: there is nothing to learn
    assert set(seen) == {ROWS - round(0.2 * ROWS)} or set(seen) <= {
        ROWS - round(0.2 * ROWS) + d for d in (-1, 0, 1)
    }


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"hiden": 3}, "Did you mean `hidden`"),
        ({"hidden": 0}, "`hidden` of `mlp` is 0, expected a whole number of at least 1"),
        ({"dropout": 1.0}, "a share from 0 to below 1"),
        ({"learning_rate": "fast"}, "`learning_rate` of `mlp` is 'fast'"),
        ({"device": "tpu"}, "expected one of auto, cpu, cuda"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_wrong_parameter_is_named(params: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.EstimatorError) as caught:
        fitted(waves(Task.CLASSIFICATION), Task.CLASSIFICATION, **params)
    assert said in str(caught.value)


def test_a_gpu_that_is_not_there_is_said() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(errors.EstimatorError, match="PyTorch sees none here"):
        fitted(waves(Task.CLASSIFICATION), Task.CLASSIFICATION, device="cuda")


def test_a_loss_that_is_no_number_asks_for_a_lower_learning_rate() -> None:
    dataset = waves(Task.REGRESSION)
    with pytest.raises(errors.EstimatorError, match="learning_rate"):
        fitted(
            dataset,
            Task.REGRESSION,
            learning_rate=9.9,
            layers=12,
            dropout=0.0,
            hidden=256,
            weight_decay=900.0,
        )


def test_what_is_stored_holds_arrays_only_and_answers_without_pytorch(tmp_path: Path) -> None:
    import skops.io

    dataset = waves(Task.CLASSIFICATION)
    model = fitted(dataset, Task.CLASSIFICATION, epochs=3)
    assert isinstance(model.steps[-1][1], NetworkClassifier)
    skops.io.dump(model.steps[-1][1], tmp_path / "model.skops")
    rows = np.asarray(model.steps[0][1].transform(dataset.frame()))
    np.savez(tmp_path / "rows.npz", rows=rows, told=model.predict_proba(dataset.frame()))
    script = (
        "import sys, numpy as np, skops.io\n"
        "sys.modules['torch'] = None\n"
        "folder, *trusted = sys.argv[1:]\n"
        "model = skops.io.load(folder + '/model.skops', trusted=trusted)\n"
        "held = np.load(folder + '/rows.npz')\n"
        "assert np.abs(model.predict_proba(held['rows']) - held['told']).max() < 1e-12\n"
    )
    trusted = models.trusted_types(settings.load())
    command = [sys.executable, "-c", script, str(tmp_path), *trusted]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_batches_hold_every_row_once() -> None:
    x, y = np.arange(50, dtype=np.float32).reshape(-1, 1), np.arange(50)
    parts = list(modules.batches(x, y, 16, np.random.default_rng(1)))
    assert [len(part) for _, part in parts] == [16, 16, 16, 2]
    assert all((inputs[:, 0] == targets).all() for inputs, targets in parts)
    drawn = np.concatenate([targets for _, targets in parts]).tolist()
    assert sorted(drawn) == list(range(50)) != drawn


def test_rows_aside_come_from_every_class() -> None:
    targets = networks.class_targets(np.repeat(["a", "b"], [900, 100]))
    aside = networks.rows_aside(targets, 0.2, np.random.default_rng(0))
    assert np.bincount(targets.values[aside]).tolist() == [180, 20]
    few = networks.class_targets(np.array(["a", "b"] * 5))
    assert not networks.rows_aside(few, 0.2, np.random.default_rng(0)).any()
