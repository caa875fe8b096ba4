"""Figures of comparisons, and when they are beyond a bound: at its edge, beyond it, and not by chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.core import bounds
from pilotage.core.artifacts import Comparison, Side
from pilotage.core.specs import Bounds

NONE = Bounds(errors=None, latency=None, score=None)


def comparison(champion: Side, challenger: Side) -> Comparison:
    return Comparison(pilot="flights", step=0, champion=champion, challenger=challenger)


def timed(seconds: list[float], rows: int = 1) -> Side:
    times: dict[int, int] = {}
    for value in seconds:
        cell = bounds.time_cell(value)
        times[cell] = times.get(cell, 0) + 1
    return Side(requests=len(seconds), rows=len(seconds) * rows, times={bounds.size_class(rows): times})


def beyond(champion: Side, challenger: Side, limits: Bounds, least: int = 100) -> str:
    return bounds.measure(comparison(champion, challenger), limits, least).beyond


@pytest.mark.parametrize(
    ("failures", "halts"), [(0, False), (11, False), (12, False), (13, True), (1000, True)]
)
def test_errors_halt_beyond_the_bound_and_not_at_it(failures: int, halts: bool) -> None:
    champion = Side(requests=1000, failures=2)
    challenger = Side(requests=1000, failures=failures)
    assert bool(beyond(champion, challenger, Bounds(errors=0.01))) is halts


@pytest.mark.parametrize(("failures", "halts"), [(4, False), (5, True)])
def test_a_few_requests_halt_only_when_enough_of_them_failed(failures: int, halts: bool) -> None:
    assert bool(beyond(Side(requests=500), Side(requests=10, failures=failures), Bounds())) is halts


def test_a_challenger_that_fails_less_is_never_beyond() -> None:
    assert beyond(Side(requests=100, failures=50), Side(requests=100, failures=49), Bounds(errors=0.0)) == ""


@pytest.mark.parametrize(
    ("milliseconds", "halts"), [(0.5, False), (1.0, False), (1.4, False), (1.8, True), (50.0, True)]
)
def test_a_slower_model_halts_beyond_the_ratio(milliseconds: float, halts: bool) -> None:
    found = beyond(timed([0.001] * 300), timed([milliseconds / 1000] * 300), Bounds(latency=1.5))
    assert bool(found) is halts


@pytest.mark.parametrize(("slow", "halts"), [(0, False), (3, False), (8, False), (20, True)])
def test_a_few_slow_calls_are_chance(slow: int, halts: bool) -> None:
    challenger = timed([0.001] * (300 - slow) + [0.1] * slow)
    assert bool(beyond(timed([0.001] * 300), challenger, Bounds())) is halts


def test_larger_batches_are_held_against_calls_of_their_size() -> None:
    champion = bounds.merge(
        comparison(timed([0.001] * 500), Side()), comparison(timed([0.010] * 60, rows=64), Side())
    ).champion
    assert beyond(champion, timed([0.010] * 300, rows=64), Bounds()) == ""
    assert "p99 time" in beyond(champion, timed([0.010] * 300, rows=1), Bounds())


def test_a_size_that_the_champion_hardly_saw_tells_nothing() -> None:
    champion = timed([0.001] * (bounds.LEAST_CALLS - 1))
    assert beyond(champion, timed([1.0] * 300), Bounds(score=None)) == ""


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 10.0])
def test_the_ratio_that_is_told_is_near_the_true_one(ratio: float) -> None:
    random = np.random.default_rng(0)
    mine = (0.001 * random.lognormal(0, 0.2, 2000)).tolist()
    theirs = (0.001 * ratio * random.lognormal(0, 0.2, 2000)).tolist()
    found = bounds.measure(comparison(timed(mine), timed(theirs)), NONE, 100).latency
    assert found is not None
    assert ratio / 1.25 < found < ratio * 1.25


def scored(random: np.random.Generator, rows: int, shift: float) -> Side:
    counts = np.bincount(
        np.clip(np.searchsorted(np.linspace(-2, 2, 50), random.normal(shift, 1, rows)), 0, 50), minlength=51
    )
    return Side(requests=rows, rows=rows, scores=tuple(counts.tolist()))


@pytest.mark.parametrize("requests", [30, 60, 200, 1000])
def test_scores_that_are_spread_alike_are_within_the_bound_whatever_chance_does(requests: int) -> None:
    random = np.random.default_rng(1)
    found = [
        beyond(scored(random, requests, 0), scored(random, requests, 0), Bounds(score=0.2), least=30)
        for _ in range(300)
    ]
    assert sum(map(bool, found)) <= 3


def test_scores_that_moved_are_beyond_it() -> None:
    random = np.random.default_rng(2)
    assert "spread differently" in beyond(scored(random, 500, 0), scored(random, 500, 1), Bounds())


def test_many_rows_of_few_requests_prove_less() -> None:
    random = np.random.default_rng(3)
    one, two = scored(random, 5000, 0), scored(random, 5000, 0.3)
    few = [side.model_copy(update={"requests": 20}) for side in (one, two)]
    trusting, careful = bounds.stability_index(one, two), bounds.stability_index(*few)
    assert trusting is not None
    assert careful is not None
    assert careful[0] < trusting[0]
    assert careful[1] > trusting[1]


def test_nothing_is_told_of_scores_without_any() -> None:
    assert bounds.stability_index(Side(), Side(scores=(1, 2))) is None
    assert bounds.stability_index(Side(scores=(1, 2, 3)), Side(scores=(1, 2))) is None


def test_bounds_that_are_left_out_halt_nothing() -> None:
    random = np.random.default_rng(4)
    champion = scored(random, 500, 0).model_copy(update={"times": timed([0.001] * 500).times})
    challenger = scored(random, 500, 2).model_copy(
        update={"failures": 400, "times": timed([1.0] * 500).times}
    )
    assert beyond(champion, challenger, NONE) == ""


@pytest.mark.parametrize(("requests", "known"), [(99, False), (100, True)])
def test_scores_are_judged_from_enough_requests(requests: int, known: bool) -> None:
    random = np.random.default_rng(5)
    sides = [scored(random, 500, shift).model_copy(update={"requests": requests}) for shift in (0, 3)]
    assert bool(beyond(sides[0], sides[1], Bounds())) is known


@given(st.floats(0, 1e4))
def test_every_time_has_a_cell(seconds: float) -> None:
    cell = bounds.time_cell(seconds)
    assert 0 <= cell < bounds.TIME_CELLS
    if bounds.FASTEST_SECONDS < seconds < 60:
        lower = bounds.FASTEST_SECONDS * bounds.TIME_STEP**cell
        assert lower * (1 - 1e-9) <= seconds <= lower * bounds.TIME_STEP * (1 + 1e-9)


@pytest.mark.parametrize(("rows", "same"), [((2, 3), True), ((1, 2), False), ((64, 127), True)])
def test_sizes_double_from_class_to_class(rows: tuple[int, int], same: bool) -> None:
    assert (bounds.size_class(rows[0]) == bounds.size_class(rows[1])) is same


def test_replicas_add_up_in_any_order() -> None:
    random = np.random.default_rng(6)
    parts = [
        Comparison(
            pilot="flights",
            step=0,
            champion=timed([0.001] * int(random.integers(1, 9)), rows=int(random.integers(1, 9))),
            challenger=scored(random, 20, 0),
            copied=int(random.integers(9)),
            compared=4,
            agreed=3,
            distance=0.5,
        )
        for _ in range(4)
    ]
    whole = bounds.merge(bounds.merge(parts[0], parts[1]), bounds.merge(parts[2], parts[3]))
    other = bounds.merge(parts[3], bounds.merge(parts[2], bounds.merge(parts[1], parts[0])))
    assert whole == other
    measured = bounds.measure(whole, NONE, 1)
    assert measured.agreement == 0.75
    assert measured.distance is not None
    assert math.isclose(measured.distance, 0.125)
