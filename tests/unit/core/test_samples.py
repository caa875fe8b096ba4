"""Samples of rows: what goes in comes out, and samples of replicas merge into one of all they served."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.core import errors, samples
from pilotage.core.artifacts import Feature
from pilotage.core.specs import FeatureKind

FEATURES = [
    Feature(name="distance", kind=FeatureKind.NUMBER),
    Feature(name="night", kind=FeatureKind.BOOLEAN),
    Feature(name="carrier", kind=FeatureKind.CATEGORY),
    Feature(name="score", kind=FeatureKind.TIME),  # a feature may be called as a column of the sample is
]


def sample(priorities: list[float]) -> pa.Table:
    n = len(priorities)
    return samples.build(
        FEATURES,
        {
            "distance": np.where(np.arange(n) % 3 == 0, np.nan, np.arange(n) * 1.5),
            "night": np.array([np.nan if k % 4 == 0 else float(k % 2) for k in range(n)]),
            "carrier": np.array([None if k % 5 == 0 else f"c{k % 2}" for k in range(n)], dtype=object),
            "score": np.array(["NaT" if k % 2 else "2026-01-01T00:00" for k in range(n)], "datetime64[us]"),
        },
        predictions=["yes"] * n,
        scores=np.linspace(0, 1, n),
        probabilities=np.column_stack([1 - np.linspace(0, 1, n), np.linspace(0, 1, n)]),
        priorities=np.array(priorities),
        times=np.array(["2026-01-01T00:00"] * n, "datetime64[us]"),
    )


def test_columns_come_back_from_a_file_as_they_went_in() -> None:
    table = sample([k / 10 for k in range(10)])
    sink = io.BytesIO()
    pq.write_table(table, sink)
    columns = samples.columns_of(pq.read_table(io.BytesIO(sink.getvalue())), FEATURES)
    assert np.isnan(columns["distance"][0])
    assert columns["distance"][1] == 1.5
    assert np.isnan(columns["night"][4])
    assert columns["night"][3] == 1.0
    assert columns["carrier"][:3].tolist() == [None, "c1", "c0"]
    assert np.isnat(columns["score"][1])
    assert columns["score"][0] == np.datetime64("2026-01-01T00:00")


def test_a_sample_is_read_as_it_was_written(tmp_path: Path) -> None:
    table, path = sample([0.5, 0.25]), tmp_path / samples.REFERENCE_FILE
    samples.write(table, path)
    assert samples.read(path).equals(table)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(errors.DataError, match=r"reference\.parquet"):
        samples.read(path)


def test_a_sample_without_rows_has_all_columns() -> None:
    columns = samples.columns_of(sample([]), FEATURES)
    assert {name: column.shape for name, column in columns.items()} == {
        "distance": (0,), "night": (0,), "carrier": (0,), "score": (0,),
    }  # fmt: skip


@given(st.lists(st.integers(0, 10_000), unique=True, min_size=1, max_size=60), st.data())
@settings(deadline=None, max_examples=40)
def test_samples_of_replicas_merge_into_the_sample_of_all_in_any_order(
    drawn: list[int], data: st.DataObject
) -> None:
    priorities = [value / 10_000.5 for value in drawn]
    cut = data.draw(st.integers(0, len(priorities)))
    kept = data.draw(st.integers(1, 20))
    whole = samples.smallest([sample(priorities)], kept)
    one = samples.smallest([sample(priorities[:cut])], kept)
    two = samples.smallest([sample(priorities[cut:])], kept)
    for parts in ([one, two], [two, one]):
        merged = samples.smallest(parts, kept)
        assert merged.column("priority").to_pylist() == whole.column("priority").to_pylist()
    assert whole.column("priority").to_pylist() == sorted(priorities)[:kept]


def test_what_a_smaller_sample_left_out_is_not_made_up_for_by_another() -> None:
    busy = samples.smallest([sample([k / 1000 for k in range(900)])], 10)
    quiet = sample([0.0055, 0.5, 0.9])
    assert samples.complete_below(busy) == 0.01
    assert samples.complete_below(quiet) == 1.0
    merged = samples.smallest([busy, quiet], 20)
    assert merged.column("priority").to_pylist() == [*[k / 1000 for k in range(6)], 0.0055, *[
        k / 1000 for k in range(6, 10)
    ]]  # fmt: skip
    sink = io.BytesIO()
    pq.write_table(merged, sink)
    assert samples.complete_below(pq.read_table(io.BytesIO(sink.getvalue()))) == 0.01


def test_a_sample_of_equal_priorities_is_cut_where_it_must_be() -> None:
    merged = samples.smallest([sample([0.5, 0.5, 0.5, 0.2])], 2)
    assert merged.column("priority").to_pylist() == [0.2, 0.5]
