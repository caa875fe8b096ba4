"""Windows whose truth is known: drawn at random from the flights, random weeks of them, and shifted ones.

A random re-split has no drift: reference and windows are disjoint draws from the same flights. Random weeks
have no drift either, taken together, but their rows depend on each other, as real traffic's do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from tests.benchmarks.monitoring import ours, tables

Rows = npt.NDArray[np.intp]
KILOMETRES, STRETCH = 1.609344, 1.05
NEW_SHARE, NULL_POINTS = 0.03, 0.10
NEW_CATEGORY = "ZZ"
MONDAY = pl.datetime(2024, 1, 1)


class Shift(StrEnum):
    """What changes, and in which column."""

    UNIT = "distance in kilometres instead of miles"
    NEW_CATEGORY = "a new carrier in 3 % of the rows"
    NULLS = "10 points more missing wind speeds"
    STRETCH = "distance times 1.05"


COLUMN = {
    Shift.UNIT: "distance",
    Shift.NEW_CATEGORY: "carrier",
    Shift.NULLS: "wind_speed_mph",
    Shift.STRETCH: "distance",
}


@dataclass(frozen=True)
class Split:
    """A reference and windows, as positions in `tables.flights()`."""

    reference: Rows
    windows: tuple[Rows, ...]
    days: npt.NDArray[np.int64] | None = None
    """Time block of each of the reference's rows, from 0; None for rows drawn at random."""
    days_a_window: float = 0.0


def random_split(rows: int, windows: int, reference_rows: int, *, number: int) -> Split:
    """One reference for all sizes of a split's number, and windows of `rows` rows from the other flights."""
    count = len(tables.flights())
    order = np.random.default_rng(number).permutation(count)
    rest = order[reference_rows:]
    draw = np.random.default_rng((number, rows))
    drawn = tuple(draw.choice(rest, rows, replace=False) for _ in range(windows))
    return Split(np.sort(order[:reference_rows]), drawn)


def week_split(*, number: int, windows: int | None = None) -> Split:
    """Half of the weeks of the year, drawn at random, and the other weeks, at most `windows` of them."""
    days = day_numbers()
    weeks = days // 7
    whole = np.unique(weeks)[:52]
    drawn = np.random.default_rng(1000 + number).permutation(whole)
    half = len(whole) // 2
    reference = np.flatnonzero(np.isin(weeks, drawn[:half]))
    others = [np.flatnonzero(weeks == week) for week in np.sort(drawn[half:])]
    return Split(reference, tuple(others[:windows]), consecutive(days[reference]), 7.0)


def month_split() -> Split:
    """January to March, and the weeks that follow, in order."""
    days = day_numbers()
    begin = 90
    weeks = [np.flatnonzero((days - begin) // 7 == week) for week in range((365 - begin) // 7)]
    reference = np.flatnonzero(days < begin)
    return Split(reference, tuple(weeks), consecutive(days[reference]), 7.0)


def day_numbers() -> npt.NDArray[np.int64]:
    """The day of the year of each flight, from 0, where the airports are."""
    local = tables.flights()[tables.TIME].dt.convert_time_zone("America/New_York")
    return local.dt.ordinal_day().to_numpy().astype(np.int64) - 1


def consecutive(days: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same days, numbered without gaps."""
    return np.unique(days, return_inverse=True)[1].astype(np.int64)


def shifted(table: pl.DataFrame, shift: Shift, generator: np.random.Generator) -> pl.DataFrame:
    """`table` with one column changed."""
    name = COLUMN[shift]
    values = pl.col(name)
    hit = pl.Series("hit", generator.random(len(table)))
    if shift is Shift.UNIT:
        return table.with_columns(values * KILOMETRES)
    if shift is Shift.STRETCH:
        return table.with_columns(values * STRETCH)
    if shift is Shift.NEW_CATEGORY:
        return table.with_columns(
            pl.when(hit < NEW_SHARE).then(pl.lit(NEW_CATEGORY)).otherwise(values).alias(name)
        )
    missing = table[name].null_count() / len(table)
    share = NULL_POINTS / (1 - missing)  # of the rows that are not missing yet
    return table.with_columns(pl.when(hit >= share).then(values).alias(name))


def frames(split: Split, shift: Shift | None = None, windows: int | None = None) -> list[pl.DataFrame]:
    """The windows' rows, shifted or as they are."""
    table = tables.flights().select(tables.COLUMNS)
    generator = np.random.default_rng(5)
    drawn = (table[rows] for rows in split.windows[:windows])
    return [frame if shift is None else shifted(frame, shift, generator) for frame in drawn]


def write(split: Split, parts: Sequence[pl.DataFrame], folder: Path) -> tuple[Path, Path]:
    """Files of the reference and of all windows one after another, numbered in column `window`.

    Where windows are weeks, column `at` has a time for those who cut weeks out of a stream by themselves.
    """
    reference = tables.flights().select(tables.COLUMNS)[split.reference]
    numbered = pl.concat(
        part.with_columns(pl.lit(number).alias(tables.WINDOW)) for number, part in enumerate(parts)
    )
    if split.days is not None:
        reference = reference.with_columns(
            (MONDAY + pl.duration(days=pl.lit(pl.Series(split.days)))).alias(tables.AT)
        )
        at = MONDAY + pl.duration(days=split.days_a_window * pl.col(tables.WINDOW))
        numbered = numbered.with_columns(at.alias(tables.AT))
    return (
        tables.write(reference, folder / "reference.parquet"),
        tables.write(numbered, folder / "windows.parquet"),
    )


def profiled(split: Split) -> ours.Reference:
    """The reference of a split."""
    table = tables.flights().select(tables.COLUMNS)[split.reference]
    return ours.profile(ours.columns_of_table(table.to_arrow()), split.days)


def judged(reference: ours.Reference, split: Split, parts: Sequence[pl.DataFrame]) -> list[dict[str, float]]:
    """Pilotage's verdict on each window, column by column, as `ours.strengths` tells it."""
    return [
        verdict(reference, split, ours.count(reference, ours.columns_of_table(part.to_arrow())))
        for part in parts
    ]


def verdict(
    reference: ours.Reference, split: Split, window: ours.Counted, *, floor: bool = True
) -> dict[str, float]:
    """The same of one window that is counted already."""
    calibration = ours.calibrated(reference, window.rows, days=split.days_a_window)
    return ours.strengths(reference, window, calibration, floor=floor)
