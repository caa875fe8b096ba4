"""Scores are counted by bins that all versions have alike, and add up over threads and processes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.serving.telemetry import readings, scores
from pilotage.serving.telemetry.readings import Reading, VersionMeter


def test_probabilities_are_counted_by_twentieths():
    found = scores.count(np.array([0.0, 0.04, 0.05, 0.5, 0.999, 1.0]), numbers=False)
    assert found == {"0.00": 2, "0.05": 1, "0.50": 1, "0.95": 2}


def test_numbers_are_counted_by_tenths_of_powers_of_ten_with_their_sign():
    found = scores.count(np.array([0.0, 1e-12, 1.0, 1.1, 1.3, -1.0, 700.0, 1e30, 1e-9]), numbers=True)
    assert found == {"0": 2, "1": 2, "1.26": 1, "-1": 1, "631": 1, "1e+12": 1, "1e-09": 1}


def test_what_is_no_number_is_not_counted():
    assert scores.count(np.array([np.nan, np.inf, -np.inf]), numbers=True) == {}
    assert scores.count(np.array([]), numbers=False) == {}


@given(st.lists(st.floats(-1e15, 1e15, allow_subnormal=True), max_size=50))
def test_every_number_is_in_one_bin_and_the_bin_is_near(values: list[float]):
    found = scores.count(np.array(values), numbers=True)
    assert sum(found.values()) == len(values)
    for value in values:
        (bound,) = scores.count(np.array([value]), numbers=True)
        if 1e-8 < abs(value) < 1e12:
            assert abs(float(bound)) <= abs(value) * 1.01 <= abs(float(bound)) * 1.3
            assert float(bound) * value > 0


def test_there_are_few_bins_whatever_comes():
    exponents = np.linspace(-20, 20, 10_000)
    values = np.concatenate([10**exponents, -(10**exponents)])
    assert len(scores.count(values, numbers=True)) <= 2 * (21 * scores.PER_DECADE + 1) + 1
    assert len(scores.count(np.linspace(-1, 2, 1000), numbers=False)) == scores.SHARES


def test_counts_of_threads_and_processes_are_added():
    parts = []
    for counts in ({"0.00": 3, "0.95": 1}, {"0.00": 2, "0.50": 4}):
        meter = VersionMeter("flights", "1")
        meter.scored(counts)
        meter.scored({"0.00": 1})
        parts.append(Reading(versions=[meter]))
    (whole,) = readings.merge(parts).versions
    assert whole.scores == {"0.00": 7, "0.95": 1, "0.50": 4}


@pytest.mark.parametrize("numbers", [False, True])
def test_bins_do_not_depend_on_what_else_was_scored(numbers: bool):
    one, two = np.array([0.11, 0.52]), np.array([0.9])
    together = scores.count(np.concatenate([one, two]), numbers=numbers)
    apart = scores.count(one, numbers=numbers), scores.count(two, numbers=numbers)
    assert together == {**apart[0], **apart[1]}
