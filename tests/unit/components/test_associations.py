"""How well one column tells the target: against scikit-learn, by hand, and what must tell nothing."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pilotage.components.validation import associations
from pilotage.components.validation.associations import Target, target_of
from pilotage.core.metrics import Task

ROWS = 2_000


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def classes(values: Any) -> Target:
    return target_of(np.asarray(values), Task.CLASSIFICATION)


def numbers(values: Any) -> Target:
    return target_of(np.asarray(values, dtype=np.float64), Task.REGRESSION)


TARGETS = {
    "two classes": classes(rng().integers(0, 2, ROWS)),
    "five classes": classes(rng().integers(0, 5, ROWS)),
    "number": numbers(rng().normal(size=ROWS)),
}


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
def test_the_area_is_scikit_learns(rows):
    score = np.array([value for value, _ in rows], dtype=np.float64)
    positive = np.array([hit for _, hit in rows], dtype=np.int64)
    if positive.min() == positive.max():
        assert associations.auc(score, positive) == 0.5
    else:
        assert associations.auc(score, positive) == pytest.approx(roc_auc_score(positive, score))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=3, max_size=40))
def test_tau_is_the_share_of_wrong_guesses_that_another_row_of_the_category_avoids(rows):
    codes, told = (np.array(part) for part in zip(*rows, strict=True))
    target = Target(told, 3)
    hits = 0.0
    for place, code in enumerate(codes):
        others = [told[other] for other in range(codes.size) if other != place and codes[other] == code]
        hits += np.mean([value == told[place] for value in others]) if others else 0.0
    by_frequency = np.mean([left == right for left, right in itertools.permutations(told.tolist(), 2)])
    expected = 0.0 if by_frequency == 1 else max(0.0, (hits / codes.size - by_frequency) / (1 - by_frequency))
    assert associations.of_categories(codes, target) == pytest.approx(expected)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_noise_tells_nothing_however_many_values_it_has(target):
    noise = np.random.default_rng(4)
    columns = {
        "continuous": noise.normal(size=ROWS),
        "few": noise.integers(0, 3, ROWS).astype(float),
        "constant": np.full(ROWS, 4.0),
        "missing": np.full(ROWS, np.nan),
        "mostly missing": np.where(noise.random(ROWS) < 0.9, np.nan, noise.normal(size=ROWS)),
    }
    for values in columns.values():
        assert associations.of_numbers(values, target) < 0.6
    for codes in (np.arange(ROWS), noise.integers(0, 800, ROWS), np.zeros(ROWS, dtype=np.int64)):
        assert associations.of_categories(codes, target) < 0.6


@pytest.mark.parametrize(
    ("values", "target"),
    [
        pytest.param(lambda x: x, classes(rng().normal(size=ROWS) > 1), id="threshold"),
        pytest.param(lambda x: -x, classes(rng().normal(size=ROWS) > 1), id="falling"),
        pytest.param(lambda x: x, classes(np.abs(rng().normal(size=ROWS)) < 0.5), id="hump"),
        pytest.param(lambda x: x, classes(np.digitize(rng().normal(size=ROWS), [-1, 0, 1])), id="grades"),
        pytest.param(lambda x: 3 * x - 8, numbers(rng().normal(size=ROWS)), id="another unit"),
        pytest.param(lambda x: x, numbers(np.sin(4 * rng().normal(size=ROWS))), id="curve"),
        pytest.param(lambda x: 1e38 * x, numbers(1e38 * rng().normal(size=ROWS)), id="huge"),
        pytest.param(lambda x: 1e-300 * x, numbers(1e-300 * rng().normal(size=ROWS)), id="tiny"),
    ],
)
def test_what_was_made_of_the_target_tells_it(values, target):
    assert associations.of_numbers(values(rng().normal(size=ROWS)), target) > 0.98


def test_missing_values_tell_what_their_absence_tells():
    late = rng().random(ROWS) < 0.3
    values = np.where(late, rng().normal(size=ROWS), np.nan)
    assert associations.of_numbers(values, classes(late)) > 0.99
    assert associations.of_numbers(values, numbers(late)) > 0.99


def test_categories_that_stand_for_the_target_tell_it():
    codes = rng().integers(0, 6, ROWS)
    assert associations.of_categories(codes, classes(codes < 3)) == 1.0
    assert associations.of_categories(codes, classes(codes)) == 1.0
    assert associations.of_categories(codes, numbers(codes)) > 0.999


def test_one_far_value_does_not_decide():
    values, told = rng().normal(size=ROWS), np.random.default_rng(4).normal(size=ROWS)
    values[7] = told[7] = 1e12
    assert associations.of_numbers(values, numbers(told)) < 0.1
    assert associations.of_order(values, numbers(told)) < 0.1


def test_a_number_that_is_mostly_zero_is_told_by_what_it_was_made_of():
    claims = np.where(rng().random(ROWS) < 0.9, 0.0, np.exp(rng().normal(size=ROWS)))
    assert associations.of_numbers(claims * 1.19, numbers(claims)) > 0.99


def test_times_are_asked_for_order_alone():
    days = np.arange(ROWS, dtype=np.float64)
    wave = numbers(np.sin(days / 50))
    assert associations.of_numbers(days, wave) > 0.99
    assert associations.of_order(days, wave) < 0.1
    assert associations.of_order(days, classes(days > 500)) == 1.0
    assert associations.of_order(days, numbers(days)) == pytest.approx(1.0)
    assert associations.of_order(days, classes(days // 500)) == 0.0
