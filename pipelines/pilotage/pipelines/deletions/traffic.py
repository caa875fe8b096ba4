"""Takes rows with some ids out of Parquet files: row logs, samples, labels and kept scores.

A file is replaced as a whole, so a crash leaves the old or the new one. One without rows stays, so
that nobody takes it for missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from pilotage.core import errors
from pilotage.core.storage import Storage

_ID = "id"


def erase(storage: Storage, names: Iterable[str], matches: Callable[[str], bool], column: str = _ID) -> int:
    """Rewrite the files that hold a row whose text in `column` matches; returns how many rows went."""
    removed = 0
    for name in names:
        try:
            with storage.open(name) as stream, pq.ParquetFile(stream) as file:
                found = _count(file, column, matches)
                if found:
                    _rewrite(storage, name, file, column, matches)
                    removed += found
        except errors.NotFound:  # a server replaced it, or it was purged
            continue
        except pa.ArrowInvalid as error:
            raise errors.DataError(
                f"`{storage.location(name)}` is no Parquet file, so nobody can tell whose rows are in it.",
                remedy="Delete the file, and do this again.",
            ) from error
    return removed


def matching(
    storage: Storage, names: Iterable[str], matches: Callable[[str], bool], column: str = _ID
) -> int:
    """How many rows `erase` would take out."""
    found = 0
    for name in names:
        try:
            with storage.open(name) as stream, pq.ParquetFile(stream) as file:
                found += _count(file, column, matches)
        except (errors.NotFound, pa.ArrowInvalid):  # `erase` says what is wrong with a file
            continue
    return found


def _count(file: pq.ParquetFile, column: str, matches: Callable[[str], bool]) -> int:
    """Rows of a file that match, of which only the one column is read."""
    if column not in file.schema_arrow.names:
        return 0
    parts = (pa.Table.from_batches([part]) for part in file.iter_batches(columns=[column]))
    return sum(part.num_rows - without(part, column, matches).num_rows for part in parts)


def _rewrite(
    storage: Storage, name: str, file: pq.ParquetFile, column: str, matches: Callable[[str], bool]
) -> None:
    """Replace a file by its other rows, some at a time, for scores may be more than memory holds."""
    with storage.staging() as folder:
        path = folder / "rest.parquet"
        with pq.ParquetWriter(path, file.schema_arrow, compression="zstd") as writer:
            for part in file.iter_batches():
                writer.write_table(without(pa.Table.from_batches([part]), column, matches))
        storage.put(name, path)


def without(table: pa.Table, column: str, matches: Callable[[str], bool]) -> pa.Table:
    """The rows of `table` whose text in `column` does not match."""
    if column not in table.column_names:
        return table
    kept = [
        value is None or not matches(value) for value in table.column(column).cast(pa.string()).to_pylist()
    ]
    return table if all(kept) else table.filter(pa.array(kept))
