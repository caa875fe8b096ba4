"""A snapshot without some of its rows, where the same content was there, and deleted, before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.unit.components.tabular import make_settings, make_spec, write_csv

from pilotage.components import rewrites
from pilotage.components.ingest import ingest
from pilotage.core.artifacts import Snapshot
from pilotage.core.personal import erasures
from pilotage.core.storage import Storage


def read(folder: Path, rows: int) -> Snapshot:
    table: dict[str, list[Any]] = {
        "id": [f"r{i:03}" for i in range(rows)],
        "size": [float(i % 7) for i in range(rows)],
        "y": ["yes" if i % 3 else "no" for i in range(rows)],
    }
    source = write_csv(folder / "rows.csv", table)
    return ingest(make_spec(source.name, key="id"), folder, make_settings(folder), folder / "out")


def test_what_is_left_is_not_called_deleted_where_it_was_deleted_before(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    store = Storage(settings.storage)
    fewer, more = read(tmp_path, 80), read(tmp_path, 81)
    note = erasures.Deleted(
        digest=fewer.digest, rows=80, why="retention", replaced_by=None, deleted_at=datetime.now(UTC)
    )
    erasures.write_note(store, note)
    rewrites.drop(store, settings, fewer.digest)
    done = rewrites.without(settings, more.digest, "id", lambda value: value == "r080")
    assert done is not None
    assert (done.removed, done.left, done.replaced_by) == (1, 80, fewer.digest)
    assert store.published(fewer.name)
    assert erasures.note_of(store, fewer.digest) is None
