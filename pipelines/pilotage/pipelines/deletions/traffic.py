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
            held = storage.read(name)
        except errors.NotFound:  # a server replaced it, or it was purged
            continue
        try:
            table = pq.read_table(pa.BufferReader(held))
        except pa.ArrowInvalid as error:
            raise errors.DataError(
                f"`{storage.location(name)}` is no Parquet file, so nobody can tell whose rows are in it.",
                remedy="Delete the file, and do this again.",
            ) from error
        rest = without(table, column, matches)
        if rest.num_rows < table.num_rows:
            removed += table.num_rows - rest.num_rows
            storage.write(name, encoded(rest))
    return removed


def matching(
    storage: Storage, names: Iterable[str], matches: Callable[[str], bool], column: str = _ID
) -> int:
    """How many rows `erase` would take out."""
    found = 0
    for name in names:
        try:
            table = pq.read_table(pa.BufferReader(storage.read(name)))
        except (errors.NotFound, pa.ArrowInvalid):  # `erase` says what is wrong with a file
            continue
        found += table.num_rows - without(table, column, matches).num_rows
    return found


def without(table: pa.Table, column: str, matches: Callable[[str], bool]) -> pa.Table:
    """The rows of `table` whose text in `column` does not match."""
    if column not in table.column_names:
        return table
    kept = [
        value is None or not matches(value) for value in table.column(column).cast(pa.string()).to_pylist()
    ]
    return table if all(kept) else table.filter(pa.array(kept))


def encoded(table: pa.Table) -> bytes:
    """The table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content
