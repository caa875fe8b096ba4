"""Reading a snapshot back, whole or in batches, from wherever the storage keeps it.

How a snapshot comes into being is ingest's business; what its columns mean for
a pilot is in the `Snapshot` artifact. Nothing is converted here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pilotage.core import errors
from pilotage.core.artifacts import ColumnType, Snapshot
from pilotage.core.personal import erasures
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 65_536
"""Rows of a row group, and of a batch that `scan` gives."""
_TAKEN_AT_ONCE = 8_192


def arrow_type(kind: ColumnType) -> pa.DataType:
    """The one Arrow type that columns of `kind` are stored with."""
    import pyarrow as pa

    return {
        ColumnType.INTEGER: pa.int64(),
        ColumnType.NUMBER: pa.float64(),
        ColumnType.BOOLEAN: pa.bool_(),
        ColumnType.TEXT: pa.string(),
        ColumnType.DATE: pa.date32(),
        ColumnType.DATETIME: pa.timestamp("us", tz="UTC"),
    }[kind]


def folder(settings: Settings, snapshot: Snapshot) -> Path:
    """The local folder that holds the snapshot's files; downloaded once from a remote storage.

    Raises:
        NotFound: the storage does not hold the snapshot.
    """
    store = Storage(settings.storage)
    try:
        return store.fetch(snapshot.name, settings.home / "cache")
    except errors.NotFound as error:
        note = erasures.note_of(store, snapshot.digest)
        if note is None:
            raise
        raise errors.NotFound(
            f"Snapshot {snapshot.digest[:12]} is not there any more: {note.sentence}.",
            remedy="Run the pilot again on what its source has now.",
            digest=snapshot.digest,
        ) from error


def scan(
    settings: Settings, snapshot: Snapshot, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """The rows in order, in batches of at most `rows`, with `columns` in the order asked for, or all.

    Raises:
        NotFound: the storage does not hold the snapshot.
        DataError: the snapshot has no such column, or its files are damaged.
    """
    wanted = _columns(snapshot, columns)
    place = folder(settings, snapshot)
    for part in snapshot.files:
        with _intact(place / part.name, snapshot) as file:
            for batch in file.iter_batches(batch_size=rows, columns=wanted):
                yield batch.select(wanted)


def read_table(settings: Settings, snapshot: Snapshot, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows in order, with `columns` in the order asked for, or all of the snapshot's columns.

    Raises:
        NotFound: the storage does not hold the snapshot.
        DataError: the snapshot has no such column, or its files are damaged.
    """
    import pyarrow as pa

    wanted = _columns(snapshot, columns)
    place, parts = folder(settings, snapshot), []
    for part in snapshot.files:
        with _intact(place / part.name, snapshot) as file:
            parts.append(file.read(columns=wanted).select(wanted))
    return pa.concat_tables(parts)


def take(
    settings: Settings, snapshot: Snapshot, columns: Sequence[str], positions: npt.NDArray[np.int64]
) -> pa.Table:
    """The rows at ascending `positions`, with `columns`; holds no more than them and a batch.

    Raises:
        NotFound: the storage does not hold the snapshot.
        DataError: the snapshot has no such column, or its files are damaged.
    """
    import numpy as np
    import pyarrow as pa

    kept, begin = [], 0
    for batch in _holding(settings, snapshot, columns, positions):
        if isinstance(batch, int):
            begin += batch
            continue
        first, last = np.searchsorted(positions, [begin, begin + batch.num_rows])
        kept.append(batch.take(pa.array(positions[first:last] - begin)))
        begin += batch.num_rows
    if not kept:
        return read_table(settings, snapshot, columns).slice(0, 0)
    return pa.Table.from_batches(kept).combine_chunks()


def _holding(
    settings: Settings, snapshot: Snapshot, columns: Sequence[str], positions: npt.NDArray[np.int64]
) -> Iterator[pa.RecordBatch | int]:
    """Batches of the row groups that hold any of `positions`, and how many rows each other group has."""
    import numpy as np

    wanted, place, begin = _columns(snapshot, columns), folder(settings, snapshot), 0
    for part in snapshot.files:
        with _intact(place / part.name, snapshot) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                first, last = np.searchsorted(positions, [begin, begin + rows])
                begin += rows
                if first == last:
                    yield int(rows)
                    continue
                for batch in file.iter_batches(_TAKEN_AT_ONCE, row_groups=[group], columns=wanted):
                    yield batch.select(wanted)


def sample(rows: int, most: int) -> npt.NDArray[np.int64]:
    """Ascending positions of at most `most` of `rows` rows, one at random of each stretch of equal length.

    The same every time; a period in the rows does not fall in with the stretches.
    """
    import numpy as np

    if rows <= most:
        return np.arange(rows)
    places: npt.NDArray[np.int64] = (
        (np.arange(most) + np.random.default_rng(most).random(most)) * (rows / most)
    ).astype(np.int64)
    return np.minimum(places, rows - 1)


def _columns(snapshot: Snapshot, columns: Sequence[str] | None) -> list[str]:
    stored = [column.name for column in snapshot.columns]
    if columns is None:
        return stored
    known = set(stored)
    missing = [name for name in columns if name not in known]
    if missing:
        raise errors.DataError(
            f"Snapshot {snapshot.digest[:12]} has no column `{missing[0]}`.",
            remedy="Run ingest again on a source that has it.",
            columns=missing,
        )
    return list(columns)


@contextmanager
def _intact(path: Path, snapshot: Snapshot) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowInvalid) as error:
        raise errors.DataError(
            f"`{path}` of snapshot {snapshot.digest[:12]} cannot be read: {error}.",
            remedy="Delete the snapshot's folder and run ingest again with --no-cache.",
        ) from error
