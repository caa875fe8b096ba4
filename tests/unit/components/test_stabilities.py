"""The stability index and what chance makes of it: few false alarms, and none missed that matters."""

from __future__ import annotations

import numpy as np
import pytest

from pilotage.components.validation.stabilities import movement, stability_index
from pilotage.core import profiles


def test_the_stability_index_is_near_zero_without_change_and_large_with_it():
    generator = np.random.default_rng(1)
    share = np.full(20, 1 / 20)
    before = generator.multinomial(5_000, share)
    calm = [stability_index(before, generator.multinomial(500, share)) for _ in range(200)]
    assert np.mean(calm) < 0.02
    assert np.quantile(calm, 0.99) < 0.1
    assert stability_index(before, np.roll(np.eye(20, dtype=np.int64)[0] * 500, 3)) > 1
    assert stability_index(np.array([0, 0]), np.array([5, 5])) == 0.0


def test_an_unseen_category_among_rare_cells_is_an_effect_of_its_size():
    before = np.array([900, 100, 0, 0])
    assert stability_index(before, np.array([900, 100, 0, 0])) == 0.0
    assert stability_index(before, np.array([450, 50, 500, 0])) > 0.5


@pytest.mark.parametrize("rows", [(60, 60), (150, 150), (2_000, 100)], ids=str)
def test_small_snapshots_warn_by_chance_about_as_often_as_was_stated(rows):
    generator = np.random.default_rng(5)
    alarms = floors = 0
    for _ in range(60):
        moved = []
        for _ in range(5):
            old, new = (generator.integers(0, 15, size).astype(str).astype(object) for size in rows)
            profile = profiles.profile_categories(old)
            counts = np.array(profile.counts), profile.count(new)
            floors += stability_index(*counts) > 0.1
            moved.append(movement(*counts, floor=0.1, comparisons=5))
        alarms += any(moved)
    assert alarms <= 60 * 0.1
    assert floors > 0, "the floor alone would have been enough"


def test_a_change_that_matters_is_found_in_few_rows_and_a_slight_one_in_many_is_not():
    generator = np.random.default_rng(5)
    profile = profiles.profile_numbers(generator.normal(size=2_000))
    before = np.array(profile.counts)
    found = movement(before, profile.count(generator.normal(1.0, size=150)), 0.1, 20)
    assert found is not None
    assert found.effect > found.chance > 0
    many = profile.count(generator.normal(0.2, size=400_000))
    assert movement(before, many, 0.1, 20) is None
    assert movement(before, many, 0.0, 1) is not None


def test_nothing_and_one_cell_do_not_move():
    assert movement(np.array([0, 50]), np.array([0, 70]), 0.0, 1) is None
    assert movement(np.array([0, 0]), np.array([0, 70]), 0.0, 1) is None
    assert movement(np.array([0, 50]), np.array([70, 0]), 0.1, 1) is not None
