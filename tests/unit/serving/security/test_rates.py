"""A rate is kept exactly, by a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.serving.security.rates import Rate, Rates


@pytest.mark.parametrize(
    ("per_second", "burst"), [(1, 1), (10, 10), (10, 3), (0.5, 1), (2.5, 3), (1000, 1000)]
)
def test_a_burst_and_then_the_pace(per_second: float, burst: int) -> None:
    rate = Rate(per_second, burst)
    assert [rate.take(100.0) == 0 for _ in range(burst + 1)] == [True] * burst + [False]
    assert rate.take(100.0) == pytest.approx(1 / per_second)
    for step in range(1, 50):
        now = 100.0 + step / per_second
        assert rate.take(now - 0.01 / per_second) == pytest.approx(0.01 / per_second)
        assert rate.take(now) == 0
        assert rate.take(now) > 0


@pytest.mark.parametrize(("per_second", "burst"), [(10.0, 10), (2.5, 3), (0.2, 1)])
def test_the_burst_is_a_seconds_worth(per_second: float, burst: int) -> None:
    rate = Rate(per_second)
    assert sum(rate.take(5.0) == 0 for _ in range(100)) == burst


def test_a_pause_gives_the_whole_burst_back_and_no_more() -> None:
    rate = Rate(10, 4)
    for _ in range(3):
        assert sum(rate.take(0.0) == 0 for _ in range(20)) in (4, 0)
    assert sum(rate.take(1e6) == 0 for _ in range(20)) == 4


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200), st.integers(1, 20), st.integers(1, 5))
def test_no_stretch_of_time_holds_more_than_burst_and_rate(
    pauses: list[float], per_second: int, burst: int
) -> None:
    rate, now, taken = Rate(per_second, burst), 0.0, []
    for pause in pauses:
        now += pause
        if rate.take(now) == 0:
            taken.append(now)
    for position, begin in enumerate(taken):
        for offset, end in enumerate(taken[position:]):
            assert offset + 1 <= burst + (end - begin) * per_second + 1e-6


def test_a_refusal_counts_for_nothing() -> None:
    rate = Rate(1, 1)
    assert rate.take(0.0) == 0
    for _ in range(1000):
        assert rate.take(0.5) == pytest.approx(0.5)
    assert rate.take(1.0) == 0


def test_callers_have_their_own_limits_of_whom_the_latest_are_remembered() -> None:
    rates = Rates(most=2)
    first = rates.of("a", 1)
    assert first is not None
    assert rates.of("b", 1) is not first
    assert rates.of("a", 1) is first
    rates.of("c", 1)
    assert rates.of("a", 1) is first, "the one that was seen last was forgotten"
    assert rates.of("a", 2) is not first
    assert rates.of("a", 0) is None
