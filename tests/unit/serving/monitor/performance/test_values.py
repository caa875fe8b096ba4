"""What predictions brought: linear in prices, additive over rows, as sure of unseen rows as it can be."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.core import worths
from pilotage.core.artifacts import Model, ModelFormat, Scalar
from pilotage.core.metrics import Task
from pilotage.core.specs import Value
from pilotage.serving.monitor.performance import values
from pilotage.serving.monitor.performance.outcomes import Outcomes

PRICES = Value(true_positive=12, false_positive=-3, false_negative=-8, true_negative=1, currency="EUR")
PRICE = st.floats(-1000, 1000, allow_nan=False)
COUNTS = st.lists(st.integers(0, 40), min_size=4, max_size=4)


def model(task: Task = Task.CLASSIFICATION, classes: tuple[Scalar, ...] = ("no", "yes")) -> Model:
    return Model(
        pilot="a", digest="0" * 64, format=ModelFormat.SKOPS, estimator="x", params={}, seed=1, features=(),
        target="y", task=task, classes=classes, positive="yes" if "yes" in classes else None,
        snapshot="0" * 64, train_rows=1, test_rows=1, validation={}, requirements=(), python="3",
        code="0" * 64, created_at=datetime.now(UTC),
    )  # fmt: skip


def confused(true_positive: int, false_positive: int, false_negative: int, true_negative: int) -> Outcomes:
    """Rows with these counts; the positive class is 1."""
    truth = np.repeat([1.0, 0.0, 1.0, 0.0], [true_positive, false_positive, false_negative, true_negative])
    told = np.repeat([1.0, 1.0, 0.0, 0.0], [true_positive, false_positive, false_negative, true_negative])
    return Outcomes(len(truth), truth, told, told, None, 0)


def _worth(found: Outcomes, prices: Value) -> float:
    return float(worths.of_rows(found.truth, found.predictions, Task.CLASSIFICATION, 2, prices).sum())


@given(counts=COUNTS, prices=st.lists(PRICE, min_size=4, max_size=4))
def test_worth_is_the_counts_times_the_prices(counts: list[int], prices: list[float]):
    tp, fp, fn, tn = prices
    told = Value(true_positive=tp, false_positive=fp, false_negative=fn, true_negative=tn, currency="EUR")
    expected = sum(count * price for count, price in zip(counts, prices, strict=True))
    assert _worth(confused(*counts), told) == pytest.approx(expected, abs=1e-6)


@given(one=COUNTS, two=COUNTS)
def test_the_worth_of_windows_together_is_the_sum_of_theirs(one: list[int], two: list[int]):
    both = confused(*(a + b for a, b in zip(one, two, strict=True)))
    assert _worth(both, PRICES) == pytest.approx(
        _worth(confused(*one), PRICES) + _worth(confused(*two), PRICES)
    )


@given(truth=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), guess=st.floats(-1e6, 1e6), price=PRICE)
def test_numbers_cost_their_distance_and_the_baseline_that_of_its_guess(
    truth: list[float], guess: float, price: float
):
    told = np.array(truth)
    found = Outcomes(len(truth), told, told, told, None, 0)
    prices = Value(per_unit_error=price, currency="EUR")
    brought = values.count(found, len(truth), model(Task.REGRESSION, ()), guess, prices)
    assert brought is not None
    assert brought.value == 0
    assert brought.baseline == pytest.approx(price * float(np.abs(told - guess).sum()))
    assert brought.estimated == pytest.approx(-brought.baseline)


def test_several_classes_are_right_or_twice_wrong():
    found = Outcomes(3, np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 2.0]), np.zeros(3), None, 0)
    brought = values.count(found, 3, model(classes=("a", "b", "c")), "b", PRICES)
    assert brought is not None
    assert brought.value == 12 + (-3 - 8) + 12
    assert brought.baseline == (-11) + 12 + (-11)


@pytest.mark.parametrize(("guess", "baseline"), [("yes", 12 * 3 - 3 * 5), ("no", -8 * 3 + 1 * 5)])
def test_the_baseline_says_the_same_of_every_row(guess: str, baseline: float):
    brought = values.count(confused(2, 1, 1, 4), 8, model(), guess, PRICES)
    assert brought is not None
    assert (brought.value, brought.baseline, brought.labelled) == (24 - 3 - 8 + 4, baseline, 8)


@pytest.mark.parametrize("guess", [None, "maybe"])
def test_nothing_is_counted_against_a_baseline_that_is_not_known(guess: str | None):
    assert values.count(confused(1, 1, 1, 1), 4, model(), guess, PRICES) is None


def test_nothing_is_counted_before_a_label_came():
    assert values.count(confused(0, 0, 0, 0), 100, model(), "no", PRICES) is None


def test_all_rows_labelled_leave_nothing_to_estimate():
    assert values.total(np.array([1.0, -2.0]), 2) == (-1.0, 0.0)


def test_too_few_labels_say_nothing_of_the_others():
    assert values.total(np.ones(values.LEAST_LABELLED - 1), 1000) == (None, None)
    assert values.total(np.ones(values.LEAST_LABELLED), 1000) == (1000.0, 0.0)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000), labelled=st.sampled_from([40, 400]))
def test_the_interval_holds_the_truth_as_often_as_it_says(seed: int, labelled: int):
    generator = np.random.default_rng(seed)
    everything = generator.choice([12.0, -3.0, -8.0, 0.0], 1000, p=[0.2, 0.1, 0.1, 0.6])
    held = 0
    for _ in range(300):
        estimated, error = values.total(generator.choice(everything, labelled, replace=False), 1000)
        assert estimated is not None
        assert error is not None
        held += abs(estimated - everything.sum()) <= 1.96 * error
    assert 0.89 <= held / 300 <= 0.985
