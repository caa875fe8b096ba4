"""Scores, intervals, fairness, calibration, worth and slices against known numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from pilotage.components.datasets import Dataset
from pilotage.components.measures import (
    bootstraps,
    calibrations,
    confusions,
    fairness,
    groupings,
    scores,
    slices,
    worths,
)
from pilotage.components.measures.scores import Outcomes
from pilotage.components.training import estimators
from pilotage.core.artifacts import Feature
from pilotage.core.metrics import BINARY_ONLY, CLASSIFICATION, REGRESSION, Task
from pilotage.core.specs import FeatureKind, Grouping, Value

X = (Feature(name="x", kind=FeatureKind.NUMBER),)


def two_classes(truth: Any, probability: Any) -> Outcomes:
    p = np.asarray(probability, dtype=float)
    return Outcomes(
        Task.CLASSIFICATION,
        np.asarray(truth),
        (p > 0.5).astype(np.int64),
        ("no", "yes"),
        np.column_stack([1 - p, p]),
        p,
    )


def classes(truth: Any, predicted: Any, count: int) -> Outcomes:
    return Outcomes(
        Task.CLASSIFICATION, np.asarray(truth), np.asarray(predicted), tuple(f"c{i}" for i in range(count))
    )


def numbers(truth: Any, predicted: Any) -> Outcomes:
    return Outcomes(Task.REGRESSION, np.asarray(truth, dtype=float), np.asarray(predicted, dtype=float))


def interval(metric: str, found: Outcomes) -> tuple[float, float, float]:
    """Low, value and high of an estimate that has all three."""
    estimate = bootstraps.estimate(metric, found, seed=1)
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.value, estimate.high


def probabilities(found: Outcomes) -> Any:
    assert found.probabilities is not None
    return found.probabilities


@pytest.fixture(scope="module")
def noisy() -> Outcomes:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    return two_classes(truth, np.clip(0.35 + 0.3 * truth + rng.normal(0, 0.2, 2000), 0.01, 0.99))


@pytest.mark.parametrize("metric", sorted(CLASSIFICATION))
def test_every_classification_metric_is_scored_or_undefined_with_two_classes(noisy, metric):
    value = scores.score(metric, noisy)
    assert value is not None
    assert np.isfinite(value)


@pytest.mark.parametrize("metric", sorted(CLASSIFICATION - BINARY_ONLY))
def test_every_multi_class_metric_is_scored_with_three_classes(metric):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    raw = rng.random((300, 3)) + np.eye(3)[truth]
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    found = Outcomes(Task.CLASSIFICATION, truth, probabilities.argmax(axis=1), (1, 2, 3), probabilities)
    assert scores.score(metric, found) is not None


@pytest.mark.parametrize("metric", sorted(REGRESSION))
def test_every_regression_metric_is_scored(metric):
    rng = np.random.default_rng(0)
    truth = rng.random(200) + 1
    assert scores.score(metric, numbers(truth, truth + rng.random(200))) is not None


def test_scores_are_scikit_learns(noisy):
    p = probabilities(noisy)[:, 1]
    assert scores.score("roc_auc", noisy) == pytest.approx(sk.roc_auc_score(noisy.truth, p))
    assert scores.score("average_precision", noisy) == pytest.approx(
        sk.average_precision_score(noisy.truth, p)
    )
    assert scores.score("neg_log_loss", noisy) == pytest.approx(-sk.log_loss(noisy.truth, p))
    assert scores.score("neg_brier_score", noisy) == pytest.approx(-sk.brier_score_loss(noisy.truth, p))


@pytest.mark.parametrize("positive", ["sick", "well"])
def test_the_positive_class_decides_precision_whatever_the_order(positive):
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    target = np.where(x + rng.normal(size=400) > 0.8, "sick", "well").astype(object)
    data = Dataset(X, {"x": x}, target)
    fitted = LogisticRegression().fit(data.frame(), target)
    predictor = estimators.predictor(fitted, data, Task.CLASSIFICATION, positive)
    found = scores.outcomes(predictor, data.frame(), target)
    said = fitted.predict(data.frame())
    assert scores.score("precision", found) == pytest.approx(
        sk.precision_score(target, said, pos_label=positive)
    )
    assert scores.score("roc_auc", found) == pytest.approx(
        sk.roc_auc_score(target == positive, probabilities(found)[:, 1])
    )


def test_a_classifier_without_probabilities_scores_by_its_margin():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    data = Dataset(X, {"x": x}, (x > 0).astype(np.int64))

    class Margins(LogisticRegression):
        predict_proba = property()

    fitted = Margins().fit(data.frame(), data.target)
    for positive in (0, 1):
        predictor = estimators.predictor(fitted, data, Task.CLASSIFICATION, positive)
        found = scores.outcomes(predictor, data.frame(), data.target)
        assert found.probabilities is None
        assert scores.score("roc_auc", found) == pytest.approx(1.0)
        assert scores.score("neg_log_loss", found) is None


def test_a_model_that_knows_fewer_classes_is_scored_on_all_of_them():
    data = Dataset(X, {"x": np.arange(60.0)}, np.array([0, 1, 2] * 20))
    known = data.take(np.flatnonzero(data.target < 2))
    fitted = DummyClassifier(strategy="prior").fit(known.frame(), known.target)
    predictor = estimators.predictor(fitted, known, Task.CLASSIFICATION, None)
    found = scores.outcomes(predictor, data.frame(), data.target, (0, 1, 2))
    assert probabilities(found).tolist()[0] == [0.5, 0.5, 0.0]
    assert scores.score("accuracy", found) == pytest.approx(1 / 3)


def test_a_score_that_is_not_defined_is_none():
    assert scores.score("roc_auc", two_classes([1, 1, 1], [0.2, 0.5, 0.9])) is None
    assert scores.score("neg_mean_squared_log_error", numbers([1, 2], [-5, 1])) is None


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(5, 60))
def test_confusion_formulas_are_scikit_learns(seed, count, rows):
    rng = np.random.default_rng(seed)
    found = classes(rng.integers(0, count, rows), rng.integers(0, count, rows), count)
    matrix = np.zeros((1, count, count))
    np.add.at(matrix[0], (found.truth, found.predicted), 1)
    for metric in sorted(confusions.METRICS):
        if count > 2 and metric in BINARY_ONLY:
            continue
        expected = scores.score(metric, found)
        if expected is not None:
            assert confusions.values(metric, matrix)[0] == pytest.approx(expected, abs=1e-12), metric


def test_the_interval_of_an_accuracy_is_the_binomials():
    truth = np.array([0, 1] * 500)
    predicted = np.where(np.arange(1000) < 800, truth, 1 - truth)
    low, _, high = interval("accuracy", classes(truth, predicted, 2))
    half = 1.96 * (0.8 * 0.2 / 1000) ** 0.5
    assert low == pytest.approx(0.8 - half, abs=0.01)
    assert high == pytest.approx(0.8 + half, abs=0.01)


@pytest.mark.parametrize("rows", [1_000, 40_000], ids=["all rows", "a sample of the rows"])
def test_the_interval_of_a_mean_error_is_the_normal_one_however_many_rows(rows):
    error = np.random.default_rng(0).exponential(1.0, rows)
    low, _, high = interval("neg_mean_absolute_error", numbers(np.zeros(rows), error))
    half = 1.96 * error.std() / rows**0.5
    assert low == pytest.approx(-error.mean() - half, abs=half * 0.3)
    assert high == pytest.approx(-error.mean() + half, abs=half * 0.3)


def test_the_interval_of_an_area_covers_what_plain_resampling_gives(noisy):
    low, value, high = interval("roc_auc", noisy)
    plain = bootstraps.interval(
        value, lambda part: scores.score("roc_auc", part), noisy, np.random.default_rng(2)
    )
    assert low == pytest.approx(plain.low, abs=0.004)
    assert high == pytest.approx(plain.high, abs=0.004)
    assert low < value < high


def test_the_interval_of_an_area_with_many_ties_is_right():
    truth = np.array([0, 1] * 300)
    probability = np.where(np.arange(600) % 3 == 0, 0.5, 0.2 + 0.6 * truth)
    low, value, high = interval("roc_auc", two_classes(truth, probability))
    assert low < value < high


@given(st.integers(0, 2**32 - 1), st.sampled_from(["roc_auc", "f1", "neg_log_loss", "accuracy"]))
def test_an_interval_holds_its_value_and_is_repeatable(seed, metric):
    rng = np.random.default_rng(seed)
    found = two_classes(rng.integers(0, 2, 40), rng.random(40))
    first = bootstraps.estimate(metric, found, seed=3)
    assert first == bootstraps.estimate(metric, found, seed=3)
    if first.low is not None and first.high is not None and first.value is not None:
        assert first.low <= first.value <= first.high


def test_intervals_of_sixty_thousand_rows_take_seconds_at_most():
    import time

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 60_000)
    found = two_classes(truth, rng.random(60_000))
    start = time.process_time()
    for metric in scores.BINARY:
        bootstraps.estimate(metric, found, seed=1)
    assert time.process_time() - start < 10


def test_fairness_is_what_the_formulas_say_by_hand():
    truth = np.array([1] * 40 + [0] * 60 + [1] * 50 + [0] * 50)
    said = np.array([1] * 30 + [0] * 10 + [1] * 12 + [0] * 48 + [1] * 25 + [0] * 25 + [1] * 5 + [0] * 45)
    groups = np.array(["a"] * 100 + ["b"] * 100, dtype=object)
    found = fairness.compare(
        Grouping(("group",)), groups, two_classes(truth, np.where(said, 0.9, 0.1)), "accuracy"
    )
    assert found.demographic_parity_difference == pytest.approx(0.42 - 0.30)
    assert found.equalized_odds_difference == pytest.approx(max(0.75 - 0.5, 0.2 - 0.1))
    assert found.group_metric_difference == pytest.approx(0.78 - 0.70)
    assert [group.selection_rate for group in found.groups] == [pytest.approx(0.42), pytest.approx(0.30)]


def test_small_groups_are_left_out_and_counted():
    groups = np.array(["a"] * 50 + ["b"] * 50 + ["tiny"] * 5 + [groupings.MISSING] * 3, dtype=object)
    truth = np.arange(108) % 2
    found = fairness.compare(Grouping(("group",)), groups, two_classes(truth, np.full(108, 0.9)), "accuracy")
    assert [group.value for group in found.groups] == ["a", "b"]
    assert found.left_out == 8
    assert found.demographic_parity_difference == 0


def test_one_group_alone_has_no_difference():
    found = fairness.compare(
        Grouping(("g",)), np.array(["a"] * 50, dtype=object), two_classes([0, 1] * 25, [0.9] * 50), "accuracy"
    )
    assert found.demographic_parity_difference is None


def test_fairness_of_three_classes_takes_the_largest_difference():
    truth = np.array([0, 1, 2] * 40)
    predicted = np.concatenate([truth[:60], np.full(60, 2)])
    groups = np.array(["a"] * 60 + ["b"] * 60, dtype=object)
    found = fairness.compare(Grouping(("g",)), groups, classes(truth, predicted, 3), "accuracy")
    assert found.demographic_parity_difference == pytest.approx(1 - 1 / 3)
    assert found.equalized_odds_difference == pytest.approx(1.0)


def test_numbers_are_grouped_at_their_quantiles_and_every_row_has_a_group():
    values = np.concatenate([np.arange(100.0), [np.nan]])
    groups = groupings.name_groups(values)
    names, counts = np.unique(groups.astype(str), return_counts=True)
    assert len(names) == groupings.QUANTILES + 1
    assert groups[-1] == groupings.MISSING
    assert counts.min() == 1
    assert sorted(counts)[1] >= 24


def test_few_different_numbers_are_groups_of_their_own():
    assert set(groupings.name_groups(np.array([0.0, 1.0, 1.0, 2.5]))) == {"0", "1", "2.5"}


def test_calibration_error_is_the_weighted_gap():
    probability = np.array([0.95] * 100 + [0.15] * 100)
    truth = np.array([1] * 80 + [0] * 20 + [1] * 25 + [0] * 75)
    found = two_classes(truth, probability)
    assert calibrations.calibration_error(found) == pytest.approx((0.15 + 0.10) / 2)
    assert [part.rows for part in calibrations.bins(found)] == [100, 100]


def test_without_probabilities_there_is_no_calibration():
    assert calibrations.calibration_error(classes([0, 1], [0, 1], 2)) is None


VALUE = Value(
    true_positive=12, false_positive=-3, false_negative=-8, true_negative=1, per_unit_error=-2, currency="EUR"
)


def test_worth_counts_outcomes():
    found = two_classes([1, 1, 0, 0], [0.9, 0.1, 0.9, 0.1])
    assert worths.per_row(found, VALUE) == pytest.approx((12 - 8 - 3 + 1) / 4)
    assert worths.per_row(classes([0, 1, 2], [0, 1, 1], 3), VALUE) == pytest.approx((12 + 12 - 11) / 3)
    assert worths.per_row(numbers([1, 2], [2, 5]), VALUE) == pytest.approx(-4)


def test_the_weakest_slice_comes_first_and_small_ones_are_not_shown():
    rng = np.random.default_rng(0)
    place = np.array(["good"] * 400 + ["bad"] * 100 + ["rare"] * 20, dtype=object)
    truth = rng.integers(0, 2, 520)
    right = np.where(place == "good", 0.95, 0.6) > rng.random(520)
    found = two_classes(truth, np.where(right, truth, 1 - truth) * 0.8 + 0.1)
    worst = slices.worst({"place": place, "same": np.ones(520)}, found, "accuracy", seed=1)
    assert [(part.column, part.value, part.rows) for part in worst] == [
        ("place", "bad", 100),
        ("place", "good", 400),
    ]
    bad, good = (part.metric for part in worst)
    assert bad.high is not None
    assert good.low is not None
    assert bad.high < good.low
