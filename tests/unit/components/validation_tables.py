"""Generated tables for the comparison of compiled expectations with Great Expectations' engine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from hypothesis import strategies as st

from pilotage.components import snapshots
from pilotage.components.validation.tables import Table, View
from pilotage.core.artifacts import ColumnType

INTEGERS = st.integers(-4, 9)
NUMBERS = st.sampled_from([0.0, -0.0, 0.5, 1.0, 1.5, -2.0, 3.0, 1e12, math.inf, -math.inf, math.nan])
TEXTS = st.sampled_from(
    [
        "",
        "a",
        "b",
        "ab",
        "A1",
        "é",
        "e\u0301",
        "ß",
        "日本",
        "a\n",
        "\n",
        " a",
        "\x1c",
        "12",
        "x@y.org",
        "٣",
        "🙂",
        "_",
    ]
)
DATES = st.sampled_from([date(2024, 1, 1), date(2024, 2, 29), date(1969, 12, 31), date(2024, 1, 2)])
TIMES = st.sampled_from(
    [
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, 12, 30, 1, 250000, tzinfo=UTC),
        datetime(1969, 12, 31, 23, tzinfo=UTC),
    ]
)
VALUES: dict[str, tuple[ColumnType, st.SearchStrategy[Any], bool]] = {
    "i": (ColumnType.INTEGER, INTEGERS, False),
    "j": (ColumnType.INTEGER, INTEGERS, True),
    "k": (ColumnType.INTEGER, INTEGERS, False),
    "f": (ColumnType.NUMBER, NUMBERS, False),
    "g": (ColumnType.NUMBER, NUMBERS, True),
    "s": (ColumnType.TEXT, TEXTS, False),
    "t": (ColumnType.TEXT, TEXTS, True),
    "u": (ColumnType.TEXT, TEXTS, False),
    "b": (ColumnType.BOOLEAN, st.booleans(), False),
    "c": (ColumnType.BOOLEAN, st.booleans(), True),
    "d": (ColumnType.DATE, DATES, False),
    "e": (ColumnType.DATE, DATES, True),
    "v": (ColumnType.DATETIME, TIMES, False),
    "w": (ColumnType.DATETIME, TIMES, True),
}
"""Column → its type, its values, whether some may be missing."""
STORED: dict[ColumnType, Any] = {
    ColumnType.INTEGER: pl.Int64,
    ColumnType.NUMBER: pl.Float64,
    ColumnType.BOOLEAN: pl.Boolean,
    ColumnType.TEXT: pl.String,
    ColumnType.DATE: pl.Date,
    ColumnType.DATETIME: pl.Datetime("us", "UTC"),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    """A table with a column of every type, with and without gaps; sometimes short or with a column empty."""
    rows = draw(st.integers(1, 12))
    columns = []
    for name, (kind, values, gaps) in VALUES.items():
        each = st.one_of(st.none(), values) if gaps else values
        drawn = draw(st.lists(each, min_size=rows, max_size=rows))
        if gaps and draw(st.integers(0, 9)) == 0:
            drawn = [None] * rows
        columns.append(pl.Series(name, drawn, dtype=STORED[kind]))
    return pl.DataFrame(columns)


@contextmanager
def stored(frame: pl.DataFrame) -> Iterator[Table]:
    """The frame as a table on disk, in two row groups."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "part.parquet"
        frame.write_parquet(path, row_group_size=max(1, frame.height // 2))
        yield table_of(frame, path)


def table_of(frame: pl.DataFrame, path: Path) -> Table:
    kinds = {str(kind): name for name, kind in STORED.items()}
    views = tuple(
        View(name, kinds[str(series.dtype)], series.null_count() > 0, f"c{number}")
        for number, (name, series) in enumerate(zip(frame.columns, frame.iter_columns(), strict=True))
    )

    def read(columns: Sequence[str]) -> Any:
        import pyarrow as pa

        table = frame.select(columns).to_arrow()
        return table.cast(
            pa.schema(
                [
                    (view.name, snapshots.arrow_type(view.type))
                    for view in (views_of[name] for name in columns)
                ]
            )
        )

    views_of = {view.name: view for view in views}
    return Table(
        "trial",
        views,
        lambda: pl.scan_parquet(path, glob=False).rename({view.name: view.alias for view in views}),
        read,
    )
