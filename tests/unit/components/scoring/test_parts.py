"""Parts do not depend on how a source cuts its rows, and are kept as far as nothing changed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.components.scoring.parts import Part, Workshop, cut
from pilotage.components.sources.batches import Batch

SCHEMA = pa.schema([("x", pa.int64())])
PLAN = {"pilot": "a", "version": 1}


def batches(sizes: list[list[int]]) -> list[tuple[int, Batch]]:
    """Numbers from 0 on, in files of batches of these sizes."""
    found, number = [], 0
    for file, rows in enumerate(sizes):
        first = 1
        for size in rows:
            array = pa.array(range(number, number + size), pa.int64())
            batch = pa.RecordBatch.from_arrays([array], names=["x"])
            found.append((file, Batch(batch, f"file {file}", first)))
            number, first = number + size, first + size
    return found


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=5), st.integers(1, 12))
def test_every_row_is_in_one_part_in_order_with_its_place(sizes: list[list[int]], rows: int) -> None:
    parts = list(cut(iter(batches(sizes)), rows))
    places = [(file, place) for file, each in enumerate(sizes) for place in range(1, sum(each) + 1)]
    seen = [
        (int(batch.origin.split()[1]), batch.first + offset, value)
        for part in parts
        for batch in part.batches
        for offset, value in enumerate(batch.rows.column(0).to_pylist())
    ]
    assert seen == [(file, place, number) for number, (file, place) in enumerate(places)]
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(part.rows == rows for part in parts[:-1])
    for part in parts:
        assert part.file == int(part.batches[-1].origin.split()[1])


def table(part: Part) -> pa.Table:
    return pa.Table.from_batches([batch.rows for batch in part.batches], schema=SCHEMA)


def parts() -> list[Part]:
    """Six parts of two rows; parts 0 and 1 lie in file 0, part 2 ends in file 1."""
    return list(cut(iter(batches([[5], [3], [4]])), 2))


def filled(folder: Path, files: list[list[str]], count: int) -> None:
    workshop = Workshop(folder)
    with workshop.begun(PLAN, files):
        for part in parts()[:count]:
            workshop.add(part, table(part))


FILES = [["a", "1"], ["b", "1"], ["c", "1"]]


@pytest.mark.parametrize(
    ("plan", "files", "kept"),
    [
        (PLAN, FILES, [0, 1, 2, 3, 4]),
        (PLAN, [["a", "2"], ["b", "1"], ["c", "1"]], []),
        (PLAN, [["a", "1"], ["b", "2"], ["c", "1"]], [0, 1]),
        (PLAN, [["a", "1"], ["b", "1"], ["c", "2"]], [0, 1, 2, 3]),
        (PLAN, FILES[:1], [0, 1]),
        ({**PLAN, "version": 2}, FILES, []),
    ],
    ids=["nothing", "first", "second", "third", "fewer", "version"],
)
def test_parts_are_kept_up_to_what_changed(
    tmp_path: Path, plan: dict[str, object], files: list[list[str]], kept: list[int]
) -> None:
    filled(tmp_path / "parts", FILES, 5)
    workshop = Workshop(tmp_path / "parts")
    with workshop.begun(plan, files):
        assert [part.number for part in parts() if workshop.has(part)] == kept
    left = sorted(int(path.name[:8]) for path in (tmp_path / "parts").glob("*.parquet"))
    assert left == kept, "what does not belong is gone"


def test_a_plan_that_was_cut_short_keeps_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "parts", FILES, 5)
    (tmp_path / "parts" / "plan.json").write_text('{"plan": ')
    workshop = Workshop(tmp_path / "parts")
    with workshop.begun(PLAN, FILES):
        assert not any(workshop.has(part) for part in parts())


def test_joined_parts_are_one_table_whatever_order_they_came_in(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "parts")
    with workshop.begun(PLAN, FILES):
        for part in reversed(parts()):
            workshop.add(part, table(part))
        workshop.join(len(parts()), SCHEMA, tmp_path / "new" / "out.parquet")
    assert pq.read_table(tmp_path / "new" / "out.parquet")["x"].to_pylist() == list(range(12))
    assert not (tmp_path / "parts").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.parquet"]
