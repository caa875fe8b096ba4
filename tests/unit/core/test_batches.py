"""Tables counted batch by batch have the counts that they have as a whole."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pilotage.core import batches, errors, features, profiles
from pilotage.core.artifacts import Feature
from pilotage.core.profiles import CategoryProfile, NumberProfile
from pilotage.core.specs import FeatureKind

ROWS = 5000
WANTED = [
    Feature(name=name, kind=kind)
    for name, kind in {
        "number": FeatureKind.NUMBER,
        "holes": FeatureKind.NUMBER,
        "whole": FeatureKind.NUMBER,
        "empty": FeatureKind.NUMBER,
        "flag": FeatureKind.BOOLEAN,
        "at": FeatureKind.TIME,
        "text": FeatureKind.CATEGORY,
        "code": FeatureKind.CATEGORY,
        "ratio": FeatureKind.CATEGORY,
        "yes": FeatureKind.CATEGORY,
        "day": FeatureKind.CATEGORY,
    }.items()
]


def table(rows: int = ROWS, seed: int = 0) -> pa.Table:
    """Columns as snapshots have them, some values missing."""
    rng = np.random.default_rng(seed)
    gone = rng.random(rows) < 0.1
    picks = rng.integers(0, 400, rows)
    at = np.datetime64("2026-01-01", "us") + rng.integers(0, 10**13, rows).astype("timedelta64[us]")
    columns: dict[str, Any] = {
        "number": rng.normal(size=rows),
        "holes": pa.array(rng.lognormal(0, 3, rows), mask=gone),
        "whole": pa.array(rng.integers(0, 9, rows), mask=gone),
        "empty": pa.nulls(rows, pa.float64()),
        "flag": pa.array(rng.random(rows) < 0.3, mask=gone),
        "at": pa.array(at, pa.timestamp("us", "UTC"), mask=gone),
        "text": pa.array([f"v{min(pick, 300 - pick % 7)}" for pick in picks], mask=gone),
        "code": pa.array(picks % 5, mask=gone),
        "ratio": np.where(gone, np.nan, picks % 5 / 2),
        "yes": pa.array(picks % 2 == 0),
        "day": pa.array([date(2026, 1, 1 + pick % 28) for pick in picks]),
    }
    return pa.table(columns)


def in_memory(wanted: list[Feature], found: pa.Table) -> dict[str, NumberProfile | CategoryProfile]:
    columns = features.from_table(wanted, found)
    return {feature.name: profiles.profile_column(feature, columns[feature.name]) for feature in wanted}


def counted(wanted: list[Feature], reference: dict[str, Any], found: pa.Table) -> dict[str, list[int]]:
    columns = features.from_table(wanted, found)
    return {
        feature.name: reference[feature.name]
        .count(profiles.as_profiled(feature, columns[feature.name]))
        .tolist()
        for feature in wanted
    }


def in_parquet(folder: Path, found: pa.Table, parts: int = 2) -> list[Path]:
    """Files of several row groups."""
    paths = [folder / f"part-{part}.parquet" for part in range(parts)]
    size = -(-len(found) // parts)
    for part, path in enumerate(paths):
        pq.write_table(found.slice(part * size, size), path, row_group_size=700)
    return paths


def test_a_table_within_the_sample_has_the_profiles_that_it_has_in_memory(tmp_path: Path) -> None:
    found = table()
    expected = in_memory(WANTED, found)
    assert batches.profile_batches(WANTED, batches.of_table(found)) == expected
    scan = batches.of_parquet(in_parquet(tmp_path, found), WANTED)
    assert batches.profile_batches(WANTED, scan) == expected
    assert list(batches.profile_batches(WANTED, scan)) == list(expected)


def test_a_window_has_the_counts_that_it_has_in_memory(tmp_path: Path) -> None:
    reference = in_memory(WANTED, table())
    other = table(3000, seed=1)
    expected = counted(WANTED, reference, other)
    names = [feature.name for feature in WANTED]
    scan = batches.of_parquet(in_parquet(tmp_path, other), WANTED)
    for found in (scan(names), batches.of_table(other)(names), other.to_batches(max_chunksize=7)):
        counts = batches.count_batches(reference, WANTED, found)
        assert {name: values.tolist() for name, values in counts.items()} == expected


def test_a_larger_table_has_exact_counts_in_cells_of_about_the_same_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "SAMPLE_ROWS", 1000)
    monkeypatch.setattr(batches, "BATCH_ROWS", 300)
    found = table(20_000)
    asked: list[list[str]] = []

    def scan(names: Any) -> Any:
        asked.append(list(names))
        return batches.of_table(found)(names)

    made = batches.profile_batches(WANTED, scan, seed=3)
    exact = in_memory(WANTED, found)
    assert asked == [
        [feature.name for feature in WANTED],
        ["number", "holes", "whole", "empty", "flag", "at"],
    ]
    for name, expected in exact.items():
        profile = made[name]
        if isinstance(expected, CategoryProfile):
            assert profile == expected
            continue
        assert isinstance(profile, NumberProfile)
        assert list(profile.counts) == counted(WANTED, made, found)[name]
        assert profile.counts[0] == profile.counts[-2] == 0
        assert (profile.moments is None) == (expected.moments is None)
        if profile.moments is not None and expected.moments is not None:
            assert (profile.moments.min, profile.moments.max) == (expected.moments.min, expected.moments.max)
            assert profile.moments.mean == pytest.approx(expected.moments.mean, rel=1e-12, abs=1e-12)
            assert profile.moments.std == pytest.approx(expected.moments.std, rel=1e-12)
    assert made["whole"] == exact["whole"].model_copy(update={"moments": made["whole"].moments})  # type: ignore[union-attr]
    shares = np.array(made["number"].counts[2:-2]) / 20_000
    assert np.abs(shares - 1 / 62).max() < 5 * np.sqrt(1 / 62 / 1000)
    assert batches.profile_batches(WANTED, scan, seed=3) == made


def test_infinite_values_and_empty_batches_are_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [Feature(name="n", kind=FeatureKind.NUMBER)]
    values = np.random.default_rng(0).normal(size=3000)
    values[::50], values[1::50] = np.inf, -np.inf
    found = pa.table({"n": values})
    empty = found.slice(0, 0).to_batches() or [pa.record_batch({"n": pa.array([], pa.float64())})]
    expected = in_memory(wanted, found)["n"]
    assert isinstance(expected, NumberProfile)
    for most in (10_000, 1000):
        monkeypatch.setattr(batches, "SAMPLE_ROWS", most)
        made = batches.profile_batches(wanted, lambda names: [*empty, *found.to_batches(max_chunksize=400)])
        assert isinstance(made["n"], NumberProfile)
        assert (made["n"].counts[0], made["n"].counts[-2:]) == (60, (60, 0))
        assert made["n"].moments is not None
        assert expected.moments is not None
        assert made["n"].moments.std == pytest.approx(expected.moments.std)


def test_memory_for_distinct_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_FOLLOWED", 300)
    monkeypatch.setattr(batches, "BATCH_ROWS", 500)
    values: list[str | None] = [None]
    values += [f"id{row}" if row % 2 else f"v{row % 20}" for row in range(6000)]
    wanted = [Feature(name="c", kind=FeatureKind.CATEGORY)]
    profile = batches.profile_batches(wanted, batches.of_table(pa.table({"c": values})))["c"]
    assert isinstance(profile, CategoryProfile)
    usual = {name: count for name, count in Counter(values).items() if name and count > 1}
    assert profile.counts[-1] == 1
    kept = dict(zip(profile.categories, profile.counts, strict=False))
    assert {name: kept[name] for name in usual} == usual
    assert sum(profile.counts) == 6001
    assert profile.singletons == 3000


def test_values_that_are_one_category_are_counted_together() -> None:
    wanted = [Feature(name="c", kind=FeatureKind.CATEGORY)]
    numbers = pa.table({"c": [1.0, 1.5, None, float("nan"), 1.0]})
    reference = batches.profile_batches(wanted, batches.of_table(numbers))
    assert reference["c"].counts == (2, 1, 0, 2)
    texts = pa.table({"c": pa.array(["1", "1.5", "2", None]).dictionary_encode()})
    counts = batches.count_batches(reference, wanted, texts.to_batches())
    assert counts["c"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("kind", "column", "said"),
    [
        (FeatureKind.CATEGORY, pa.array([[1], [2]]), r"`c` of type list.* cannot be used as a category"),
        (FeatureKind.CATEGORY, pa.array([b"a", b"b"]), r"`c` of type binary cannot be used as a category"),
        (FeatureKind.NUMBER, pa.array(["a", "b"]), r"`c` of type string cannot be used as a number"),
    ],
)
def test_a_column_of_another_kind_is_named(kind: FeatureKind, column: pa.Array, said: str) -> None:
    with pytest.raises(errors.DataError, match=said):
        batches.profile_batches([Feature(name="c", kind=kind)], batches.of_table(pa.table({"c": column})))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    wanted = [Feature(name="c", kind=FeatureKind.CATEGORY), Feature(name="n", kind=FeatureKind.NUMBER)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1.0]}), path)
    with pytest.raises(errors.DataError, match="no column `c`"):
        batches.profile_batches(wanted, batches.of_parquet([path], wanted))
    pq.write_table(pa.table({"n": [1.0], "c": [["a"]]}), path)
    with pytest.raises(errors.DataError, match=r"`c` of type list.* cannot be used as a category"):
        batches.profile_batches(wanted, batches.of_parquet([path], wanted))
    path.write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(errors.DataError, match=r"a\.parquet` cannot be read as Parquet"):
        batches.profile_batches(wanted, batches.of_parquet([path], wanted))
    with pytest.raises(errors.DataError, match="no rows"):
        batches.profile_batches(wanted[1:], batches.of_table(pa.table({"n": pa.array([], pa.float64())})))


def test_times_are_counted_as_seconds() -> None:
    wanted = [Feature(name="at", kind=FeatureKind.TIME)]
    at = pa.table({"at": [datetime(1970, 1, 2, tzinfo=UTC), None]})
    profile = batches.profile_batches(wanted, batches.of_table(at))["at"]
    assert isinstance(profile, NumberProfile)
    assert profile.moments is not None
    assert (profile.moments.mean, profile.counts[-1]) == (86_400.0, 1)
