"""Parquet, CSV and JSON lines, read in batches from local disk or any fsspec store."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pilotage.components.sources import listings, values
from pilotage.components.sources.batches import ROWS, Batch, Opened, Texts
from pilotage.components.sources.listings import Format, Listing
from pilotage.core import errors

_BLOCK_BYTES = 4 << 20
_MOST_BLOCK_BYTES = 64 << 20
_ROWS_PER_BLOCK = 2_000
"""What a block should hold of a very wide table, whose columns cost more than their rows."""
_JSON_CELLS = 1 << 20
_SEPARATORS = ",;\t|"
_MOST_REASON = 200
_SAID = re.compile(r"(columns, got \d+|invalid value|Invalid value)\b.*")
"""Where readers go on with what the row holds, which may be somebody's data and is told to nobody."""


def open_files(source: str, folder: Path) -> Opened:
    """Begin to read the files that `source` names.

    Raises:
        SourceError: no file matches, or one cannot be read; the latter also while batches are taken.
        Unavailable: the store does not answer.
    """
    listing = listings.list_files(source, folder)
    return Opened(
        description=f"{source} ({len(listing.paths)} {listing.format} file{'s'[: len(listing.paths) > 1]})",
        texts={Format.PARQUET: Texts.TEXT, Format.CSV: Texts.ANYTHING, Format.JSON_LINES: Texts.TIMES}[
            listing.format
        ],
        open_ended=listing.format is Format.JSON_LINES,
        batches=_batches(listing),
    )


def count_rows(listing: Listing, path: str) -> tuple[int, list[str]]:
    """How many rows a Parquet file has, and its columns, from its footer. Raises as `open_files`."""
    with _reading(path, listing.format), listing.files.open(path, "rb") as stream:
        file = pq.ParquetFile(stream)
        _distinct(file.schema_arrow.names, f"`{PurePosixPath(path).name}`")
        return int(file.metadata.num_rows), list(file.schema_arrow.names)


def read_rows(listing: Listing, path: str, begin: int, rows: int) -> Iterator[Batch]:
    """`rows` rows of a Parquet file from position `begin` on; only their row groups are read.

    Raises as `open_files`.
    """
    name, end = f"`{PurePosixPath(path).name}`", begin + rows
    folder = Path(path).parent if listing.local else None
    with _reading(path, listing.format), listing.files.open(path, "rb") as stream:
        file, first = pq.ParquetFile(stream), 0
        for group in range(file.num_row_groups):
            held = file.metadata.row_group(group).num_rows
            if first < end and first + held > begin:
                start = first
                for batch in file.iter_batches(batch_size=ROWS, row_groups=[group]):
                    low, high = max(begin - start, 0), min(end - start, batch.num_rows)
                    if low < high:
                        yield Batch(batch.slice(low, high - low), name, start + low + 1, folder)
                    start += batch.num_rows
            first += held


def _batches(listing: Listing) -> Iterator[Batch]:
    read = {Format.PARQUET: _parquet, Format.CSV: _csv, Format.JSON_LINES: _json_lines}[listing.format]
    for path in listing.paths:
        name, first = f"`{PurePosixPath(path).name}`", 1
        with _reading(path, listing.format):
            for rows in read(listing, path, name):
                yield Batch(rows, name, first, Path(path).parent if listing.local else None)
                first += rows.num_rows


@contextmanager
def _reading(path: str, kind: Format) -> Iterator[None]:
    """Turn what libraries raise about a damaged or unreachable file into our terms."""
    try:
        yield
    except (ConnectionError, TimeoutError) as error:
        raise errors.Unavailable(
            f"`{path}` cannot be read: {error}.", remedy="Check the network and the store's credentials."
        ) from error
    except (pa.ArrowException, OSError, EOFError, ValueError, csv.Error) as error:
        reason = _SAID.sub(r"\1", " ".join(str(error).split()))[:_MOST_REASON].rstrip(".")
        utf8 = isinstance(error, UnicodeDecodeError) or "UTF8" in reason
        raise errors.SourceError(
            f"`{path}` cannot be read as {kind}: {reason}.",
            remedy="Save it with the encoding UTF-8." if utf8 else "Correct the file, or write it anew.",
            path=path,
        ) from error


def _open(listing: Listing, path: str) -> IO[bytes]:
    stream: IO[bytes] = listing.files.open(path, "rb", compression=listings.compression(path))
    return stream


def _parquet(listing: Listing, path: str, name: str) -> Iterator[pa.RecordBatch]:
    with listing.files.open(path, "rb") as stream, pq.ParquetFile(stream) as file:
        _distinct(file.schema_arrow.names, name)
        yield from file.iter_batches(batch_size=ROWS)


def _csv(listing: Listing, path: str, name: str) -> Iterator[pa.RecordBatch]:
    """Batches of text, with `""` where there is nothing between separators."""
    with _open(listing, path) as stream:
        header, separator, size = _header(stream)
    if not header:
        return
    _distinct(header, name)
    with _open(listing, path) as stream:
        reader = pyarrow.csv.open_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(
                block_size=min(max(_BLOCK_BYTES, size * _ROWS_PER_BLOCK), _MOST_BLOCK_BYTES),
                column_names=header,
                skip_rows_after_names=1,
                use_threads=False,
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
        for rows in reader:
            for begin in range(0, rows.num_rows, ROWS):
                yield rows.slice(begin, ROWS)


def _header(stream: IO[bytes]) -> tuple[list[str], str, int]:
    """Column names, separator, and size in bytes of the first line that is not empty."""
    first = b""
    for line in stream:
        first += line
        if first.strip() and first.count(b'"') % 2 == 0:
            break
    text = first.decode("utf-8-sig").strip("\r\n")
    outside = "".join(text.split('"')[::2])
    separator = max(_SEPARATORS, key=outside.count)
    names = (
        next(iter(csv.reader([text], delimiter=separator)), [])
        if "\n" not in text
        else _quoted(text, separator)
    )
    return [name.strip() or f"unnamed_{place}" for place, name in enumerate(names, 1)], separator, len(first)


def _quoted(text: str, separator: str) -> list[str]:
    return next(csv.reader(text.splitlines(keepends=True), delimiter=separator))


def _distinct(names: list[str], origin: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise errors.DataError(
                f"{origin} has two columns named `{name}`.", remedy="Rename one of them.", column=name
            )
        seen.add(name)


def _json_lines(listing: Listing, path: str, name: str) -> Iterator[pa.RecordBatch]:
    with _open(listing, path) as stream:
        pending: list[dict[str, Any]] = []
        begin, cells = 1, 0
        for number, line in enumerate(stream, 1):
            row = _object(line, number)
            if row is None:
                continue
            pending.append(row)
            cells += len(row)
            if len(pending) == ROWS or cells >= _JSON_CELLS:
                yield values.to_batch(transpose(pending), name, begin)
                begin, cells, pending = begin + len(pending), 0, []
        if pending:
            yield values.to_batch(transpose(pending), name, begin)


def _object(line: bytes, number: int) -> dict[str, Any] | None:
    if not line.strip():
        return None
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number} is not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(row, dict):
        raise ValueError(f'line {number} is no object of columns, such as {{"column": 1}}')
    return row


def transpose(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows as columns; what a row lacks is None."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
