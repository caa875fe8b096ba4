"""Time blocks of the reference profile, and how an MLflow folder names inputs."""

from __future__ import annotations

import numpy as np
import pytest

from pilotage.components import provenance
from pilotage.components.training import references
from pilotage.core import profiles
from pilotage.core.specs import Season


@pytest.mark.parametrize(
    ("days", "expected"),
    [(90, 86_400), (20, 86_400), (5, 21_600), (2000, 7 * 86_400), (0.1, 300)],
    ids=["a quarter", "three weeks", "a working week", "years", "hours"],
)
def test_a_block_is_a_day_where_that_makes_enough_of_them(days, expected):
    times = np.datetime64("2026-01-01", "us") + (np.linspace(0, days * 86_400, 500) * 1e6).astype(
        "timedelta64[us]"
    )
    length = references.block_length(times)
    assert length == expected
    assert length is not None
    blocks = int(profiles.block_numbers(times, length).max()) + 1
    assert references.FEWEST_BLOCKS <= blocks <= references.MOST_BLOCKS


def test_one_instant_has_no_blocks():
    assert references.block_length(np.full(5, np.datetime64("2026-01-01", "us"))) is None


def test_held_out_rows_of_a_much_longer_time_have_no_blocks_but_seasons():
    day = np.datetime64("2026-01-01", "us")
    early, late = (day + np.arange(100) * np.timedelta64(minutes, "m") for minutes in (1, 10_000))
    length = references.block_length(early)
    blocks, seasons = references._groups(early, length, Season.HOUR)
    assert blocks is not None
    assert seasons is not None
    blocks, seasons = references._groups(late, length, Season.HOUR)
    assert blocks is None
    assert seasons is not None
    assert references._groups(None, None, Season.HOUR) == (None, None)


def test_the_code_digest_changes_with_the_pilots_own_file(tmp_path):
    own = tmp_path / "rules.py"
    own.write_text("A = 1\n")
    before = provenance.code_digest([own])
    assert provenance.code_digest([own]) == before != provenance.code_digest([])
    own.write_text("A = 2\n")
    assert provenance.code_digest([own]) != before


def test_a_folder_outside_git_has_no_revision(tmp_path):
    assert provenance.revision(tmp_path) is None
