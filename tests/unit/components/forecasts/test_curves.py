"""Forecasts of curves: right where the curve is known, the same in other units, refused where it is odd."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.components.forecasts import behaviours, curves

SIZES = np.ceil(16 * 2 ** (np.arange(15) / 2))


def power(floor: float = 0.1, factor: float = 1.2, slope: float = 0.5, sizes: Any = SIZES) -> Any:
    return floor + factor * np.asarray(sizes, float) ** -slope


def noisy(loss: Any, scale: float, seed: int = 0) -> Any:
    return loss + scale * np.random.default_rng(seed).normal(size=len(loss))


def forecast(loss: Any, sizes: Any = SIZES, **more: Any) -> curves.Forecast:
    return curves.forecast(curves.gather(sizes, loss), **more)


@settings(max_examples=20, deadline=None)
@given(
    floor=st.floats(0.0, 0.4),
    factor=st.floats(0.8, 2.0),
    slope=st.floats(0.3, 0.9),
)
def test_exact_power_laws_are_forecast_within_their_intervals(floor: float, factor: float, slope: float):
    found = forecast(power(floor, factor, slope))
    assert not found.refused
    for point in found.predicted[:2]:
        true = float(power(floor, factor, slope, [point.n])[0])
        assert point.loss.low <= true <= point.loss.high
        assert point.loss.value == pytest.approx(true, abs=0.004 * point.factor)


@settings(max_examples=12, deadline=None)
@given(stretch=st.floats(0.5, 1e6), seed=st.integers(0, 100))
def test_a_stretched_curve_is_forecast_the_same(stretch: float, seed: int):
    loss = noisy(power(), 0.004, seed)
    one, other = forecast(loss), forecast(loss, SIZES * stretch)
    assert one.refused == "" or one.behaviour == other.behaviour
    for near, far in zip(one.predicted, other.predicted, strict=True):
        assert far.n == pytest.approx(near.n * stretch)
        assert far.loss.value == pytest.approx(near.loss.value, abs=1e-6)
        assert far.loss.low == pytest.approx(near.loss.low, abs=1e-6)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.0, 0.006))
def test_more_rows_are_never_forecast_to_be_worse(seed: int, scale: float):
    found = forecast(noisy(power(), scale, seed))
    values = [point.loss.value for point in found.drawn]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(values))
    for point in found.drawn:
        assert 0 <= point.loss.low <= point.loss.value <= point.loss.high


def test_farther_is_less_sure():
    found = forecast(noisy(power(), 0.003))
    widths = [point.loss.high - point.loss.low for point in found.predicted]
    assert widths == sorted(widths)
    assert [round(point.factor) for point in found.predicted] == [2, 5, 10]


def test_sizes_that_are_asked_for_are_forecast_beside_the_usual_ones():
    found = forecast(noisy(power(), 0.003), at=[5000.0])
    assert 5000.0 in [point.n for point in found.predicted]
    assert len(found.predicted) == 4


def test_repeats_of_a_size_are_averaged_and_give_its_error():
    rng = np.random.default_rng(0)
    sizes = np.repeat(SIZES[:8], 5)
    loss = power(sizes=sizes) + rng.normal(0, 0.01, len(sizes))
    curve = curves.gather(sizes, loss)
    assert len(curve.n) == 8
    assert curve.stderr is not None
    assert np.median(curve.stderr) == pytest.approx(0.01 / np.sqrt(5), rel=0.4)


def test_the_rows_for_a_target_are_where_the_curve_gets_there():
    found = forecast(power())
    middle, soonest, latest = curves.reach(found, 0.111)
    true = (1.2 / 0.011) ** 2
    assert middle is not None
    assert middle == pytest.approx(true, rel=0.8)
    assert soonest is not None
    assert soonest <= min(middle, true)
    assert latest is None or latest >= max(middle, true)
    assert curves.reach(found, 0.02) == (None, None, None)


def test_the_backtest_hides_what_it_forecasts():
    found = forecast(power())
    assert found.backtest is not None
    assert found.backtest.known_until < found.backtest.n / 1.8
    assert found.backtest.inside


DENT = power()
DENT[7:10] += 0.06
DIP = power()
DIP[-5:] += np.linspace(0.02, 0.1, 5)
CLIFF = np.concatenate([np.full(11, 0.5) - 0.004 * np.arange(11), [0.44, 0.34, 0.22, 0.08]])


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        pytest.param(np.full(15, 0.3), "flat", id="flat"),
        pytest.param(noisy(np.full(15, 0.3), 0.01), "flat", id="flat-and-noisy"),
        pytest.param(0.5 - power(), "rising", id="rising"),
        pytest.param(DENT, "peaking", id="peaking"),
        pytest.param(DIP, "dipping", id="dipping"),
        pytest.param(CLIFF, "accelerating", id="falls-off-a-cliff"),
    ],
)
def test_curves_of_another_kind_are_refused(loss: Any, kind: str):
    found = forecast(loss)
    assert found.behaviour == kind
    assert found.refused
    assert not found.predicted
    assert not found.drawn


def test_noise_that_hides_the_course_is_refused():
    kinds = [forecast(noisy(power(0.2, 0.3), 0.05, seed)).behaviour for seed in range(20)]
    assert kinds.count("") <= 3


def test_few_sizes_or_a_short_range_are_refused():
    assert forecast(power(sizes=SIZES[:4]), SIZES[:4]).behaviour == "short"
    near = np.array([100.0, 120, 150, 180, 220, 260])
    assert "2.6 times the smallest" in forecast(power(sizes=near), near).refused
    same = np.full(9, 100.0)
    assert forecast(np.linspace(0.4, 0.3, 9), same).behaviour == "short"


def test_the_closest_falling_curve_pools_what_rises():
    curve = curves.gather([1, 2, 3, 4], [4.0, 1.0, 2.0, 0.0])
    assert behaviours.falling(curve).tolist() == [4.0, 1.5, 1.5, 0.0]


def test_a_standard_error_of_nothing_is_no_certainty():
    loss = noisy(power(), 0.004)
    errors = np.zeros(len(SIZES))
    errors[:3] = 0.01, 0.008, 0.006
    found = curves.forecast(curves.gather(SIZES, loss, errors))
    assert found.predicted
    for point in found.predicted:
        assert point.loss.low <= point.loss.value <= point.loss.high


DENSE = np.unique(np.ceil(16 * 2 ** (np.arange(57) / 8)))


@pytest.mark.parametrize("seed", range(4))
def test_sizes_that_are_close_together_are_no_more_evidence(seed: int):
    loss = noisy(power(), 0.003, seed)
    half = np.isin(SIZES, DENSE)
    assert half.all()
    every = np.interp(
        np.log(DENSE), np.log(SIZES), loss
    )  # neighbours that share their rows share their noise
    few, many = forecast(loss), forecast(every, DENSE)
    assert few.behaviour == many.behaviour
    for one, other in zip(few.predicted, many.predicted, strict=True):
        assert other.n == one.n
        assert other.loss.value == pytest.approx(one.loss.value, abs=1e-3)
        assert other.loss.high - other.loss.low == pytest.approx(one.loss.high - one.loss.low, rel=0.15)


def test_a_few_sizes_that_are_close_together_all_count():
    sizes = np.array([100.0, 150.0, 200.0, 250.0, 300.0, 350.0, 400.0])
    found = forecast(power(sizes=sizes), sizes)
    assert len(found.curve.n) == len(sizes)


@pytest.mark.parametrize("sizes", [SIZES, DENSE], ids=["half-octaves", "eighths"])
def test_a_slow_rise_without_noise_is_seen_on_a_course_that_bends(sizes: Any):
    rising = power(sizes=sizes) + 0.015 * np.clip(np.log2(sizes / 400), 0, None)
    assert forecast(rising, sizes).behaviour == "dipping"


@pytest.mark.parametrize("sizes", [SIZES, DENSE], ids=["half-octaves", "eighths"])
def test_a_zigzag_is_seen_however_close_its_sizes_are(sizes: Any):
    turns = np.where(np.arange(len(sizes)) % 2, 1, -1)
    assert forecast(power(sizes=sizes) + 0.05 * turns, sizes).refused
    mild = forecast(power(sizes=sizes) + 0.015 * turns, sizes)
    assert mild.refused or mild.predicted[0].loss.high - mild.predicted[0].loss.low > 0.06
