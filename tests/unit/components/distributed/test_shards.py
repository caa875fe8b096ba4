"""Rows dealt out to workers, and read by them from the snapshot: everyone's share, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.components import tabular

from pilotage.components import datasets, snapshots, splits
from pilotage.components.distributed import shards
from pilotage.components.distributed.shards import Rows
from pilotage.components.training import encodings
from pilotage.core import errors, features
from pilotage.core.metrics import Task


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Settings and a snapshot of several row groups, with a category of 400 values and missing ones."""
    folder, rng, rows = tmp_path_factory.mktemp("rows"), np.random.default_rng(0), 9_000
    table = pd.DataFrame(
        {
            "x": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            "many": pd.Series([f"v{value}" for value in rng.zipf(1.2, rows) % 400]).mask(
                rng.random(rows) < 0.05
            ),
            "few": rng.choice(["a", "b"], rows),
            "day": pd.date_range("2026-01-01", periods=rows, freq="h", tz="UTC"),
            "y": rng.choice(["no", "yes"], rows, p=[0.9, 0.1]),
        }
    )
    table.to_parquet(folder / "rows.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "BATCH_ROWS", 1_000)
        snapshot = tabular.ingested(folder, "rows.parquet", features={"many": "category"})
    return tabular.make_settings(folder), snapshot


@given(st.lists(st.sampled_from("abc"), min_size=30, max_size=120), st.integers(1, 5), st.integers(0, 9))
def test_shares_are_equal_and_hold_every_class(values, workers, seed):
    target = np.array([*"abc" * workers, *values])
    found = shards.deal(target, Task.CLASSIFICATION, workers, seed)
    counts = np.bincount(found, minlength=workers)
    assert counts.max() - counts.min() <= 1
    assert all(set(target[found == worker]) == set("abc") for worker in range(workers))
    np.testing.assert_array_equal(found, shards.deal(target, Task.CLASSIFICATION, workers, seed))


def test_a_class_that_not_everyone_can_have_is_refused():
    with pytest.raises(errors.DataError, match="Class `b` has 2 training rows, too few for 3 workers"):
        shards.deal(np.array(["a"] * 9 + ["b"] * 2), Task.CLASSIFICATION, 3, 0)


def test_an_opened_dataset_is_the_loaded_one(kept):
    settings, snapshot = kept
    loaded, opened = datasets.load(settings, snapshot), datasets.opened(settings, snapshot)
    rows = np.flatnonzero(np.random.default_rng(1).random(snapshot.rows) < 0.01)
    for some in (rows, np.arange(2_000, 2_050), rows[::-1], rows[:0]):
        one, other = loaded.take(some), opened.take(some)
        pd.testing.assert_frame_equal(one.frame(), other.frame())
        np.testing.assert_array_equal(one.target, other.target)
        assert set(other.held().columns) == set(one.columns)
    again = np.flatnonzero(rows % 2)
    pd.testing.assert_frame_equal(loaded.take(rows[again]).frame(), opened.take(rows).take(again).frame())
    np.testing.assert_array_equal(splits.places(loaded), splits.places(opened))
    np.testing.assert_array_equal(splits.places(loaded.take(rows)), splits.places(opened.take(rows)))


def test_rows_are_sent_as_bits_and_told_apart(kept):
    settings, snapshot = kept
    positions = np.flatnonzero(np.arange(snapshot.rows) % 3 == 0)
    rows = Rows.of(settings, snapshot, positions)
    np.testing.assert_array_equal(rows.positions, positions)
    assert len(rows.bits) == snapshot.rows / 8
    assert rows == Rows.of(settings, snapshot, positions)
    assert hash(rows) == hash(Rows.of(settings, snapshot, positions))
    assert rows != Rows.of(settings, snapshot, positions[1:])
    np.testing.assert_array_equal(rows.opened().target, shards.whole(rows).target)


@pytest.mark.parametrize("part", [slice(None), slice(0, 300)], ids=["many categories", "few categories"])
def test_an_encoder_learns_from_few_rows_what_it_learns_from_all(kept, part):
    settings, snapshot = kept
    whole = datasets.load(settings, snapshot).take(np.arange(snapshot.rows)[part])
    few = shards.standing_for(whole, encodings.MOST_CODES)
    assert few.rows < 1_000
    one = encodings.for_trees(snapshot.features).fit(whole.frame(), whole.target)
    other = encodings.for_trees(snapshot.features).fit(few.frame(), few.target)
    strange = {
        **whole.columns,
        "many": np.where(np.arange(whole.rows) % 7 == 0, "new", whole.columns["many"]),
    }
    for frame in (whole.frame(), features.to_frame(strange)):
        np.testing.assert_array_equal(one.transform(frame), other.transform(frame))
    assert one.get_feature_names_out().tolist() == other.get_feature_names_out().tolist()
