"""Performance without labels: right where its assumption holds, wide enough, else silent."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from sklearn import metrics

from pilotage.core import samples
from pilotage.core.artifacts import (
    EstimatedPerformance,
    Feature,
    Model,
    ModelFormat,
)
from pilotage.core.metrics import BINARY_ONLY, CLASSIFICATION, Task
from pilotage.core.specs import FeatureKind
from pilotage.serving.monitor import estimates, expectations, outcomes, performances
from pilotage.serving.monitor.expectations import Answers

Numbers = npt.NDArray[np.float64]

FEATURES = (
    Feature(name="x", kind=FeatureKind.NUMBER),
    Feature(name="c", kind=FeatureKind.CATEGORY),
    Feature(name="t", kind=FeatureKind.TIME),
)


def model_of(task: Task, classes: int = 2) -> Model:
    return Model(
        pilot="pilot",
        digest="0" * 64,
        format=ModelFormat.SKOPS,
        estimator="any",
        params={},
        seed=0,
        features=FEATURES,
        target="y",
        task=task,
        classes=tuple(f"k{k}" for k in range(classes)) if task is Task.CLASSIFICATION else (),
        positive="k1" if task is Task.CLASSIFICATION and classes == 2 else None,
        snapshot="0" * 64,
        train_rows=1,
        test_rows=1,
        validation={},
        requirements=(),
        python="3",
        code="0" * 64,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


BINARY, SEVERAL, NUMBER = (
    model_of(Task.CLASSIFICATION),
    model_of(Task.CLASSIFICATION, 3),
    model_of(Task.REGRESSION),
)


def columns_of(x: Numbers, generator: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
    c = np.array(["a", "b", None], dtype=object)[generator.integers(0, 3, len(x))]
    return {"x": x, "c": c, "t": np.datetime64("2026-01-01", "us") + generator.integers(0, 10**12, len(x))}


def table(
    x: Numbers,
    shares: Numbers | None,
    score: Numbers,
    truth: list[str] | None,
    generator: np.random.Generator,
) -> pa.Table:
    """A sample whose classes are said by the largest share."""
    said = (
        [f"k{k}" for k in shares.argmax(axis=1)] if shares is not None else [repr(v) for v in score.tolist()]
    )
    return samples.build(
        FEATURES,
        columns_of(x, generator),
        predictions=said,
        scores=score,
        probabilities=shares,
        priorities=generator.random(len(x)),
        truth=truth,
    )


def binary(
    rows: int, seed: int, *, shift: float = 0.0, spread: float = 1.0, warp: float = 1.0
) -> tuple[pa.Table, Numbers, Numbers]:
    """A sample, its truth and its scores; the chance of the positive class follows from `x`.

    With `warp` other than 1 the model is over- or underconfident.
    """
    generator = np.random.default_rng(seed)
    x = generator.normal(shift, spread, rows)
    odds = 1.3 * x - 0.7
    truth = (generator.random(rows) < 1 / (1 + np.exp(-odds))).astype(float)
    score = 1 / (1 + np.exp(-warp * odds))
    shares = np.column_stack([1 - score, score])
    return table(x, shares, score, [f"k{int(y)}" for y in truth], generator), truth, score


def several(rows: int, seed: int, shift: float = 0.0) -> tuple[pa.Table, Numbers, Numbers]:
    generator = np.random.default_rng(seed)
    x = generator.normal(shift, 1, rows)
    raw = np.exp(np.column_stack([x, -x, 0.3 * np.ones(rows)]))
    shares = raw / raw.sum(axis=1, keepdims=True)
    truth = (generator.random((rows, 1)) > shares.cumsum(axis=1)).sum(axis=1).astype(float)
    score = shares.max(axis=1)
    return table(x, shares, score, [f"k{int(y)}" for y in truth], generator), truth, shares


def numbers(
    rows: int, seed: int, shift: float = 0.0, noise: float = 1.0
) -> tuple[pa.Table, Numbers, Numbers]:
    """The spread of the errors grows with `x`."""
    generator = np.random.default_rng(seed)
    x = generator.normal(shift, 1, rows)
    told = 10 + 2 * x
    truth = told + noise * (0.5 + 0.4 * np.clip(x, -1, None)) * generator.normal(size=rows)
    return table(x, None, told, [repr(v) for v in truth.tolist()], generator), truth, told


def guess(
    model: Model, reference: pa.Table, window: pa.Table, metric: str, seed: int = 0
) -> EstimatedPerformance:
    return estimates.estimate(model, reference, window, metric, reference_value=0.5, seed=seed)


def test_the_expected_area_is_the_mean_of_the_realized_ones() -> None:
    generator = np.random.default_rng(1)
    chance = np.round(generator.beta(1, 3, 60), 1)  # few rows and many ties
    chances, even = np.column_stack([1 - chance, chance]), np.ones(60)
    answers = Answers((chance > 0.5).astype(float), chance, chances)
    realized = []
    for _ in range(3000):
        truth = generator.random(60) < chance
        if truth.any() and not truth.all():
            realized.append(metrics.roc_auc_score(truth, chance))
    standard_error = np.std(realized) / np.sqrt(len(realized))
    expected = expectations.expected("roc_auc", answers, chances, even)
    assert expected == pytest.approx(np.mean(realized), abs=4 * standard_error + 0.003)


@pytest.mark.parametrize("metric", sorted(CLASSIFICATION))
def test_certain_chances_give_scikit_learns_own_value(metric: str) -> None:
    generator = np.random.default_rng(2)
    truth = (generator.random(300) < 0.4).astype(float)
    score = np.round(1 / (1 + np.exp(-(truth - 0.5 + generator.normal(size=300)))), 2)
    shares = np.column_stack([1 - score, score])
    known = outcomes.Outcomes(300, truth, (score > 0.5).astype(float), score, shares, 0)
    found = expectations.expected(
        metric,
        Answers(known.predictions, score, shares),
        np.column_stack([1 - truth, truth]),
        np.ones(300),
    )
    assert found == pytest.approx(performances.score(known, metric, 2).value, abs=1e-9)


@pytest.mark.parametrize("metric", sorted(CLASSIFICATION - BINARY_ONLY))
def test_certain_chances_of_several_classes_do_too(metric: str) -> None:
    _, truth, shares = several(300, 3)
    known = outcomes.Outcomes(300, truth, shares.argmax(axis=1).astype(float), shares.max(axis=1), shares, 0)
    found = expectations.expected(
        metric, Answers(known.predictions, known.score, shares), np.eye(3)[truth.astype(int)], np.ones(300)
    )
    value = performances.score(known, metric, 3).value
    if not np.isnan(value):
        assert found == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "f1", "neg_log_loss", "average_precision"])
def test_a_shift_of_the_features_alone_is_seen_without_labels(metric: str) -> None:
    reference, _, _ = binary(4000, 4)
    window, truth, score = binary(2000, 5, shift=1.0, spread=0.5)
    shares = np.column_stack([1 - score, score])
    known = outcomes.Outcomes(2000, truth, (score > 0.5).astype(float), score, shares, 0)
    found = guess(BINARY, reference, window, metric)
    realized = performances.score(known, metric, 2)
    assert found.value is not None
    assert found.value == pytest.approx(realized.value, abs=3.5 * realized.error + 0.01)
    assert "no concept change" in found.reason
    assert found.alternative is not None
