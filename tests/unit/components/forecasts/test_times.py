"""Times of trainings: the fixed part and the growth are told apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.components.forecasts import times

SIZES = np.repeat(np.geomspace(500, 32_000, 7), 3)


@settings(max_examples=12, deadline=None)
@given(fixed=st.floats(0.0, 2.0), power=st.floats(0.7, 2.0))
def test_exact_times_are_found_again(fixed: float, power: float):
    took = fixed + 3.0 * (SIZES / 32_000) ** power
    found = times.forecast(SIZES, took, [64_000, 320_000])
    assert found is not None
    for factor, seconds in zip((2, 10), found, strict=True):
        assert seconds.value == pytest.approx(fixed + 3.0 * factor**power, rel=0.12)
        assert seconds.low <= seconds.value <= seconds.high


def test_start_up_is_not_taken_for_growth():
    took = (1.0 + 0.0001 * SIZES) * np.exp(np.random.default_rng(0).normal(0, 0.03, len(SIZES)))
    found = times.forecast(SIZES, took, [320_000.0])
    assert found is not None
    assert found[0].value == pytest.approx(33.0, rel=0.35)
    assert found[0].low < found[0].value < found[0].high


def test_times_that_do_not_grow_stay_as_they_are():
    found = times.forecast(SIZES, np.full(len(SIZES), 0.2), [320_000.0])
    assert found is not None
    assert found[0].value == pytest.approx(0.2, rel=0.05)


def test_few_sizes_tell_nothing():
    assert times.forecast([1, 2, 3, 3], [1, 2, 3, 3], [10]) is None
