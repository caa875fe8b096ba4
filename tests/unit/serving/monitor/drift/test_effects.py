"""Effect sizes against SciPy's on the same values, and intervals against many windows drawn anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance as scipy_distances
from tests.unit.serving.monitor.drift.test_columns import category, counted, number

from pilotage.core import profiles
from pilotage.serving.monitor.drift import effects
from pilotage.serving.monitor.drift.columns import Column, differences


def wide(values: np.ndarray) -> Column:
    """A numeric column with its moments, as a profile has them."""
    part = profiles.profile_numbers(values)
    empty = np.zeros((0, part.cells), int)
    return Column("x", "number", np.array(part.counts), empty, 0, edges=part.edges, moments=part.moments)


@given(st.integers(0, 1000), st.floats(0.2, 3.0), st.floats(-2.0, 2.0))
@settings(max_examples=60, deadline=None)
def test_the_wasserstein_distance_is_scipys_up_to_the_width_of_cells(
    seed: int, scale: float, shift: float
) -> None:
    generator = np.random.default_rng(seed)
    reference, window = generator.normal(size=20_000), generator.normal(shift, scale, 3000)
    column = wide(reference)
    counts = counted(column, window)[0]
    found = effects.measure(column, counts, 3000, mean=float(window.mean())).wasserstein
    exact = stats.wasserstein_distance(reference, window) / reference.std()
    assert found is not None
    assert found <= 1.15 * exact + 0.1
    assert found >= 0.6 * exact - 0.1  # what lies beyond the reference's range counts by its mean alone


def test_values_far_outside_the_reference_move_as_far_as_their_mean_says() -> None:
    column = wide(np.random.default_rng(1).normal(size=5000))
    counts = counted(column, np.full(100, 50.0))[0]
    told = effects.measure(column, counts, 100, mean=50.0).wasserstein
    assert told == pytest.approx(50, rel=0.05)
    hidden = effects.measure(column, counts, 100).wasserstein
    assert hidden is not None
    assert hidden < 6  # without the mean only the reference's range is seen


def test_the_jensen_shannon_distance_is_scipys_less_what_chance_gives() -> None:
    window = np.array([400, 400, 200])
    column = category([*"a" * 5000, *"b" * 3000, *"c" * 2000])
    found = effects.measure(column, np.array([*window, 0, 0]), 1000).jensen_shannon
    exact = scipy_distances.jensenshannon(window, [5000, 3000, 2000], base=2)
    assert 0 < found < exact
    assert found == pytest.approx(exact, abs=0.01)


def test_the_index_is_the_one_that_is_tested() -> None:
    generator = np.random.default_rng(3)
    column = number(generator.gamma(2, 10, 8000))
    counts = counted(column, generator.gamma(3, 10, 700))
    found = differences(column, counts, column.counts, 700)
    effect = effects.measure(column, counts[0], 700)
    assert effect.psi.value == pytest.approx(float(found.psi[0]))
    assert effect.distance.value == pytest.approx(float(found.ks[0]))


SHARES = np.array([0.4, 0.3, 0.2, 0.1])
SHIFTED = np.array([0.3, 0.3, 0.2, 0.2])


@pytest.mark.parametrize("rows", [200, 1000, 10_000])
@pytest.mark.parametrize("now", [SHARES, SHIFTED], ids=["no drift", "drift"])
def test_the_intervals_hold_the_true_effect_as_often_as_they_say(rows: int, now: np.ndarray) -> None:
    generator = np.random.default_rng(rows)
    true_psi = float(((now - SHARES) * np.log(now / SHARES)).sum())
    true_v = float(np.sqrt(((now - SHARES) ** 2 / (now + SHARES)).sum() / 2))
    held_psi = held_v = 0
    repeats = 400
    for _ in range(repeats):
        reference, window = generator.multinomial(20_000, SHARES), generator.multinomial(rows, now)
        column = Column(
            "c", "category", np.array([*reference, 0, 0]), np.zeros((0, 6), int), 0, categories=tuple("abcd")
        )
        effect = effects.measure(column, np.array([*window, 0, 0]), rows)
        held_psi += effect.psi.low <= true_psi <= effect.psi.high
        held_v += effect.distance.low <= true_v <= effect.distance.high
    assert held_psi / repeats > 0.92
    assert held_v / repeats > 0.92


def test_the_band_of_the_distance_holds_the_true_one() -> None:
    generator, held, repeats = np.random.default_rng(4), 0, 300
    grid = np.linspace(-5, 6, 20_001)
    true = float(np.abs(stats.norm.cdf(grid) - stats.norm.cdf(grid, 0.4)).max())
    for _ in range(repeats):
        column = number(generator.normal(size=4000))
        effect = effects.measure(column, counted(column, generator.normal(0.4, 1, 300))[0], 300)
        held += effect.distance.low <= true <= effect.distance.high
    assert held / repeats > 0.94


def test_nothing_differs_where_there_is_nothing_to_compare() -> None:
    column = number(np.array([1.0, 2.0, 3.0]))
    empty = effects.measure(column, np.zeros(column.counts.shape, int), 100)
    assert (empty.psi.value, empty.distance.value, empty.jensen_shannon) == (0, 0, 0)
    constant = wide(np.full(100, 7.0))
    found = effects.measure(constant, counted(constant, np.full(50, 7.0))[0], 50, mean=7.0)
    assert found.wasserstein is None
    assert found.psi.value == 0
