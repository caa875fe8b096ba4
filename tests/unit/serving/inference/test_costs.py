"""What the model's calls cost is learned, and decides what is let in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.serving.inference import admissions
from pilotage.serving.inference.admissions import Admission
from pilotage.serving.inference.costs import Costs


@given(
    fixed=st.floats(1e-5, 1e-2),
    each=st.floats(1e-7, 1e-3),
    seed=st.integers(0, 1000),
)
def test_a_line_is_found_from_calls_of_different_sizes(fixed: float, each: float, seed: int) -> None:
    costs = Costs()
    random = np.random.default_rng(seed)
    for rows in random.integers(1, 1000, 200).tolist():
        costs.note(rows, fixed + each * rows)
    assert costs.seconds(700) == pytest.approx(fixed + each * 700, rel=0.05)


def test_calls_of_one_size_give_that_size_its_time() -> None:
    costs = Costs()
    for _ in range(50):
        costs.note(4, 0.002)
    assert costs.seconds(4) == pytest.approx(0.002)
    assert costs.fixed >= 0
    assert costs.each >= 0


def test_a_slower_model_is_noticed_within_some_calls() -> None:
    costs = Costs()
    for seconds in (0.001, 0.01):
        for rows in [1, 8, 2, 30] * 60:
            costs.note(rows, seconds)
    assert costs.seconds(8) == pytest.approx(0.01, rel=0.1)


def test_one_call_that_the_machine_delayed_does_not_count_much() -> None:
    costs = Costs()
    for rows in [1, 8, 2, 30] * 20:
        costs.note(rows, 0.001)
    costs.note(8, 2.0)
    assert costs.seconds(8) < 0.0015


@given(seconds=st.floats(0, 1), most=st.integers(1, 5000))
def test_rows_within_a_time_are_at_least_one_and_no_more_than_asked(seconds: float, most: int) -> None:
    costs = Costs()
    for rows in (1, 100, 1, 100):
        costs.note(rows, 0.0001 + rows * 1e-5)
    found = costs.rows_within(seconds, most)
    assert 1 <= found <= most
    if 1 < found < most:
        assert costs.seconds(found) <= seconds * (1 + 1e-9)


def admission(fixed: float, overhead: float, p99: float = 0.1) -> Admission:
    costs = Costs()
    costs.fixed = fixed
    found = Admission(costs, p99, 1000)
    for _ in range(300):
        found.note(1, 1, overhead)
    return found


def let_in(found: Admission) -> int:
    """How many are let in before one is turned away."""
    while found.admits() and found.requests < 2000:
        found.requests += 1
    return found.requests


def test_a_fast_model_lets_in_as_many_as_wait_for_a_small_part_of_the_target() -> None:
    found = let_in(admission(0.0001, 20e-6))
    assert 200 < found < 260  # 5 ms of 20 µs each


def test_so_many_are_always_let_in_together_while_the_target_is_met() -> None:
    assert let_in(admission(0.0001, 200e-6)) == admissions.ALWAYS


def test_a_model_slower_than_its_target_lets_in_two_and_not_more() -> None:
    assert let_in(admission(0.5, 0.001)) == 2


def test_no_more_than_the_limit_is_ever_let_in() -> None:
    assert let_in(admission(1e-9, 1e-9)) == 1000
