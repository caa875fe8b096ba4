"""A table to validate: its rows as one lazy Polars frame, its columns as Great Expectations would see them.

Great Expectations sees a snapshot through pandas: integers with gaps are
floats, NaN is missing, times have no zone. Compiled expectations speak of
these `View`s, so that their verdicts are the same. What an expectation means
is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from pilotage.components import snapshots
from pilotage.core.artifacts import ColumnType, Snapshot
from pilotage.core.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa


class Uncompiled(Exception):
    """This has no compiled form; Great Expectations' own engine has to run it."""


@dataclass(frozen=True)
class View:
    """One column as pandas would show it."""

    EXACT: ClassVar[int] = 1 << 53
    """Integers up to this are exact as float64."""
    name: str
    type: ColumnType
    gaps: bool
    """Whether values are missing anywhere in the table."""
    alias: str
    """Its name in the lazy frame, which is no pattern or wildcard to Polars."""

    @property
    def is_number(self) -> bool:
        """Whether it holds integers or numbers."""
        return self.type in (ColumnType.INTEGER, ColumnType.NUMBER)

    @property
    def is_float(self) -> bool:
        """Whether pandas holds it as float64."""
        return self.type is ColumnType.NUMBER or (self.type is ColumnType.INTEGER and self.gaps)

    @property
    def values(self) -> pl.Expr:
        """The values; missing ones are null, NaN too."""
        column = pl.col(self.alias)
        if self.type is ColumnType.NUMBER:
            return column.fill_nan(None)
        if self.type is ColumnType.DATETIME:
            return column.dt.replace_time_zone(None)
        return column.cast(pl.Float64) if self.is_float else column

    @property
    def stored(self) -> pl.DataType:
        """The Polars type of `values`."""
        kinds: dict[ColumnType, pl.DataType] = {
            ColumnType.INTEGER: pl.Float64() if self.gaps else pl.Int64(), ColumnType.NUMBER: pl.Float64(),
            ColumnType.BOOLEAN: pl.Boolean(), ColumnType.TEXT: pl.String(), ColumnType.DATE: pl.Date(),
            ColumnType.DATETIME: pl.Datetime("us"),
        }  # fmt: skip
        return kinds[self.type]

    @property
    def scalar(self) -> str:
        """NumPy's name of the scalar type that pandas holds."""
        if self.is_float:
            return "float64"
        if self.type is ColumnType.BOOLEAN:
            return "object_" if self.gaps else "bool"
        kinds = {ColumnType.INTEGER: "int64", ColumnType.DATETIME: "datetime64"}
        return kinds.get(self.type, "object_")

    def inside(self, values: Sequence[Any]) -> pl.Expr:
        """Whether each value is one of `values`, as pandas' `isin` has it.

        Raises:
            Uncompiled: see `members`.
        """
        return self.values.is_in(pl.Series(self.members(values), dtype=self.stored).implode())

    def members(self, values: Sequence[Any]) -> list[Any]:
        """Those of `values` that pandas' `isin` could find in the column.

        Raises:
            Uncompiled: pandas compares by rules of its own.
        """
        if self.type is ColumnType.DATETIME:
            raise Uncompiled("times in a set")
        given = [value for value in values if value is not None and value == value]
        if self.type is ColumnType.TEXT:
            return [value for value in given if isinstance(value, str)]
        others = [value for value in given if not isinstance(value, str)]
        if self.type is ColumnType.DATE:
            return []
        if any(isinstance(value, bool) != (self.type is ColumnType.BOOLEAN) for value in others):
            raise Uncompiled("booleans and numbers in one set")
        if self.type is ColumnType.BOOLEAN:
            return others
        if any(abs(value) >= self.EXACT and value not in (float("inf"), float("-inf")) for value in others):
            raise Uncompiled("integers that float64 does not hold")
        if self.is_float:
            return [float(value) for value in others]
        return [int(value) for value in others if float(value).is_integer()]


@dataclass(frozen=True)
class Table:
    """What is validated."""

    name: str
    views: tuple[View, ...]
    scan: Callable[[], pl.LazyFrame]
    """The stored columns under their aliases, rows in order."""
    read: Callable[[Sequence[str]], pa.Table]
    """The columns asked for, whole, in the order asked for, for engines other than Polars."""

    @cached_property
    def _named(self) -> dict[str, View]:
        return {view.name: view for view in self.views}

    @property
    def columns(self) -> list[str]:
        """Names of all columns in order."""
        return [view.name for view in self.views]

    def view(self, name: str) -> View:
        """The column `name`.

        Raises:
            Uncompiled: there is none; Great Expectations words what is wrong.
        """
        if name not in self._named:
            raise Uncompiled(f"no column {name}")
        return self._named[name]


def of_snapshot(settings: Settings, snapshot: Snapshot) -> Table:
    """A snapshot as a table.

    Raises:
        NotFound: the storage does not hold the snapshot.
    """
    place = snapshots.folder(settings, snapshot)
    files = [place / part.name for part in snapshot.files]
    views = tuple(
        View(name=column.name, type=column.type, gaps=column.nulls > 0, alias=f"c{number}")
        for number, column in enumerate(snapshot.columns)
    )

    def scan() -> pl.LazyFrame:
        return pl.scan_parquet(files, glob=False).rename({view.name: view.alias for view in views})

    return Table(
        name=snapshot.pilot, views=views, scan=scan,
        read=lambda columns: snapshots.read_table(settings, snapshot, columns),
    )  # fmt: skip
