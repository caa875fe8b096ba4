"""Every value lands in exactly one cell, and cells add up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.core import profiles
from pilotage.core.artifacts import Feature
from pilotage.core.specs import FeatureKind, Season

NUMBERS = st.lists(st.floats(allow_infinity=False, width=32), min_size=1, max_size=300)
CATEGORIES = st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=300)


def as_objects(values: Sequence[str | None]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


@given(NUMBERS, NUMBERS)
def test_numbers_are_counted_once_each(reference: list[float], values: list[float]) -> None:
    profile = profiles.profile_numbers(np.array(reference))
    counts = profile.count(np.array(values))
    assert counts.shape == (profile.cells,)
    assert counts.sum() == len(values)
    assert counts[-1] == np.isnan(values).sum()


@given(NUMBERS)
def test_the_reference_never_lies_outside_its_own_range(reference: list[float]) -> None:
    profile = profiles.profile_numbers(np.array(reference))
    assert sum(profile.counts) == len(reference)
    if profile.edges:
        assert profile.counts[0] == 0
        assert profile.counts[-2] == 0


@given(CATEGORIES, CATEGORIES)
def test_categories_are_counted_once_each(reference: list[str | None], values: list[str | None]) -> None:
    profile = profiles.profile_categories(as_objects(reference))
    counts = profile.count(as_objects(values))
    assert counts.sum() == len(values)
    assert counts[-1] == values.count(None)
    assert counts[-2] == sum(value is not None and value not in reference for value in values)


@given(NUMBERS, st.integers(1, 5))
def test_blocks_add_up_to_the_whole(reference: list[float], many: int) -> None:
    blocks = np.arange(len(reference)) % many
    profile = profiles.profile_numbers(np.array(reference), blocks)
    assert np.sum(profile.blocks, axis=0).tolist() == list(profile.counts)


@given(st.one_of(NUMBERS, CATEGORIES))
def test_each_season_has_the_counts_of_its_rows(reference: list[float] | list[str | None]) -> None:
    numeric = isinstance(reference[0], float)
    values = np.array(reference) if numeric else as_objects(reference)  # type: ignore[arg-type]
    seasons = profiles.Groups(np.arange(len(reference)) % 5, 7)
    feature = Feature(name="a", kind=FeatureKind.NUMBER if numeric else FeatureKind.CATEGORY)
    profile = profiles.profile_column(feature, values, seasons=seasons)
    found = [profile.count(values[seasons.numbers == season]).tolist() for season in range(7)]
    assert [list(counts) for counts in profile.seasons] == found


def test_weekdays_begin_on_monday_and_hours_at_midnight() -> None:
    times = np.array(["2026-11-23T00:00", "2026-11-29T23:59", "1969-12-31T22:30"], dtype="datetime64[us]")
    weekday = profiles.season_numbers(times, Season.WEEKDAY)
    hour = profiles.season_numbers(times, Season.HOUR)
    assert weekday is not None
    assert hour is not None
    assert (weekday.numbers.tolist(), weekday.groups) == ([0, 6, 2], 7)
    assert (hour.numbers.tolist(), hour.groups) == ([0, 23, 22], 24)
    assert profiles.season_numbers(times, Season.NONE) is None


def test_categories_as_frequent_as_each_other_go_by_name() -> None:
    assert profiles.profile_categories(as_objects(["b", "c", "a", "c", None])).categories == ("c", "a", "b")


def test_few_values_have_a_cell_each() -> None:
    profile = profiles.profile_numbers(np.array([1.0, 1.0, 2.0, 3.0]))
    assert profile.counts == (0, 2, 1, 1, 0, 0)
    assert profile.count(np.array([0.5, 1.0, 2.5, 9.0, np.nan])).tolist() == [1, 1, 0, 1, 1, 1]


def test_many_values_share_cells_of_about_the_same_size() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    profile = profiles.profile_numbers(values)
    assert profile.cells <= profiles.MOST_BINS + 2
    inner = np.array(profile.counts[1:-2])
    assert inner[1:].min() > 0.5 * 10_000 / profiles.MOST_BINS


def test_rare_categories_share_a_cell() -> None:
    values = as_objects([f"v{number}" for number in range(400)] + ["often"] * 5)
    profile = profiles.profile_categories(values)
    assert profile.categories[0] == "often"
    assert len(profile.categories) == profiles.MOST_CATEGORIES
    assert profile.counts[-2] == 401 - profiles.MOST_CATEGORIES
    assert profile.singletons == 400


def test_an_all_missing_column_has_a_profile() -> None:
    numbers = profiles.profile_numbers(np.array([np.nan, np.nan]))
    assert numbers.moments is None
    assert numbers.count(np.array([1.0, np.nan])).tolist() == [1, 1]
    categories = profiles.profile_categories(as_objects([None, None]))
    assert categories.count(as_objects(["x", None])).tolist() == [1, 1]


def test_infinite_values_are_counted_and_leave_the_profile_readable() -> None:
    profile = profiles.profile_numbers(np.array([-np.inf, 1.0, 2.0, 2.0, np.inf, np.nan]))
    assert profile.counts == (1, 1, 2, 1, 1)
    assert profile.moments == profiles.profile_numbers(np.array([1.0, 2.0, 2.0])).moments
    assert profiles.NumberProfile.model_validate_json(profile.model_dump_json()) == profile


def test_times_are_profiled_as_seconds() -> None:
    feature = Feature(name="t", kind=FeatureKind.TIME)
    times = np.array(["1970-01-02", "NaT"], dtype="datetime64[us]")
    profile = profiles.profile_column(feature, times)
    assert isinstance(profile, profiles.NumberProfile)
    assert profile.moments is not None
    assert profile.moments.mean == pytest.approx(86400.0)
    assert profile.counts[-1] == 1


def test_blocks_are_numbered_from_the_first() -> None:
    times = np.array(["2013-01-01T23:00", "2013-01-02T01:00", "2013-01-04T00:00"], dtype="datetime64[us]")
    assert profiles.block_numbers(times, 86400).tolist() == [0, 1, 3]


def test_a_profile_reads_back_the_same(tmp_path) -> None:
    profile = profiles.ReferenceProfile(
        pilot="a",
        snapshot="0" * 64,
        rows=3,
        features={
            "n": profiles.profile_numbers(np.array([1.0, 2.0, np.nan])),
            "c": profiles.profile_categories(as_objects(["x", "y", None])),
        },
        score=profiles.profile_numbers(np.array([0.1, 0.2, 0.3])),
        first_at=datetime(2013, 1, 1, tzinfo=UTC),
    )
    assert profiles.ReferenceProfile.read(profile.write(tmp_path)) == profile
