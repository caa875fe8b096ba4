"""Realized performance: scikit-learn's numbers, honest intervals, and no verdict on too little."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from pilotage.core.artifacts import Estimate, Model, ModelFormat, Scalar
from pilotage.core.metrics import CLASSIFICATION, REGRESSION, Task
from pilotage.serving.monitor.performance import outcomes, performances
from pilotage.serving.monitor.performance.outcomes import Labels, Outcomes

SHARES = pa.list_(pa.float64())


def binary(rows: int, seed: int = 1, skill: float = 1.0) -> Outcomes:
    generator = np.random.default_rng(seed)
    truth = (generator.random(rows) < 0.4).astype(float)
    score = 1 / (1 + np.exp(-(skill * (truth - 0.5) * 2 + generator.normal(size=rows))))
    shares = np.column_stack([1 - score, score])
    return Outcomes(rows, truth, (score > 0.5).astype(float), score, shares, 0)


def several(rows: int) -> Outcomes:
    generator = np.random.default_rng(2)
    truth = generator.integers(0, 4, rows).astype(float)
    shares = generator.random((rows, 4)) + 0.8 * np.eye(4)[truth.astype(int)]
    shares /= shares.sum(axis=1, keepdims=True)
    return Outcomes(rows, truth, shares.argmax(axis=1).astype(float), shares.max(axis=1), shares, 0)


def numbers(rows: int) -> Outcomes:
    generator = np.random.default_rng(3)
    truth = generator.gamma(3, 2, rows) + 0.1
    told = truth * generator.uniform(0.8, 1.25, rows)
    return Outcomes(rows, truth, told, told, None, 0)


@pytest.fixture
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interval is looked for, not its width."""
    monkeypatch.setattr(performances, "DRAWS", 20)


@pytest.mark.usefixtures("fewer_draws")
@pytest.mark.parametrize("metric", sorted(CLASSIFICATION | REGRESSION))
def test_every_metric_a_pilot_may_name_has_a_value_and_an_interval(metric: str) -> None:
    data, classes = (numbers(200), 0) if metric in REGRESSION else (binary(200), 2)
    found = performances.evaluate(data, metric, classes, Estimate(value=0.0), 0.05, 0.01)
    assert found is not None
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


@pytest.mark.usefixtures("fewer_draws")
@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "neg_log_loss", "roc_auc_ovr", "recall_weighted"])
def test_several_classes_are_scored(metric: str) -> None:
    found = performances.evaluate(several(300), metric, 4, Estimate(value=0.0), 0.05, 0.01)
    assert found is not None
    assert found.value is not None


def test_values_are_scikit_learns() -> None:
    data, other = binary(500), numbers(500)
    assert performances.score(data, "roc_auc", 2).value == pytest.approx(
        metrics.roc_auc_score(data.truth, data.score)
    )
    assert performances.score(data, "f1", 2).value == pytest.approx(
        metrics.f1_score(data.truth, data.predictions)
    )
    assert performances.score(other, "neg_mean_absolute_error", 0).value == pytest.approx(
        -np.abs(other.truth - other.predictions).mean()
    )


def test_delongs_error_is_that_of_the_bootstrap() -> None:
    data = binary(800)
    generator = np.random.default_rng(0)
    samples = (generator.integers(0, 800, 800) for _ in range(400))
    spread = np.std([metrics.roc_auc_score(data.truth[rows], data.score[rows]) for rows in samples])
    assert performances.score(data, "roc_auc", 2).error == pytest.approx(spread, rel=0.15)


def test_a_drop_counts_only_when_it_is_large_and_certain() -> None:
    reference = Estimate(value=0.92, low=0.91, high=0.93)
    auc = performances.score(binary(3000), "roc_auc", 2).value

    def dropped(data: Outcomes, reference: Estimate, max_drop: float) -> bool:
        found = performances.evaluate(data, "roc_auc", 2, reference, max_drop, 0.01)
        assert found is not None
        return found.dropped

    assert dropped(binary(3000, skill=0.4), reference, 0.05)
    assert not dropped(binary(3000), Estimate(value=auc + 0.03), 0.05)
    assert not dropped(binary(110, skill=0.9), Estimate(value=auc + 0.06, low=auc, high=auc + 0.12), 0.05)


def test_false_claims_of_a_drop_are_as_rare_as_asked() -> None:
    truth = performances.score(binary(200_000, seed=99), "roc_auc", 2).value
    claims = 0
    for seed in range(400):
        found = performances.evaluate(binary(300, seed), "roc_auc", 2, Estimate(value=truth), 1e-9, 0.05)
        assert found is not None
        claims += found.dropped
    assert claims / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (binary(99), "99 labelled rows; at least 100 are needed"),
        (Outcomes(200, np.zeros(200), np.zeros(200), np.zeros(200), None, 0), "fewer than two classes"),
    ],
)
def test_too_little_is_not_judged_and_says_what_is_missing(data: Outcomes, words: str) -> None:
    found = performances.evaluate(data, "roc_auc", 2, Estimate(value=0.9), 0.05, 0.01)
    assert found is not None
    assert (found.value, found.dropped) == (None, False)
    assert words in found.reason


def test_without_a_reference_there_is_no_performance() -> None:
    assert performances.evaluate(binary(200), "roc_auc", 2, Estimate(value=None), 0.05, 0.01) is None


def test_a_metric_that_needs_probabilities_says_so_where_there_are_none() -> None:
    data = binary(200)
    bare = Outcomes(200, data.truth, data.predictions, data.score, None, 0)
    found = performances.evaluate(bare, "neg_log_loss", 2, Estimate(value=-0.5), 0.05, 0.01)
    assert found is not None
    assert (found.value, found.reason) == (None, "neg_log_loss is not defined for these rows")


def model(
    classes: tuple[Scalar, ...], positive: Scalar | None = None, task: Task = Task.CLASSIFICATION
) -> Model:
    digest, now = "0" * 64, datetime(2026, 3, 2, tzinfo=UTC)
    return Model(
        pilot="demo", digest=digest, format=ModelFormat.SKOPS, estimator="x", params={}, seed=1, features=(),
        target="y", task=task, classes=classes, positive=positive, snapshot=digest, train_rows=1, test_rows=1,
        validation={}, requirements=(), python="3.11", code=digest, created_at=now,
    )  # fmt: skip


def rows_of(predictions: list[str], shares: list[list[float]] | None) -> pa.Table:
    score = pa.array([0.5] * len(predictions))
    ids = [str(row) for row in range(len(predictions))]
    return pa.table(
        {
            "id": ids,
            "prediction": predictions,
            "score": score,
            "probabilities": pa.array(shares, SHARES) if shares else pa.nulls(len(ids), SHARES),
        }
    )


@pytest.mark.parametrize(
    ("classes", "spellings"),
    [
        ((False, True), {"true": 1, "True": 1, "1": 1, "false": 0, "0": 0, "1.0": 1}),
        ((0, 1), {"1": 1, "1.0": 1, "0": 0, "true": 1}),
        (("no", "yes"), {"yes": 1, " no ": 0}),
        ((1.5, 2.0), {"1.5": 0, "2": 1, "2.0": 1}),
    ],
)
def test_labels_are_read_however_they_are_spelled(classes: tuple, spellings: dict[str, int]) -> None:
    rows = rows_of([str(classes[0])] * len(spellings), None)
    labels = {str(row): text for row, text in enumerate(spellings)}
    joined = outcomes.join(rows, Labels(labels, {}), model(classes, classes[1]))
    assert joined.truth.tolist() == list(spellings.values())
    assert joined.unusable == 0


def test_the_positive_class_comes_last_with_its_probability() -> None:
    rows = rows_of(["bad", "good"], [[0.8, 0.2], [0.1, 0.9]])
    joined = outcomes.join(rows, Labels({"0": "bad", "1": "good"}, {}), model(("bad", "good"), "bad"))
    assert joined.truth.tolist() == [1, 0]
    assert joined.probabilities is not None
    assert joined.probabilities[:, 1].tolist() == [0.8, 0.1]


def test_numbers_that_are_none_are_left_out() -> None:
    rows = rows_of(["1.5", "2.5", "3.5"], None)
    joined = outcomes.join(
        rows, Labels({"0": "1.4", "1": "much", "2": "inf"}, {}), model((), None, Task.REGRESSION)
    )
    assert joined.truth.tolist() == [1.4]
    assert (joined.logged, joined.unusable) == (3, 2)


def test_the_digest_follows_every_part() -> None:
    one, other = binary(50), binary(50, seed=2)
    assert one.digest == binary(50).digest
    assert one.digest != other.digest
