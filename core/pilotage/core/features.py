"""From rows and tables to the columns a model takes, the same way in training and in serving.

A column is a numpy array by the feature's kind:

    number    float64, NaN where missing
    boolean   float64, 0, 1 or NaN
    category  object, text or None
    time      datetime64[us] in UTC, NaT where missing
    text      object, text or None
    image     object, the image's file in base64 or None

Statistics, encoders and the meaning of a value are not known here.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pilotage.core import errors
from pilotage.core.artifacts import Feature
from pilotage.core.specs import EMBEDDED, FeatureKind

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Array = npt.NDArray[Any]
Columns = dict[str, Array]

EXPECTED = {
    FeatureKind.NUMBER: "a finite number or null",
    FeatureKind.BOOLEAN: "true, false or null",
    FeatureKind.CATEGORY: "text, a whole number, a boolean or null",
    FeatureKind.TIME: "an ISO 8601 date or time, or null",
    FeatureKind.TEXT: "text or null",
    FeatureKind.IMAGE: "an image's file in base64, or null",
}


def category_text(value: object) -> str | None:
    """The text that stands for category `value`: `1`, `1.0` and `"1"` are one category.

    Raises:
        TypeError: `value` cannot be a category.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return None
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be a category")


def parse_time(value: object) -> datetime | None:
    """The instant that `value` stands for, in UTC; text without an offset is taken as UTC.

    Raises:
        TypeError: it is neither text nor a date or time.
        ValueError: it is text that is not ISO 8601.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise TypeError(f"{type(value).__name__} is not a time")


def from_rows(features: Sequence[Feature], rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Columns of the `features` of `rows`, each a mapping such as one JSON object; other keys are ignored.

    Raises:
        RequestError: a row lacks a feature or has a value of another kind; names both and the position.
    """
    return {feature.name: _column(feature, rows) for feature in features}


def from_values(feature: Feature, values: Sequence[Any]) -> Array:
    """The column of one feature from its values in order.

    Raises:
        RequestError: a value is of another kind; names the feature and the position.
    """
    try:
        return _CONVERT[feature.kind](values)
    except (TypeError, ValueError, OverflowError):
        raise _mistyped(feature, values) from None


def _column(feature: Feature, rows: Sequence[Mapping[str, Any]]) -> Array:
    name = feature.name
    try:
        values = [row[name] for row in rows]
    except (KeyError, TypeError):
        for position, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise errors.RequestError(
                    f"Row {position} is {_show(row)}, expected an object of features.",
                    row=position,
                    feature=name,
                ) from None
            if name not in row:
                raise errors.RequestError(
                    f"Row {position} lacks feature `{name}`.",
                    remedy=f"Send {EXPECTED[feature.kind]}.",
                    row=position,
                    feature=name,
                ) from None
        raise
    return from_values(feature, values)


def _numbers(values: Sequence[Any]) -> Array:
    for value in values:
        if not (
            value is None
            or type(value) is float
            or (isinstance(value, (int, float, np.number)) and not _truth(value))
        ):
            raise TypeError
    column = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    if np.isinf(column).any():
        raise ValueError
    return column


def _truth(value: object) -> bool:
    return isinstance(value, (bool, np.bool_))


def _booleans(values: Sequence[Any]) -> Array:
    for value in values:
        if not (value is None or _truth(value) or (isinstance(value, (int, float)) and value in (0, 1))):
            raise TypeError
    return np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)


def _categories(values: Sequence[Any]) -> Array:
    column = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        column[position] = value if type(value) is str else category_text(value)
    return column


def _times(values: Sequence[Any]) -> Array:
    instants = [parse_time(value) for value in values]
    naive = [None if instant is None else instant.replace(tzinfo=None) for instant in instants]
    return np.array(naive, dtype="datetime64[us]")


def _sentences(values: Sequence[Any]) -> Array:
    column = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        if not (value is None or isinstance(value, str)):
            raise TypeError
        column[position] = value
    return column


def _images(values: Sequence[Any]) -> Array:
    from pilotage.core.embeddings import images

    column, together = _sentences(values), 0
    for position, value in enumerate(column):
        if value is not None:
            together += images.check(value)
        if images.too_many(together):
            raise errors.RequestError(
                f"The images of rows 0 to {position} have more than "
                f"{images.MOST_PIXELS_TOGETHER:,} pixels together.",
                remedy="Send fewer rows at once, or smaller images.",
                row=position,
            )
    return column


_CONVERT = {
    FeatureKind.NUMBER: _numbers,
    FeatureKind.BOOLEAN: _booleans,
    FeatureKind.CATEGORY: _categories,
    FeatureKind.TIME: _times,
    FeatureKind.TEXT: _sentences,
    FeatureKind.IMAGE: _images,
}


def _mistyped(feature: Feature, values: Sequence[Any]) -> errors.RequestError:
    """The error for the first of `values` that cannot be `feature`."""
    for position, value in enumerate(values):
        try:
            _CONVERT[feature.kind]([value])
        except (TypeError, ValueError, OverflowError) as error:
            expected = EXPECTED[feature.kind]
            why = f" ({error})" if feature.kind is FeatureKind.IMAGE and str(error) else ""
            return errors.RequestError(
                f"Row {position}: feature `{feature.name}` is {_show(value)}, expected {expected}{why}.",
                remedy="Send the value with the type that the model was trained on.",
                row=position,
                feature=feature.name,
            )
    raise AssertionError("every value converts alone, but not together")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def from_table(features: Sequence[Feature], table: pa.Table) -> Columns:
    """Columns of the `features` of an Arrow table that holds them.

    Raises:
        DataError: a column is missing or cannot be read as its kind.
    """
    stored = dict(zip(table.column_names, table.columns, strict=True))
    require([feature.name for feature in features], stored)
    return {feature.name: _from_arrow(feature, stored[feature.name]) for feature in features}


def require(names: Iterable[str], stored: Container[str]) -> None:
    """Raises DataError for the first of `names` that is not among the `stored` columns."""
    for name in names:
        if name not in stored:
            raise errors.DataError(
                f"The table has no column `{name}`.",
                remedy="Restore it in the source, or take it out of `data.features`.",
                column=name,
            )


def _from_arrow(feature: Feature, values: pa.ChunkedArray) -> Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = feature.kind
    try:
        if kind in (FeatureKind.NUMBER, FeatureKind.BOOLEAN):
            plain = pc.cast(values, pa.int8()) if pa.types.is_boolean(values.type) else values
            numbers: Array = pc.cast(plain, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            return numbers.astype(np.float64, copy=True)
        if kind is FeatureKind.TIME:
            instants: Array = pc.cast(values, pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
            return instants.astype("datetime64[us]")
        if kind in EMBEDDED:
            return np.array([*pc.cast(values, pa.string()).to_pylist(), None], dtype=object)[:-1]
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            return np.array(values.to_pylist(), dtype=object)
        return _categories(values.to_pylist())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, ValueError) as error:
        raise unusable(feature, values.type, error) from error


def unusable(feature: Feature, found: pa.DataType, reason: Exception) -> errors.DataError:
    """The error for a column of type `found` that cannot be read as `feature`."""
    kind = feature.kind
    return errors.DataError(
        f"Column `{feature.name}` of type {found} cannot be used as a {kind}: {reason}.",
        remedy=f"Give it another kind in `data.features`, or exclude it; a {kind} is {EXPECTED[kind]}.",
        column=feature.name,
    )


def time_parts(times: Array) -> npt.NDArray[np.float64]:
    """Days since 1970, month, weekday (Monday is 0) and hour of times, shape `(n, 4)`; NaN where missing."""
    parts = np.empty((times.shape[0], 4), dtype=np.float64)
    seconds = times.astype("datetime64[s]")
    days = seconds.astype("datetime64[D]")
    numbers = days.view(np.int64)
    parts[:, 0] = numbers
    parts[:, 1] = days.astype("datetime64[M]").view(np.int64) % 12 + 1
    parts[:, 2] = (numbers + 3) % 7
    parts[:, 3] = seconds.view(np.int64) // 3600 % 24
    missing = np.isnat(seconds)
    if missing.any():
        parts[missing] = np.nan
    return parts


def to_frame(columns: Mapping[str, Array]) -> pd.DataFrame:
    """The pandas frame that an estimator is fitted on and asked with; categories stay of dtype object."""
    import pandas as pd

    return pd.DataFrame(
        {name: pd.Series(column, dtype=column.dtype, copy=False) for name, column in columns.items()}
    )
