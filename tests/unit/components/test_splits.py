"""The held-out part: no leak in time, no row that changes sides, no class that vanishes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pilotage.components import splits
from pilotage.components.datasets import Dataset
from pilotage.core import errors
from pilotage.core.artifacts import Feature
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind

NUMBER = (Feature(name="x", kind=FeatureKind.NUMBER),)


def table(values: Any, target: Any = None, seconds: Any = None, keys: Any = None) -> Dataset:
    rows = len(values)
    return Dataset(
        features=NUMBER,
        columns={"x": np.array(values, dtype=np.float64)},
        target=np.arange(rows, dtype=np.float64) if target is None else np.array(target),
        times=None if seconds is None else np.array(seconds, dtype="datetime64[s]").astype("datetime64[us]"),
        keys=None if keys is None else np.array(keys, dtype=object),
    )


@given(
    st.lists(st.integers(0, 60), min_size=5, max_size=80),
    st.floats(0.05, 0.9),
)
def test_with_a_time_every_held_out_row_is_later_than_every_training_row(seconds, test):
    assume(len(set(seconds)) > 1)
    data = table(range(len(seconds)), seconds=seconds)
    try:
        parts = splits.split(data, Task.REGRESSION, test)
    except errors.DataError:
        return
    assert data.times is not None
    assert data.times[parts.train].max() < data.times[parts.test].min()
    assert sorted([*parts.train, *parts.test]) == list(range(len(seconds)))


def test_with_a_time_the_last_fraction_is_held_out():
    parts = splits.split(table(range(100), seconds=range(100)), Task.REGRESSION, 0.2)
    assert parts.test.tolist() == list(range(80, 100))


def test_rows_of_the_boundary_instant_stay_together():
    parts = splits.split(table(range(10), seconds=[0] * 3 + [1] * 7), Task.REGRESSION, 0.2)
    assert parts.test.tolist() == list(range(3, 10))


def test_an_instant_that_begins_the_table_never_empties_the_training_part():
    parts = splits.split(table(range(10), seconds=[0] * 7 + [1] * 3), Task.REGRESSION, 0.9)
    assert parts.train.tolist() == list(range(7))


@given(st.integers(0, 2**32 - 1), st.integers(40, 200), st.integers(1, 100))
def test_a_row_keeps_its_side_when_the_table_grows(seed, rows, more):
    rng = np.random.default_rng(seed)
    values, classes = rng.normal(size=rows + more), rng.integers(0, 2, rows + more)
    assume(min(np.bincount(classes[:rows], minlength=2)) > 15)
    before = splits.split(table(values[:rows], classes[:rows]), Task.CLASSIFICATION, 0.3)
    after = splits.split(table(values, classes), Task.CLASSIFICATION, 0.3)
    assert set(before.test) == {row for row in after.test if row < rows}


def test_a_row_keeps_its_side_when_its_features_change_but_not_its_key():
    keys = [f"order-{number}" for number in range(300)]
    first = splits.split(table(range(300), keys=keys), Task.REGRESSION, 0.2)
    second = splits.split(table(np.zeros(300), keys=keys), Task.REGRESSION, 0.2)
    assert first.test.tolist() == second.test.tolist()


def test_copies_of_a_row_are_on_the_same_side():
    values = np.repeat(np.arange(100), 3)
    parts = splits.split(table(values), Task.REGRESSION, 0.3)
    assert not set(values[parts.train]) & set(values[parts.test])


def test_the_few_values_of_a_lone_feature_are_all_on_both_sides():
    values = np.arange(300) % 4
    parts = splits.split(table(values, values % 2), Task.CLASSIFICATION, 0.2)
    assert set(values[parts.train]) == set(values[parts.test]) == {0, 1, 2, 3}
    assert parts.test.size == pytest.approx(60, abs=20)


def test_values_that_begin_to_recur_leave_the_first_rows_where_they_were():
    values = np.arange(40)
    before = splits.places(table(values))
    after = splits.places(table(np.tile(values, 6)))
    assert after[:40].tolist() == before.tolist()
    assert len(set(after)) == 240


def test_the_held_out_share_is_near_the_one_asked_for_in_every_class():
    rng = np.random.default_rng(0)
    classes = np.repeat(["common", "rare"], [18_000, 2_000]).astype(object)
    data = Dataset(NUMBER, {"x": rng.normal(size=20_000)}, classes)
    parts = splits.split(data, Task.CLASSIFICATION, 0.2)
    for name in ("common", "rare"):
        held_out = (classes[parts.test] == name).sum() / (classes == name).sum()
        assert held_out == pytest.approx(0.2, abs=0.03)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_every_class_with_two_rows_is_on_both_sides(seed, rare):
    rng = np.random.default_rng(seed)
    classes = np.array([0] * 40 + [1] * rare)
    parts = splits.split(table(rng.normal(size=classes.size), classes), Task.CLASSIFICATION, 0.2)
    assert set(classes[parts.train]) == set(classes[parts.test]) == {0, 1}


def test_all_the_same_time_is_an_error_that_names_the_remedy():
    with pytest.raises(errors.DataError, match=r"same `data\.time`.*stratified"):
        splits.split(table(range(30), seconds=[5] * 30), Task.REGRESSION, 0.2)


@pytest.mark.parametrize(
    ("classes", "part"),
    [([0] * 80 + [1] * 20, "training"), ([0, 1] * 40 + [0] * 20, "held-out")],
    ids=["new class", "class that ended"],
)
def test_a_class_that_time_keeps_from_one_side_is_an_error(classes, part):
    with pytest.raises(errors.DataError, match=f"No row of class `1` is in the {part} part"):
        splits.split(table(range(100), classes, seconds=range(100)), Task.CLASSIFICATION, 0.2)


def test_of_three_classes_one_may_be_missing_from_the_held_out_part():
    classes = [0, 1, 2] * 20 + [0, 1] * 10
    parts = splits.split(table(range(80), classes, seconds=range(80)), Task.CLASSIFICATION, 0.25)
    assert parts.test.size == 20


@pytest.mark.parametrize("timed", [True, False])
def test_folds_hold_every_class_and_never_look_ahead(timed):
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 3, 200)
    data = table(rng.normal(size=200), classes, seconds=rng.integers(0, 50, 200) if timed else None)
    folds = splits.folds(data, Task.CLASSIFICATION, 7)
    assert len(folds) == splits.FOLDS
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert set(classes[fold.train]) == {0, 1, 2}
        if data.times is not None:
            assert data.times[fold.train].max() < data.times[fold.test].min()


def test_folds_without_every_class_are_an_error():
    classes = [0] * 97 + [1] * 3
    with pytest.raises(errors.DataError, match="folds"):
        splits.folds(table(range(100), classes, seconds=range(100)), Task.CLASSIFICATION, 7)
