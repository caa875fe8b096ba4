"""Ids and labels from a file that someone hands in; storing them is the server room's business."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pilotage.core import errors


@dataclass(frozen=True)
class Labels:
    """Ids with their labels, as many of each."""

    ids: list[str]
    labels: list[Any]
    times: list[Any] | None
    """Event times of the rows that the labels are about; None where the file was not asked for them."""
    missing: int
    """Rows left out because they have no label."""


def read(
    file: Path, id_names: Sequence[str], label_names: Sequence[str], time_name: str | None = None
) -> Labels:
    """The ids and labels in `file`, from the first column of each list of names that it has.

    With `time_name` also the event time of each, from that column.

    Raises:
        NotFound: there is no such file.
        SourceError: it is neither CSV nor Parquet, or cannot be read.
        DataError: a column is missing, or an id is.
    """
    if not file.is_file():
        raise errors.NotFound(f"There is no file `{file}`.", remedy="Name a CSV or Parquet file.")
    try:
        if file.suffix in (".parquet", ".pq"):
            table = pl.read_parquet(file)
        else:
            ids = dict.fromkeys(id_names, pl.String)
            header = pl.read_csv(file, n_rows=0).columns
            table = pl.read_csv(
                file,
                schema_overrides={name: kind for name, kind in ids.items() if name in header},
                null_values=["", "NA", "NaN", "null"],
                infer_schema_length=None,
            )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise errors.SourceError(
            f"`{file}` cannot be read as {'Parquet' if file.suffix != '.csv' else 'CSV'}: {error}.",
            remedy="Hand in a CSV file with a header, or a Parquet file.",
        ) from error
    names = _column(file, table, id_names, "--id"), _column(file, table, label_names, "--label")
    time = None if time_name is None else _column(file, table, [time_name], "--time")
    return _labels(file, table, *names, time)


def _column(file: Path, table: pl.DataFrame, names: Sequence[str], option: str) -> str:
    for name in names:
        if name in table.columns:
            return name
    near = difflib.get_close_matches(names[0], table.columns, n=1)
    raise errors.DataError(
        f"`{file}` has no column `{'` or `'.join(names)}`; it has {', '.join(table.columns)}.",
        remedy=f"Did you mean `{option} {near[0]}`?" if near else f"Name it with `{option}`.",
    )


def _labels(file: Path, table: pl.DataFrame, id_name: str, label_name: str, time_name: str | None) -> Labels:
    known = table.select(
        pl.col(id_name).cast(pl.String).alias("id"),
        pl.col(label_name).fill_nan(None).alias("label")
        if table.schema[label_name].is_float()
        else pl.col(label_name).alias("label"),
        *([] if time_name is None else [pl.col(time_name).alias("time")]),
    ).drop_nulls("label")
    without = known.select(pl.col("id").is_null().sum()).item()
    if without:
        raise errors.DataError(
            f"`{file}` has {without} labels without an id in `{id_name}`.",
            remedy="Give every label the id that its row was served with, or leave it out.",
        )
    times = None if time_name is None else known["time"].to_list()
    return Labels(known["id"].to_list(), known["label"].to_list(), times, table.height - known.height)
