"""A snapshot without some of its rows: another content, and so another digest and another place.

The rest keeps its order and its types; what the columns mean is not asked. The old snapshot is left
as it is: whoever calls decides when it goes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pilotage.components.ingestion import publications, tables
from pilotage.components.ingestion.tables import Spool
from pilotage.core import errors
from pilotage.core.artifacts import Column, ColumnType
from pilotage.core.personal.erasures import Deleted, note_of, write_note
from pilotage.core.settings import Settings
from pilotage.core.storage import COMPLETE, Storage

_log = logging.getLogger(__name__)

Matches = Callable[[str], bool]


@dataclass(frozen=True)
class Rewritten:
    """What became of a snapshot."""

    digest: str
    """As it was."""
    removed: int
    left: int
    replaced_by: str | None
    """None where no row is left."""


def without(settings: Settings, digest: str, key: str, matches: Matches) -> Rewritten | None:
    """Publish the rows of snapshot `digest` whose `key` does not match, and delete it with a note.

    Repeated after a crash at any moment it ends the same: the new snapshot is published first, then the
    note is written, then the old one goes.

    Returns:
        None where the snapshot is not there, has no such column, or no row matches.
    """
    store = Storage(settings.storage)
    name = f"snapshots/{digest}"
    if not store.published(name):
        finish(store, settings, digest)
        return None
    manifest = json.loads(store.read(f"{name}/{COMPLETE}"))
    columns = [Column.model_validate(column) for column in manifest["columns"]]
    if key not in {column.name for column in columns}:
        return None
    place = store.fetch(name, settings.home / "cache")
    if not _any(place, manifest, key, matches):
        return None
    types = {column.name: column.type for column in columns}
    with store.staging() as staging:
        spool = _spooled(place, manifest, key, matches, types, staging)
        removed = int(manifest["rows"]) - spool.rows
        new = _published(store, spool, staging, columns[0].name) if spool.rows else None
    note = Deleted(
        digest=digest,
        rows=int(manifest["rows"]),
        why="erasure",
        replaced_by=new,
        deleted_at=datetime.now(UTC),
    )
    write_note(store, note)
    drop(store, settings, digest)
    _log.info("snapshot %s: %d rows erased, the rest is %s", digest[:12], removed, (new or "nothing")[:12])
    return Rewritten(digest, removed, spool.rows, new)


def matching(settings: Settings, digest: str, key: str, matches: Matches) -> int:
    """How many rows of snapshot `digest` `without` would take out; 0 where it is not there."""
    store = Storage(settings.storage)
    name = f"snapshots/{digest}"
    if not store.published(name):
        return 0
    manifest = json.loads(store.read(f"{name}/{COMPLETE}"))
    if key not in {column["name"] for column in manifest["columns"]}:
        return 0
    return sum(
        value is not None and matches(value)
        for batch in _batches(store.fetch(name, settings.home / "cache"), manifest, [key])
        for value in batch.column(0).cast(pa.string()).to_pylist()
    )


def drop(store: Storage, settings: Settings, digest: str) -> None:
    """Delete a snapshot and this machine's copy of it; the manifest first, so that no half is seen, and the
    folder last, so that it tells whether there is more to do."""
    name = f"snapshots/{digest}"
    Storage(str(settings.home)).delete(f"cache/{name}")
    store.delete(f"{name}/{COMPLETE}")
    store.delete(name)


def finish(store: Storage, settings: Settings, digest: str) -> None:
    """Delete what a crash left of a snapshot that was being deleted: one with a note and no manifest."""
    name = f"snapshots/{digest}"
    if store.exists(name) and not store.published(name) and note_of(store, digest) is not None:
        drop(store, settings, digest)


def _any(place: Path, manifest: dict[str, Any], key: str, matches: Matches) -> bool:
    return any(
        matches(value)
        for batch in _batches(place, manifest, [key])
        for value in batch.column(0).cast(pa.string()).to_pylist()
        if value is not None
    )


def _batches(place: Path, manifest: dict[str, Any], columns: list[str] | None = None) -> Any:
    for file in manifest["files"]:
        try:
            with pq.ParquetFile(place / file["name"]) as parquet:
                yield from parquet.iter_batches(columns=columns)
        except (OSError, pa.ArrowInvalid) as error:
            raise errors.DataError(
                f"`{place / file['name']}` cannot be read, so nobody can tell whose rows are in it: {error}.",
                remedy="Delete the snapshot's folder, and do this again.",
            ) from error


def _spooled(
    place: Path,
    manifest: dict[str, Any],
    key: str,
    matches: Matches,
    types: dict[str, ColumnType],
    staging: Path,
) -> Spool:
    rough = staging / "spool"
    rough.mkdir()
    file, writer, rows = rough / "spool-000000.arrow", None, 0
    try:
        for batch in _batches(place, manifest):
            names = batch.column(batch.schema.get_field_index(key)).cast(pa.string()).to_pylist()
            rest = batch.filter(pa.array([value is None or not matches(value) for value in names]))
            if writer is None:
                writer = pa.ipc.new_stream(file, rest.schema)
            writer.write_batch(rest)
            rows += rest.num_rows
    finally:
        if writer is not None:
            writer.close()
    return Spool(files=(file,), rows=rows, types=types)


def _published(store: Storage, spool: Spool, staging: Path, target: str) -> str:
    table = tables.write(spool, staging, target, None)
    for file in spool.files:
        file.unlink()
    spool.files[0].parent.rmdir()
    publications.publish(store, staging, table)
    return table.digest
