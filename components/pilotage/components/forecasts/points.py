"""Measurements that somebody gives as a CSV file, with errors that name the row, the column and the value."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pilotage.core import errors

Floats = npt.NDArray[np.float64]

MOST_ROWS = 100_000
_SHOWN = 60
_UNKNOWN = ("", "nan", "na")
"""How a file says that a standard error is not known, as that of a single training."""


@dataclass(frozen=True)
class Points:
    """What was measured: a learning curve, or, with `d`, a grid of model sizes and data."""

    n: Floats
    """Training rows of a curve; sizes of the models of a grid."""
    loss: Floats
    d: Floats | None = None
    """Examples that each model of a grid was trained on."""
    stderr: Floats | None = None
    name: str = "error"
    """How the file calls the loss."""


def read(path: Path) -> Points:
    """The points of a file with columns `n`, `d`, `loss` or `n`, `error`, and perhaps `stderr`.

    `loss` and `error` stand for each other, columns may be in any order, and others are left alone.

    Raises:
        NotFound: there is no such file.
        DataError: a column or a value is not as it should be.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise errors.NotFound(f"There is no file `{path}`.", remedy="Name one with points.") from error
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error.strerror)
        raise errors.DataError(f"`{path}` cannot be read: {why}.", remedy="Give a CSV file.") from error
    return parse(text, str(path))


def parse(text: str, place: str = "the file") -> Points:
    """As `read`, of a file's content; `place` is what errors call it."""
    rows = _rows(text, place)
    header = [name.strip().lower() for name in next(rows, (0, []))[1]]
    where = _columns(header, place)
    values: dict[str, list[float]] = {name: [] for name in where}
    for line, row in rows:
        if len(row) != len(header):
            raise errors.DataError(
                f"Row {line} of `{place}` has {len(row)} values; the header has {len(header)} columns.",
                remedy="Give every row a value for each column.",
                row=line,
            )
        for name, column in where.items():
            unknown = name == "stderr" and row[column].strip().lower() in _UNKNOWN
            values[name].append(math.nan if unknown else _number(row[column], name, line, place))
        if len(values["n"]) > MOST_ROWS:
            raise errors.DataError(
                f"`{place}` has more than {MOST_ROWS:,} rows.", remedy="Give averages instead of single runs."
            )
    if not values["n"]:
        raise errors.DataError(f"`{place}` has no points.", remedy="Give a row for each measurement.")
    loss = "loss" if "loss" in where else "error"
    found = {name: np.array(column) for name, column in values.items()}
    return Points(found["n"], found[loss], found.get("d"), _filled(found.get("stderr")), loss)


def _filled(stderr: Floats | None) -> Floats | None:
    """Standard errors of which one that is unknown is a typical one; None where none is known."""
    if stderr is None or np.isnan(stderr).all():
        return None
    return np.where(np.isnan(stderr), np.nanmedian(stderr), stderr)


def _rows(text: str, place: str) -> Iterator[tuple[int, list[str]]]:
    stream = csv.reader(io.StringIO(text), strict=True)
    try:
        for row in stream:
            if any(value.strip() for value in row):
                yield stream.line_num, row
    except csv.Error as error:
        raise errors.DataError(
            f"Row {stream.line_num} of `{place}` is not CSV: {error}.",
            remedy="Correct it.",
            row=stream.line_num,
        ) from error


def _columns(header: Sequence[str], place: str) -> dict[str, int]:
    """Where each column that counts is."""
    wanted = ("n", "d", "loss", "error", "stderr")
    repeated = [name for name in wanted if header.count(name) > 1]
    if repeated:
        raise errors.DataError(
            f"`{place}` has column `{repeated[0]}` more than once.", remedy="Leave one.", column=repeated[0]
        )
    found = {name: header.index(name) for name in wanted if name in header}
    shown = ", ".join(f"`{name[:_SHOWN]}`" for name in header[:10]) or "none"
    if "n" not in found or not found.keys() & {"loss", "error"}:
        missing = "n" if "n" not in found else "error"
        raise errors.DataError(
            f"`{place}` has no column `{missing}`; its columns are {shown}.",
            remedy="The first line names the columns: `n,error` for a learning curve, `n,d,loss` for a grid"
            " of models, each with `stderr` if it is known.",
            column=missing,
        )
    if {"loss", "error"} <= found.keys():
        raise errors.DataError(
            f"`{place}` has a column `loss` and a column `error`.", remedy="Leave the one to be forecast."
        )
    return found


def _number(text: str, name: str, line: int, place: str) -> float:
    expected = {
        "n": "a number greater than 0",
        "d": "a number greater than 0",
        "loss": "a number, 0 or greater",
        "error": "a number, 0 or greater",
        "stderr": "a number, 0 or greater",
    }[name]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or (name in ("n", "d") and value == 0):
        raise errors.DataError(
            f"Row {line} of `{place}` has `{text.strip()[:_SHOWN]}` in column `{name}`; expected {expected}.",
            remedy="Correct the value, or leave the row out.",
            row=line,
            column=name,
            value=text[:_SHOWN],
        )
    return value
