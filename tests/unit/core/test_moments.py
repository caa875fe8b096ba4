"""Moments are those of the values, whatever is missing, however large, and however they are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.core import moments

NUMBERS = st.floats(-1e6, 1e6) | st.just(np.nan) | st.sampled_from([np.inf, -np.inf, 1e300])
COLUMNS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30)


def expected(values: np.ndarray) -> list[float]:
    kept = values[np.isfinite(values) & (np.abs(values) <= moments.LARGEST)]
    if not kept.size:
        return [0, 0, 0, np.inf, -np.inf]
    return [kept.size, kept.mean(), ((kept - kept.mean()) ** 2).sum(), kept.min(), kept.max()]


@given(COLUMNS)
def test_they_are_those_of_the_values_that_can_be_added_up(rows: list[tuple[float, float]]) -> None:
    values = np.array(rows).T.copy()
    with np.errstate(invalid="ignore"):
        wanted = [expected(column) for column in values]
    np.testing.assert_allclose(moments.measure(values)[0], wanted, rtol=1e-9, atol=1e-3)


@given(COLUMNS, st.data())
def test_groups_are_measured_as_if_alone(rows: list[tuple[float, float]], data: st.DataObject) -> None:
    values = np.array(rows).T.copy()
    cuts = data.draw(st.sets(st.integers(1, len(rows) - 1)) if len(rows) > 1 else st.just(set()))
    bounds = np.array([0, *sorted(cuts)])
    alone = [moments.measure(part.copy())[0] for part in np.split(values, bounds[1:], axis=1)]
    found = moments.measure(values.copy(), bounds)
    np.testing.assert_allclose(found, alone, rtol=1e-9, atol=1e-3)
    np.testing.assert_allclose(moments.total(found), moments.measure(values)[0], rtol=1e-9, atol=1e-3)


@given(COLUMNS, COLUMNS)
def test_two_are_added_as_all_values_together(one: list, two: list) -> None:
    a, b = (moments.measure(np.array(part).T.copy())[0] for part in (one, two))
    together = moments.measure(np.array([*one, *two]).T.copy())[0]
    np.testing.assert_allclose(moments.add(a, b), together, rtol=1e-9, atol=1e-3)
    np.testing.assert_array_equal(moments.add(a, b), moments.add(b, a))
    np.testing.assert_allclose(moments.total(np.stack([a, b])), together, rtol=1e-9, atol=1e-3)


def test_no_values_change_nothing() -> None:
    held = moments.measure(np.array([[1.0, 2.0, 4.0]]))[0]
    np.testing.assert_allclose(moments.add(held, moments.empty(1)), held)
    np.testing.assert_array_equal(
        moments.add(moments.empty(1), moments.empty(1)), moments.total(moments.empty(3, 1))
    )


def test_times_keep_their_spread_beside_the_distance_from_1970() -> None:
    seconds = 1.7e9 + np.arange(1000.0)
    parts = [moments.measure(part[None].copy())[0] for part in np.split(seconds, 10)]
    assert moments.total(np.stack(parts))[0, 2] / 1000 == pytest.approx(seconds.var(), rel=1e-9)


def test_the_largest_values_that_count_stay_finite_when_many_are_added() -> None:
    held = moments.measure(np.array([[moments.LARGEST, -moments.LARGEST]]))[0]
    held[..., 0] = 1e15
    assert np.isfinite(moments.add(held, held)).all()
