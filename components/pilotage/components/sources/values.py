"""From plain Python values to Arrow arrays of one kind each.

Mixtures that have no common kind are refused by name and row; nothing is
silently turned into text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from pilotage.core import errors


def to_batch(columns: Mapping[str, Sequence[Any]], origin: str, first: int) -> pa.RecordBatch:
    """A batch of `columns`, equally long lists of Python values.

    Raises:
        DataError: a column mixes kinds or holds something that no column can; names column and row.
    """
    arrays = [to_array(name, values, origin, first) for name, values in columns.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def to_array(name: str, values: Sequence[Any], origin: str, first: int) -> pa.Array:
    """The array of one column; `first` is the number of its first row within `origin`."""
    try:
        array = pa.array(values)
        if not pa.types.is_nested(array.type) and not pa.types.is_decimal(array.type):
            return array
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, ValueError):
        pass
    plain = [_plain(value) for value in values]
    _same_kind(name, plain, origin, first)
    try:
        return pa.array(plain)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, ValueError) as error:
        raise errors.DataError(
            f"Column `{name}` of {origin} cannot be stored: {error}.",
            remedy="Give every row a number, a text, a boolean, a date or null.",
            column=name,
        ) from error


def kind_of(value: object) -> str:
    """What people call the kind of a value that is not missing."""
    if isinstance(value, (bool, np.bool_)):
        return "a boolean"
    if isinstance(value, (int, float, np.number)):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, date):
        return "a time"
    return f"{type(value).__name__}"


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _same_kind(name: str, values: list[Any], origin: str, first: int) -> None:
    seen: dict[str, tuple[int, Any]] = {}
    for row, value in enumerate(values, first):
        if value is None:
            continue
        kind = kind_of(value)
        if kind not in ("a boolean", "a number", "text", "a time"):
            raise errors.DataError(
                f"Column `{name}` of {origin} holds {kind} in row {row}, which no column can store.",
                remedy="Flatten it in the source into columns of numbers, texts, booleans or dates.",
                column=name,
                row=row,
            )
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise errors.DataError(
                f"Column `{name}` of {origin} holds {value} in row {row}, beyond 64 bits.",
                remedy="Give it as text in the source.",
                column=name,
                row=row,
            )
        seen.setdefault(kind, (row, value))
    for (kind, (row, value)), (other, (other_row, other_value)) in pairwise(seen.items()):
        raise errors.DataError(
            f"Column `{name}` of {origin} mixes types: {kind} in row {row} ({value!r:.40}), "
            f"{other} in row {other_row} ({other_value!r:.40}).",
            remedy="Give every row the same type in the source, or put the column under `data.exclude`.",
            column=name,
            row=other_row,
        )
