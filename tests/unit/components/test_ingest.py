"""What ingest makes of clean tables: types, kinds, roles and the digest."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.components.tabular import columns, ingested, make_settings, stored, write_csv

from pilotage.components import snapshots
from pilotage.components.ingest import sweep
from pilotage.components.ingestion import tables
from pilotage.components.sources.batches import Batch, Opened, Texts
from pilotage.core import errors
from pilotage.core.artifacts import ColumnType, Snapshot
from pilotage.core.specs import FeatureKind
from pilotage.core.storage import Storage


def kinds(snapshot: Snapshot) -> dict[str, str]:
    return {feature.name: feature.kind.value for feature in snapshot.features}


def types(snapshot: Snapshot) -> dict[str, str]:
    return {column.name: column.type.value for column in snapshot.columns}


def reasons(snapshot: Snapshot) -> dict[str, str]:
    return {item.name: item.reason for item in snapshot.excluded}


def test_a_csv_with_every_kind_needs_no_declaration(tmp_path):
    write_csv(tmp_path / "t.csv", columns())
    snapshot = ingested(tmp_path, "t.csv")
    assert kinds(snapshot) == {
        "size": "number",
        "count": "number",
        "colour": "category",
        "member": "boolean",
        "day": "time",
    }
    assert snapshot.classes == ("no", "yes")
    assert snapshot.rows == 60
    assert stored(snapshot, "size").nulls == 9
    assert Snapshot.read(tmp_path / "out") == snapshot


def test_the_same_data_finds_the_same_snapshot_and_writes_nothing(tmp_path):
    write_csv(tmp_path / "t.csv", columns())
    first = ingested(tmp_path, "t.csv")
    place = snapshots.folder(make_settings(tmp_path), first)
    before = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    second = ingested(tmp_path, "t.csv")
    assert second == first
    assert {path.name: path.stat().st_mtime_ns for path in place.iterdir()} == before
    assert not list((tmp_path / "home" / ".staging").iterdir())


def test_the_digest_does_not_depend_on_format_or_on_how_files_are_cut(tmp_path):
    table = columns()
    frame = pl.read_csv(write_csv(tmp_path / "t.csv", table), try_parse_dates=True)
    parts = tmp_path / "parts"
    for number, begin in enumerate(range(0, 60, 17)):
        write_csv(parts / f"{number}.csv", {name: part[begin : begin + 17] for name, part in table.items()})
    with gzip.open(tmp_path / "t.csv.gz", "wb") as stream:
        stream.write((tmp_path / "t.csv").read_bytes())
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=11)
    (tmp_path / "t.jsonl").write_text(
        "".join(json.dumps(row, default=str) + "\n" for row in frame.rows(named=True)), "utf-8"
    )
    sources = ("t.csv", "parts/*.csv", "t.csv.gz", "t.parquet", "t.jsonl", f"file://{tmp_path}/t.csv")
    assert len({ingested(tmp_path, source).digest for source in sources}) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t["count"].__setitem__(5, 99), id="a value"),
        pytest.param(lambda t: t["size"].__setitem__(1, None), id="a missing value"),
        pytest.param(lambda t: t.__setitem__("counts", t.pop("count")), id="a name"),
        pytest.param(lambda t: [column.reverse() for column in t.values()], id="the order"),
        pytest.param(lambda t: t.__setitem__("count", [v + 0.5 for v in t["count"]]), id="a type"),
    ],
)
def test_the_digest_changes_with(tmp_path, change):
    table = columns()
    write_csv(tmp_path / "a.csv", table)
    change(table)
    write_csv(tmp_path / "b.csv", table)
    assert ingested(tmp_path, "a.csv").digest != ingested(tmp_path, "b.csv").digest


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([1, 2, 3], ColumnType.INTEGER, id="integers"),
        pytest.param([1, 2, 3.5], ColumnType.NUMBER, id="a float after integers"),
        pytest.param(["007", "012", "13"], ColumnType.TEXT, id="leading zeros"),
        pytest.param(["12345678901234567890", "1", "2"], ColumnType.TEXT, id="more than 18 digits"),
        pytest.param(["0", "-1", "+2"], ColumnType.INTEGER, id="signs and zero"),
        pytest.param(["0.5", "1e3", ".5"], ColumnType.NUMBER, id="exponents"),
        pytest.param(["true", "False", "TRUE"], ColumnType.BOOLEAN, id="booleans"),
        pytest.param(["yes", "no", "yes"], ColumnType.TEXT, id="yes and no are categories"),
        pytest.param(["2024-02-29", "2024-01-01", "NA"], ColumnType.DATE, id="dates"),
        pytest.param(["2024-02-29", "2024-01-01T10:00Z", ""], ColumnType.DATETIME, id="dates and times"),
        pytest.param(["2024-02-30", "2024-13-01", "x"], ColumnType.TEXT, id="no such day"),
        pytest.param([" 1", "2 ", " NA "], ColumnType.INTEGER, id="blanks around"),
        pytest.param(["a", "1", "b"], ColumnType.TEXT, id="words and some numbers"),
        pytest.param(["null", "NaN", ""], ColumnType.TEXT, id="nothing at all"),
    ],
)
def test_csv_types_are_inferred_over_the_whole_column(tmp_path, values, expected):
    write_csv(tmp_path / "t.csv", {**columns(60), "x": values * 20})
    assert stored(ingested(tmp_path, "t.csv"), "x").type is expected


def test_a_late_float_in_another_file_makes_the_column_a_number(tmp_path):
    first, second = columns(40), columns(40)
    second["count"][-1] = 2.5
    write_csv(tmp_path / "d/1.csv", first)
    write_csv(tmp_path / "d/2.csv", second)
    snapshot = ingested(tmp_path, "d/*.csv")
    assert stored(snapshot, "count").type is ColumnType.NUMBER
    assert snapshots.read_table(make_settings(tmp_path), snapshot, ["count"]).column(0)[0].as_py() == 0.0


def test_times_are_instants_in_utc_whatever_their_offset(tmp_path):
    told = ["2024-03-01T10:00:00+02:00", "2024-03-01 09:30:15.250", "2024-03-01T12:00:00.123456789Z"] * 20
    write_csv(tmp_path / "t.csv", {**columns(60), "at": told})
    snapshot = ingested(tmp_path, "t.csv", time="at")
    values = snapshots.read_table(make_settings(tmp_path), snapshot, ["at"]).column(0).to_pylist()[:3]
    assert values == [
        datetime(2024, 3, 1, 8, tzinfo=UTC),
        datetime(2024, 3, 1, 9, 30, 15, 250_000, tzinfo=UTC),
        datetime(2024, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC),
    ]
    assert snapshot.time_range == (values[0], values[2])


def test_columns_that_cannot_help_are_left_out_with_a_reason(tmp_path):
    extra: dict[str, list[Any]] = {
        "id": [f"id-{i}" for i in range(200)],
        "same": ["x"] * 200,
        "empty": [None] * 200,
        "leak": [i % 2 for i in range(200)],
        "often": [f"v{i % 40}" for i in range(200)],
    }
    write_csv(tmp_path / "t.csv", {**columns(200), **extra})
    found = reasons(ingested(tmp_path, "t.csv", exclude=["leak"]))
    assert "identifier" in found["id"]
    assert "constant" in found["same"]
    assert "no value" in found["empty"]
    assert "data.exclude" in found["leak"]
    assert found["y"] == "is the target"
    assert "often" not in found


def test_declared_features_are_taken_exactly_and_in_their_order(tmp_path):
    write_csv(tmp_path / "t.csv", {**columns(), "zip": [f"{10000 + i}" for i in range(60)]})
    snapshot = ingested(tmp_path, "t.csv", features={"zip": "category", "size": "number"})
    assert kinds(snapshot) == {"zip": "category", "size": "number"}
    assert list(kinds(snapshot)) == ["zip", "size"]
    assert types(snapshot)["zip"] == "text"


def test_key_and_time_are_no_features_unless_declared(tmp_path):
    table = {**columns(), "k": [f"k{i}" for i in range(60)]}
    write_csv(tmp_path / "t.csv", table)
    assert not {"k", "day"} & set(kinds(ingested(tmp_path, "t.csv", key="k", time="day")))
    declared = ingested(tmp_path, "t.csv", key="k", time="day", features={"day": "time", "size": "number"})
    assert "day" in kinds(declared)


def test_whole_numbers_written_with_a_point_are_classes(tmp_path):
    write_csv(tmp_path / "t.csv", {**columns(), "y": ["0.0", "1.0"] * 30})
    assert ingested(tmp_path, "t.csv").classes == (0, 1)
    pq.write_table(pa.table({"x": list(range(40)), "y": [0.0, 1.0] * 20}), tmp_path / "t.parquet")
    assert ingested(tmp_path, "t.parquet").classes == (0, 1)


def test_unicode_lives_in_names_and_values(tmp_path):
    write_csv(tmp_path / "t.csv", {**columns(), "größe – 大小": ["å", "名", "🙂"] * 20})
    snapshot = ingested(tmp_path, "t.csv")
    assert kinds(snapshot)["größe – 大小"] == "category"
    read = snapshots.read_table(make_settings(tmp_path), snapshot, ["größe – 大小"]).column(0).to_pylist()
    assert read[:3] == ["å", "名", "🙂"]


def test_csv_may_have_semicolons_quotes_line_breaks_and_a_byte_order_mark(tmp_path):
    rows = "".join(f'"line\n{i % 3}";{i % 5};{"ab"[i % 2]}\n' for i in range(30))
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + ("note;n;y\n" + rows).encode())
    snapshot = ingested(tmp_path, "t.csv")
    assert types(snapshot) == {"note": "text", "n": "integer", "y": "text"}
    assert snapshot.rows == 30


def test_a_column_without_a_header_is_named_and_left_out(tmp_path):
    write_csv(tmp_path / "t.csv", {"": list(range(60)), **columns()})
    assert "header" in reasons(ingested(tmp_path, "t.csv"))["unnamed_1"]


def test_scan_gives_the_rows_of_read_table_in_batches(tmp_path):
    write_csv(tmp_path / "t.csv", columns(100))
    snapshot, installation = ingested(tmp_path, "t.csv"), make_settings(tmp_path)
    batches = list(snapshots.scan(installation, snapshot, ["y", "count"], rows=30))
    assert [batch.num_rows for batch in batches] == [30, 30, 30, 10]
    assert pa.Table.from_batches(batches).equals(snapshots.read_table(installation, snapshot, ["y", "count"]))


def test_a_damaged_snapshot_is_named(tmp_path):
    write_csv(tmp_path / "t.csv", columns())
    snapshot, installation = ingested(tmp_path, "t.csv"), make_settings(tmp_path)
    (snapshots.folder(installation, snapshot) / snapshot.files[0].name).write_bytes(b"broken")
    with pytest.raises(errors.DataError, match="cannot be read"):
        snapshots.read_table(installation, snapshot)


def test_the_sweep_removes_what_dead_processes_left_and_nothing_else(tmp_path):
    staging = tmp_path / ".staging"
    dead, alive = staging / "999999999-abc", staging / f"{os.getpid()}-abc"
    for folder in (dead, alive):
        folder.mkdir(parents=True)
    sweep(Storage(str(tmp_path)))
    assert [folder.exists() for folder in (dead, alive)] == [False, True]


CELLS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
TEXTS = st.one_of(st.none(), st.text(max_size=6))
REALS = st.one_of(st.none(), st.floats(allow_nan=False))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=st.lists(st.tuples(CELLS, TEXTS, REALS, st.booleans()), min_size=1, max_size=60), cut=st.data())
def test_the_digest_does_not_depend_on_batches(tmp_path, rows, cut, monkeypatch):
    monkeypatch.setattr(tables, "group_rows", lambda _: 8)
    table = pa.table(
        [list(column) for column in zip(*rows, strict=True)],
        schema=pa.schema([("i", pa.int64()), ("t", pa.string()), ("x", pa.float64()), ("b", pa.bool_())]),
    )
    sizes = cut.draw(st.lists(st.integers(1, 20), min_size=1, max_size=60))
    digests, whole = set(), [len(rows)]
    for number, lengths in enumerate((whole, sizes)):
        folder = tmp_path / f"{number}"
        folder.mkdir(exist_ok=True)
        digests.add(_digest(_cut(table, lengths), folder))
    assert len(digests) == 1


def _cut(table: pa.Table, sizes: list[int]) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = []
    begin = 0
    while begin < table.num_rows:
        size = sizes[len(batches) % len(sizes)]
        batches.append(table.slice(begin, size).combine_chunks().to_batches()[0])
        begin += size
    return batches


def _digest(batches: list[pa.RecordBatch], folder: Path) -> str:
    pins = {"t": FeatureKind.CATEGORY, "i": FeatureKind.NUMBER}
    opened = Opened("test", Texts.TEXT, False, (Batch(rows, "test", 1) for rows in batches))
    return tables.write(tables.spool(opened, folder, pins, ()), folder, "b", "i").digest
