"""From batches of a source to the columns that a model takes, refusing a value by file, row and column.

A column's text stands for what it stood for when the snapshot was taken that
the model was trained on. Text is parsed once for each different value of a
batch. Rows are neither cut nor scored here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pilotage.components.ingestion import inference
from pilotage.components.sources import pictures
from pilotage.components.sources.batches import Batch, Texts
from pilotage.core import errors
from pilotage.core.artifacts import ColumnType, Feature
from pilotage.core.features import EXPECTED, Array, Columns, category_text
from pilotage.core.specs import EMBEDDED, FeatureKind

_NUMBERS = (ColumnType.INTEGER, ColumnType.NUMBER)
_TIMES = (ColumnType.DATE, ColumnType.DATETIME)
_NAT = np.iinfo(np.int64).min
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class Reader:
    """Reads the `features` of batches."""

    features: Sequence[Feature]
    types: Mapping[str, ColumnType]
    """Types that the columns had in the snapshot, as far as known."""
    texts: Texts
    open_ended: bool
    """A column that a batch lacks is missing values."""

    def columns(self, batch: Batch) -> Columns:
        """The columns of the batch's rows.

        Raises:
            DataError: a column is not there, or a value is of another kind; names file, row and column.
        """
        return {feature.name: self._column(feature, batch) for feature in self.features}

    def keys(self, name: str, batch: Batch) -> pa.Array:
        """The values of column `name` as text.

        Raises:
            DataError: there is no such column.
        """
        array = self._found(name, batch)
        try:
            return pc.cast(array, pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return pa.array([category_text(value) for value in array.to_pylist()], pa.string())

    def _found(self, name: str, batch: Batch) -> pa.Array:
        position = batch.rows.schema.get_field_index(name)
        if position >= 0:
            return batch.rows.column(position)
        if self.open_ended:
            return pa.nulls(batch.rows.num_rows)
        near = difflib.get_close_matches(name, batch.rows.schema.names, n=1)
        raise errors.DataError(
            f"{batch.origin} has no column `{name}`, which the model needs.",
            remedy=f"Rename `{near[0]}`, if that is it." if near else "Add it; its values may be missing.",
            column=name,
            file=batch.origin,
        )

    def _column(self, feature: Feature, batch: Batch) -> Array:
        given = self._found(feature.name, batch)
        if feature.kind is FeatureKind.IMAGE:
            given = pictures.encoded(feature.name, given, batch)
        found = inference.raw(given, self.texts)
        if found is None:
            raise _of_wrong_type(feature, given, batch)
        array, kind = found
        if feature.kind is FeatureKind.CATEGORY:
            return _categories(array, kind, self.types.get(feature.name))
        if feature.kind in EMBEDDED:
            if kind not in (None, ColumnType.TEXT):
                raise _of_wrong_type(feature, given, batch)
            return _categories(array, kind, None)
        read = _times if feature.kind is FeatureKind.TIME else _numbers
        values = read(array, kind, feature.kind)
        if values is None:
            raise _of_wrong_type(feature, given, batch)
        column, odd = values
        if odd.any():
            raise _mistyped(feature, given, int(odd.argmax()), batch)
        return column


_Odd = npt.NDArray[np.bool_]


def _numbers(array: pa.Array, kind: ColumnType | None, wanted: FeatureKind) -> tuple[Array, _Odd] | None:
    """Numbers or truth values, and which are neither; None where no value of `kind` can be."""
    if kind is None:
        return np.full(len(array), np.nan), np.zeros(len(array), dtype=bool)
    if kind is ColumnType.TEXT:
        texts = pl.Series(array.dictionary, dtype=pl.String)
        parsed = texts.cast(pl.Float64, strict=False)
        if wanted is FeatureKind.BOOLEAN:
            spelled = texts.str.to_lowercase().replace_strict({"true": 1.0, "false": 0.0}, default=None)
            parsed = spelled.cast(pl.Float64).fill_null(parsed)
        known = parsed.to_numpy().astype(np.float64)
        column = _spread(np.append(known, np.nan), array)
        odd = _spread(np.append((parsed.is_null() & texts.is_not_null()).to_numpy(), False), array)
    elif kind in (*_NUMBERS, ColumnType.BOOLEAN):
        plain = pc.cast(array, pa.int8()) if kind is ColumnType.BOOLEAN else array
        column = pc.cast(plain, pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
        odd = np.zeros(column.size, dtype=bool)
    else:
        return None
    odd = odd | np.isinf(column)
    if wanted is FeatureKind.BOOLEAN:
        odd |= ~(np.isnan(column) | np.isin(column, (0.0, 1.0)))
    return column, odd


def _times(array: pa.Array, kind: ColumnType | None, _: FeatureKind) -> tuple[Array, _Odd] | None:
    if kind is None:
        return np.full(len(array), np.datetime64("NaT", "us")), np.zeros(len(array), dtype=bool)
    if kind is ColumnType.TEXT:
        texts = pl.Series(array.dictionary, dtype=pl.String)
        parsed = inference.parse_instants(texts)
        known = parsed.to_physical().fill_null(_NAT).to_numpy()
        column = _spread(np.append(known, _NAT), array).view("datetime64[us]")
        return column, _spread(np.append((parsed.is_null() & texts.is_not_null()).to_numpy(), False), array)
    if kind not in _TIMES:
        return None
    instants = pc.cast(array, pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
    return instants.astype("datetime64[us]"), np.zeros(len(array), dtype=bool)


def _categories(array: pa.Array, kind: ColumnType | None, stored: ColumnType | None) -> Array:
    if kind is None:
        return np.full(len(array), None, dtype=object)
    encoded = array if kind is ColumnType.TEXT else pc.dictionary_encode(array)
    values = encoded.dictionary.to_pylist()
    if kind is ColumnType.TEXT and stored in (*_NUMBERS, ColumnType.BOOLEAN):
        values = [_as_stored(value, stored) for value in values]
    known = np.empty(len(values) + 1, dtype=object)
    known[:-1] = [category_text(value) for value in values]
    return _spread(known, encoded)


def _as_stored(text: str | None, stored: ColumnType | None) -> object:
    """What `text` was in a column of type `stored`; itself where it cannot have been there."""
    if text is None:
        return None
    if stored is ColumnType.BOOLEAN:
        return text.lower() if text.lower() in ("true", "false") else text
    try:
        return int(text) if stored is ColumnType.INTEGER else float(text)
    except ValueError:
        return text


def _spread(known: Any, encoded: pa.DictionaryArray) -> Array:
    """`known` values by the codes of a dictionary array; the last of them where it is null."""
    codes = encoded.indices
    if codes.null_count:
        codes = codes.fill_null(len(known) - 1)
    found: Array = known[codes.to_numpy(zero_copy_only=False)]
    return found


def _mistyped(feature: Feature, given: pa.Array, position: int, batch: Batch) -> errors.DataError:
    value = given[position].as_py()
    shown = repr(value)
    shown = shown if len(shown) <= _LONGEST_VALUE else f"{shown[:_LONGEST_VALUE]}…"
    row = batch.first + position
    return errors.DataError(
        f"Row {row} of {batch.origin} has {shown} in column `{feature.name}`,"
        f" expected {EXPECTED[feature.kind]}.",
        remedy="Correct the file and score again; what is done stays.",
        file=batch.origin,
        row=row,
        column=feature.name,
    )


def _of_wrong_type(feature: Feature, given: pa.Array, batch: Batch) -> errors.DataError:
    return errors.DataError(
        f"Column `{feature.name}` of {batch.origin} is of type {given.type},"
        f" expected {EXPECTED[feature.kind]} from row {batch.first} on.",
        remedy="Convert it in the file and score again; what is done stays.",
        file=batch.origin,
        row=batch.first,
        column=feature.name,
    )
