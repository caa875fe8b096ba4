"""The quick way to read rows: one pass in C over the body, checked against the model's signature.

A reader takes the bodies that clients usually send: objects whose numbers are
JSON numbers, whose categories are text and whose times are RFC 3339. Whatever it
does not take is left to the protocol's codec, which takes everything the protocol
allows and names the row and the feature that are wrong. What a reader takes, a
codec reads to the same columns. Models and answers are not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from pilotage.core.artifacts import Model
from pilotage.core.features import Array, Columns
from pilotage.core.specs import FeatureKind
from pilotage.serving import problems
from pilotage.serving.limits import Limits

Values = tuple[Any, ...]
"""One row: the features in order, then its id and its time where they are not features."""

_TYPES: dict[FeatureKind, Any] = {
    FeatureKind.NUMBER: float | None,
    FeatureKind.BOOLEAN: bool | None,
    FeatureKind.CATEGORY: str | None,
    FeatureKind.TIME: datetime | None,
    FeatureKind.TEXT: str | None,
    FeatureKind.IMAGE: str | None,
}
_ID = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None
"""Numbers beyond are left to the codec, which has them as floats."""


class Rows(NamedTuple):
    """What a reader found in a body."""

    values: list[Values]
    ids: list[str | None] | None
    """By row; None when no row has one."""


class Reader:
    """Reads bodies in which `envelope` holds the rows, for one model."""

    def __init__(self, model: Model, limits: Limits, envelope: str, *, takes_ids: bool) -> None:
        self._rows = limits.rows
        places = {feature.name: place for place, feature in enumerate(model.features)}
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            (f"f{place}", _TYPES[feature.kind]) for place, feature in enumerate(model.features)
        ]
        names = {f"f{place}": feature.name for place, feature in enumerate(model.features)}
        extra = {model.key: _ID, model.time: datetime | None}
        for name, kind in extra.items():
            if name is not None and name not in places:
                places[name] = len(fields)
                names[f"f{len(fields)}"] = name
                fields.append((f"f{len(fields)}", kind, None))
        self._key = None if model.key is None else places[model.key]
        self._time = None if model.time is None else places[model.time]
        row = msgspec.defstruct("Row", fields, rename=names, gc=False)
        body: list[tuple[str, Any] | tuple[str, Any, Any]] = [("rows", list[row])]  # type: ignore[valid-type]
        if takes_ids:
            body.append(("ids", list[_ID] | None, None))
        self._takes_ids = takes_ids
        shape = msgspec.defstruct("Body", body, rename={"rows": envelope}, forbid_unknown_fields=True)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape).decode
        self._convert = [_CONVERT[feature.kind] for feature in model.features]
        self._names = [feature.name for feature in model.features]

    def read(self, body: bytes) -> Rows | None:
        """The rows of a body, or None where the codec must look at it.

        Raises:
            Problem: there are more rows than the server takes at once.
        """
        try:
            document = self._decode(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        rows = document.rows
        if not rows:
            return None
        if len(rows) > self._rows:
            raise problems.too_many("rows", len(rows), self._rows)
        values = [msgspec.structs.astuple(row) for row in rows]
        given = document.ids if self._takes_ids else None
        if given is None:
            key = self._key
            if key is None:
                return Rows(values, None)
            given = [row[key] for row in values]
        elif len(given) != len(values):
            return None
        if "" in given:
            return None
        return Rows(values, _texts(given))

    def columns(self, rows: Sequence[Values]) -> Columns:
        """The features of `rows`, as `pilotage.core.features.from_rows` gives them."""
        by_place = zip(*rows, strict=False)
        return {
            name: convert(values)
            for name, convert, values in zip(self._names, self._convert, by_place, strict=False)
        }

    def times(self, rows: Sequence[Values]) -> npt.NDArray[np.datetime64] | None:
        """When each row's event happened, `datetime64[us]` in UTC, NaT where it does not say; or None."""
        place = self._time
        if place is None:
            return None
        values = [row[place] for row in rows]
        return _times(values) if any(value is not None for value in values) else None

    @staticmethod
    def fits(model: Model) -> bool:
        """Whether the rows of `model` can be read by a reader.

        Not where its time is some other kind of feature, nor images, which the codec looks into.
        """
        kinds = {feature.name: feature.kind for feature in model.features}
        if FeatureKind.IMAGE in kinds.values():
            return False
        return kinds.get(model.time or "", FeatureKind.TIME) is FeatureKind.TIME and (
            kinds.get(model.key or "", FeatureKind.CATEGORY) is FeatureKind.CATEGORY
        )


def _texts(given: Sequence[str | int | None]) -> list[str | None] | None:
    found = False
    texts: list[str | None] = []
    for value in given:
        if value is None:
            texts.append(None)
            continue
        found = True
        texts.append(value if type(value) is str else str(value))
    return texts if found else None


def _numbers(values: Sequence[Any]) -> Array:
    return np.array(values, dtype=np.float64)


def _categories(values: Sequence[Any]) -> Array:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _times(values: Sequence[datetime | None]) -> Array:
    return np.array([_naive(value) for value in values], dtype="datetime64[us]")


def _naive(value: datetime | None) -> datetime | None:
    """The time in UTC, without saying so."""
    if value is None or value.tzinfo is None:
        return value
    if value.tzinfo is UTC:
        return value.replace(tzinfo=None)
    return value.astimezone(UTC).replace(tzinfo=None)


_CONVERT: dict[FeatureKind, Callable[[Sequence[Any]], Array]] = {
    FeatureKind.NUMBER: _numbers,
    FeatureKind.BOOLEAN: _numbers,
    FeatureKind.CATEGORY: _categories,
    FeatureKind.TIME: _times,
    FeatureKind.TEXT: _categories,
    FeatureKind.IMAGE: _categories,
}
