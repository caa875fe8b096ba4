"""Windows of one season are compared with the reference's rows of that season."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pilotage.core import profiles
from pilotage.core.profiles import Groups, NumberProfile, ReferenceProfile
from pilotage.core.specs import Season
from pilotage.serving.monitor.drift import seasons

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def profile(season: Season = Season.WEEKDAY, block_seconds: float = 86_400.0) -> ReferenceProfile:
    """Eight weeks from a Monday, ten rows a day; the number is the weekday's."""
    days = np.repeat(np.arange(56), 10)
    values = (days % 7).astype(float)
    part = profiles.profile_numbers(values, days, Groups(days % 7, 7))
    return ReferenceProfile(
        pilot="demo", snapshot="0" * 64, rows=len(days), features={"x": part}, score=part,
        block_seconds=block_seconds, first_at=MONDAY, last_at=MONDAY + 56 * DAY, season=season,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("season", "start", "length", "held"),
    [
        (Season.NONE, MONDAY, DAY, set()),
        (Season.WEEKDAY, MONDAY, DAY, {0}),
        (Season.WEEKDAY, MONDAY + 23 * HOUR, HOUR, {0}),
        (Season.WEEKDAY, MONDAY + 6 * DAY, 2 * DAY, {6, 0}),
        (Season.WEEKDAY, MONDAY, 7 * DAY, set()),
        (Season.HOUR, MONDAY + 5 * HOUR, HOUR, {5}),
        (Season.HOUR, MONDAY + 23 * HOUR, 2 * HOUR, {23, 0}),
        (Season.HOUR, MONDAY, DAY, set()),
    ],
)
def test_seasons_of_a_window(season: Season, start: datetime, length: timedelta, held: set[int]) -> None:
    assert seasons.touched(season, start, start + length) == held


def test_only_rows_and_blocks_of_the_season_remain() -> None:
    part = seasons.seasonal(profile(), MONDAY + 2 * DAY, MONDAY + 3 * DAY).features["x"]
    assert isinstance(part, NumberProfile)
    assert sum(part.counts) == 80
    cell = int(np.argmax(part.counts))
    assert part.edges[cell] == 2.0  # Wednesday's number
    assert [sum(block) for block in part.blocks] == [10] * 8
    assert all(block[cell] == 10 for block in part.blocks)


def test_blocks_of_another_length_are_left_out_and_a_whole_cycle_changes_nothing() -> None:
    longer = profile(block_seconds=7 * 86_400.0)
    assert seasons.seasonal(longer, MONDAY, MONDAY + DAY).features["x"].blocks == ()
    whole = profile()
    assert seasons.seasonal(whole, MONDAY, MONDAY + 7 * DAY) is whole
    assert seasons.seasonal(profile(Season.NONE), MONDAY, MONDAY + DAY) == profile(Season.NONE)
