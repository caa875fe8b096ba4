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


def test_a_model_that_is_a_hundred_times_slower_is_known_before_it_holds_up_the_loop_for_long() -> None:
    costs = Costs()
    for rows in [1, 8, 2, 30] * 100:
        costs.note(rows, 0.0001 + rows * 1e-6)
    for _ in range(10):
        costs.note(1, 0.02)
    assert costs.seconds(1) > 0.01


def test_one_call_that_the_machine_delayed_does_not_count_much() -> None:
    costs = Costs()
    for rows in [1, 8, 2, 30] * 20:
        costs.note(rows, 0.001)
    costs.note(8, 2.0)
    assert costs.seconds(8) < 0.0015


def test_time_that_others_took_is_not_the_calls_unless_it_waits_by_itself() -> None:
    costs = Costs()
    for _ in range(50):
        costs.note(4, 0.01, 0.002)
    assert costs.seconds(4) == pytest.approx(0.002)
    for _ in range(300):
        costs.note(4, 0.01, 0.0001)
    assert costs.seconds(4) == pytest.approx(0.01, rel=0.1)


@given(seconds=st.floats(0, 1), most=st.integers(1, 5000))
def test_rows_within_a_time_are_at_least_one_and_no_more_than_asked(seconds: float, most: int) -> None:
    costs = Costs()
    for rows in (1, 100, 1, 100):
        costs.note(rows, 0.0001 + rows * 1e-5)
    found = costs.rows_within(seconds, most)
    assert 1 <= found <= most
    if 1 < found < most:
        assert costs.seconds(found) <= seconds * (1 + 1e-9)


class Clock:
    """Time that passes when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def admission(fixed: float, overhead: float, p99: float = 0.1) -> tuple[Admission, Clock]:
    costs, clock = Costs(), Clock()
    costs.fixed = fixed
    found = Admission(costs, p99, 1000, clock)
    for _ in range(300):
        found.note(1, 1, overhead)
    return found, clock


def let_in(found: Admission) -> int:
    """How many are let in before one is turned away."""
    found.requests = 0
    while found.admits() and found.requests < 2000:
        found.requests += 1
    return found.requests


def test_in_ordinary_times_as_many_are_let_in_as_half_the_target_takes() -> None:
    found, _ = admission(0.0001, 100e-6)
    assert 490 <= let_in(found) <= 510


def test_some_are_always_let_in_together_while_twice_the_target_holds() -> None:
    found, _ = admission(0.0001, 0.001)
    assert let_in(found) == admissions.ALWAYS


def test_a_model_slower_than_its_target_lets_in_two_and_not_more() -> None:
    found, _ = admission(0.5, 0.001)
    assert let_in(found) == 2


def test_no_more_than_the_limit_is_ever_let_in() -> None:
    found, _ = admission(1e-9, 1e-9)
    assert let_in(found) == 1000


def test_once_one_is_turned_away_only_few_are_let_in_until_a_second_has_passed() -> None:
    found, clock = admission(0.0001, 100e-6)
    ordinary = let_in(found)
    few = let_in(found)
    assert 25 <= few <= 35  # three milliseconds
    for _ in range(4):
        clock.now += 0.2
        assert let_in(found) == few
    clock.now += 0.21
    assert let_in(found) == ordinary


def test_an_overload_that_goes_on_is_tried_again_after_longer_and_longer_times() -> None:
    found, clock = admission(0.0001, 100e-6)
    ordinary, tries = let_in(found), []
    for _ in range(1200):
        clock.now += 0.1
        if let_in(found) == ordinary:
            tries.append(clock.now - 100)
    assert [round(at) for at in tries] == [1, 5, 21, 85]


def test_an_overload_is_over_when_nobody_was_turned_away_for_a_moment() -> None:
    found, clock = admission(0.0001, 100e-6)
    ordinary = let_in(found)
    for _ in range(30):
        clock.now += 0.1
        let_in(found)
    clock.now += 0.3
    assert let_in(found) == ordinary
    clock.now += 1.01
    assert let_in(found) == ordinary


def test_under_overload_a_slow_models_requests_wait_a_few_calls() -> None:
    found, _ = admission(0.004, 50e-6)
    let_in(found)
    wait = found.wait_seconds(let_in(found))
    assert 0.01 < wait < 0.02
