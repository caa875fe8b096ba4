"""What a pilot's Python function gives, made into batches: tables of any library, columns or rows.

A generator is taken bit by bit, so that a function can give more than memory holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from pilotage.components.sources import functions, values
from pilotage.components.sources.batches import ROWS, Batch, Opened, Texts
from pilotage.components.sources.files import transpose
from pilotage.core import errors
from pilotage.core.specs import PythonSource

_ROWS_PER_CHUNK = 10_000
"""Rows that are taken together where a function gives them one by one."""


def open_function(source: PythonSource, folder: Path) -> Opened:
    """Call the function and begin to read what it gives.

    Raises:
        SourceError: it cannot be found or raised; the latter also while batches are taken.
    """
    given = functions.call(source.python, folder, source.args)
    args = ", ".join(f"{name}={value!r}" for name, value in source.args.items())
    return Opened(
        description=f"{source.python}({args})",
        texts=Texts.TEXT,
        open_ended=True,
        batches=_batches(source.python, given, folder),
    )


def _batches(target: str, given: Any, folder: Path) -> Iterator[Batch]:
    origin, first = f"`{target}`", 1
    pieces = _pieces(given, origin)
    while True:
        try:
            rows = next(pieces, None)
        except errors.PilotageError:
            raise
        except (Exception, SystemExit) as error:
            raise functions.failed(target, error) from error
        if rows is None:
            return
        for begin in range(0, rows.num_rows, ROWS):
            part = rows.slice(begin, ROWS)
            yield Batch(part, origin, first, folder)
            first += part.num_rows


def _pieces(given: Any, origin: str) -> Iterator[pa.RecordBatch]:
    table = _table(given, origin)
    if table is not None:
        yield from table
        return
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise _unusable(given, origin)
    taken = iter(given)
    first = 1
    for head in taken:
        table = _table(head, origin) if not _is_row(head) else None
        if table is not None:
            yield from table
        elif isinstance(head, Mapping):
            rows = [dict(head)]
            for row in islice(taken, _ROWS_PER_CHUNK - 1):
                if not isinstance(row, Mapping):
                    raise _unusable(row, origin)
                rows.append(dict(row))
            yield values.to_batch(transpose(rows), origin, first)
            first += len(rows)
        else:
            raise _unusable(head, origin)


def _is_row(item: Any) -> bool:
    """Whether a mapping is one row, not a mapping of columns."""
    return isinstance(item, Mapping) and not any(_is_column(value) for value in item.values())


def _is_column(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) and hasattr(value, "__len__")


def _table(given: Any, origin: str) -> Iterator[pa.RecordBatch] | None:
    """The batches of one table of a known library, or None if it is no table."""
    library = type(given).__module__.partition(".")[0]
    if library == "pandas" and hasattr(given, "columns"):
        return iter([_pandas(given, origin)])
    if library == "polars":
        return _polars(given)
    if isinstance(given, pa.RecordBatch):
        return iter([given])
    if isinstance(given, pa.Table):
        batches: list[pa.RecordBatch] = given.to_batches()
        return iter(batches)
    if isinstance(given, pa.RecordBatchReader):
        return _read_all(given)
    if isinstance(given, Mapping) and not _is_row(given):
        return iter([_columns(given, origin)])
    return None


def _read_all(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    yield from reader


def _columns(given: Mapping[Any, Any], origin: str) -> pa.RecordBatch:
    columns = {str(name): list(column) for name, column in given.items()}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise errors.SourceError(
            f"The columns of {origin} are not equally long: {lengths}.",
            remedy="Give every column one value a row.",
        )
    return values.to_batch(columns, origin, 1)


def _pandas(frame: Any, origin: str) -> pa.RecordBatch:
    names, arrays = [str(name) for name in frame.columns], []
    for place, name in enumerate(names):
        column = frame.iloc[:, place]
        if getattr(column.dtype, "tz", None) is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        try:
            array = pa.Array.from_pandas(column)
            arrays.append(array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array)
        except (pa.ArrowException, OverflowError, ValueError):
            arrays.append(values.to_array(name, [None if v != v else v for v in column], origin, 1))
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _polars(frame: Any) -> Iterator[pa.RecordBatch] | None:
    import polars as pl

    if isinstance(frame, pl.LazyFrame):
        return (batch for part in frame.collect_batches() for batch in part.to_arrow().to_batches())
    return iter(frame.to_arrow().to_batches()) if isinstance(frame, pl.DataFrame) else None


def _unusable(given: Any, origin: str) -> errors.SourceError:
    return errors.SourceError(
        f"{origin} gives {type(given).__module__}.{type(given).__qualname__}, which is no table.",
        remedy="Give a pandas, polars or pyarrow table, a dict of columns, dicts of rows, or an iterator.",
    )
