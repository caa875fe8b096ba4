"""Files to validate without a snapshot: Parquet, CSV or JSON lines, read lazily by Polars.

Types become those of snapshots. Text is taken as Polars reads it; ingest, which
infers types from all rows, is not run and nothing is stored.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pilotage.components.validation.tables import Table, View
from pilotage.core import errors
from pilotage.core.artifacts import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

    from pilotage.components.validation.suites import Suite

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL"]
"""Texts of a CSV file that are no value, as ingest has it."""
_FROM_GAPS = (ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.DATE)
"""Types that pandas holds otherwise when values are missing."""


def open_table(source: str, suite: Suite) -> Table:
    """The table in the files that `source`, a path or a glob, names.

    Args:
        source: files that end in .parquet, .pq, .csv, .jsonl or .ndjson.
        suite: what it will be held against; of the columns that it names it has to be known whether
            values are missing.

    Raises:
        NotFound: there is no such file.
        DataError: it cannot be read, or has columns of a type that no snapshot has.
    """
    paths = sorted(Path(name) for name in glob.glob(source)) or [Path(source)]
    if not all(path.is_file() for path in paths):
        raise errors.NotFound(
            f"`{source}` is no file.", remedy="Name a Parquet, CSV or JSON lines file, or a glob in quotes."
        )
    try:
        stored = _scan(source, paths)
        kinds = {name: _kind(name, dtype) for name, dtype in stored.collect_schema().items()}
        alias = {name: f"c{number}" for number, name in enumerate(kinds)}
        frame = stored.rename(alias).with_columns(
            pl.col(alias[name]).cast(dtype) for name, (_, dtype) in kinds.items() if dtype is not None
        )
        gaps = _gaps(frame, {name: kind for name, (kind, _) in kinds.items()}, alias, _named(suite, kinds))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise errors.DataError(
            f"`{source}` cannot be read: {error}.", remedy="Mend the file, or ingest it with a pilot."
        ) from error
    views = tuple(View(name, kind, gaps.get(name, True), alias[name]) for name, (kind, _) in kinds.items())

    def read(columns: Sequence[str]) -> pa.Table:
        return _read(frame, [next(view for view in views if view.name == name) for name in columns])

    return Table(Path(source).stem.strip("*?[]") or "table", views, lambda: frame, read)


def _scan(source: str, paths: list[Path]) -> pl.LazyFrame:
    suffix = paths[0].suffix.lower()
    if suffix in (".parquet", ".pq"):
        return pl.scan_parquet(paths, glob=False)
    if suffix == ".csv":
        return pl.scan_csv(paths, glob=False, null_values=MISSING, try_parse_dates=True)
    if suffix in (".jsonl", ".ndjson"):
        return pl.scan_ndjson(paths)
    raise errors.NotFound(
        f"`{source}` is neither Parquet nor CSV nor JSON lines, by its name.",
        remedy="Name a file that ends in .parquet, .csv or .jsonl.",
    )


def _kind(name: str, dtype: pl.DataType) -> tuple[ColumnType, pl.DataType | None]:
    """The type of a snapshot's column, and what to cast to, if anything."""
    stored: dict[pl.DataType, ColumnType] = {
        pl.Int64(): ColumnType.INTEGER, pl.Float64(): ColumnType.NUMBER, pl.Boolean(): ColumnType.BOOLEAN,
        pl.String(): ColumnType.TEXT, pl.Date(): ColumnType.DATE,
        pl.Datetime("us", "UTC"): ColumnType.DATETIME,
    }  # fmt: skip
    if dtype in stored:
        return stored[dtype], None
    if dtype.is_integer():
        return ColumnType.INTEGER, pl.Int64()
    if dtype.is_float() or dtype.is_decimal():
        return ColumnType.NUMBER, pl.Float64()
    if isinstance(dtype, (pl.Categorical, pl.Enum, pl.Null)):
        return ColumnType.TEXT, pl.String()
    if isinstance(dtype, pl.Datetime):
        return ColumnType.DATETIME, pl.Datetime("us", "UTC")
    raise errors.DataError(
        f"Column `{name}` is {dtype}, which no expectation can look at.",
        remedy="Leave it out of the file, or write it as numbers, text, booleans, dates or times.",
    )


def _named(suite: Suite, names: Iterable[str]) -> set[str]:
    """Those of `names` that appear anywhere in the suite, be it in a condition."""
    text = json.dumps(suite, ensure_ascii=False)
    return {name for name in names if json.dumps(name, ensure_ascii=False)[1:-1] in text}


def _gaps(
    frame: pl.LazyFrame, kinds: dict[str, ColumnType], alias: dict[str, str], looked_at: set[str]
) -> dict[str, bool]:
    asked = [name for name, kind in kinds.items() if kind in _FROM_GAPS and name in looked_at]
    if not asked:
        return {}
    counts = frame.select(pl.col(alias[name]).null_count() for name in asked)
    return {
        name: count > 0 for name, count in zip(asked, counts.collect(engine="streaming").row(0), strict=True)
    }


def _read(frame: pl.LazyFrame, views: Sequence[View]) -> pa.Table:
    import pyarrow as pa

    from pilotage.components import snapshots

    found: Any = frame.select(view.alias for view in views).collect(engine="streaming").to_arrow()
    named = found.rename_columns([view.name for view in views])
    return named.cast(pa.schema([(view.name, snapshots.arrow_type(view.type)) for view in views]))
