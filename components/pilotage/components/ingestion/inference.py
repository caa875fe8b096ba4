"""Which type a column has, decided over all of its rows, whatever the order they come in.

Rules for text that may stand for something else (CSV, and times in JSON lines
and SQL): true/false are booleans; digits are integers unless any is padded
with zeros or longer than 18 digits, which makes an identifier, that is text;
other numbers are numbers; ISO 8601 dates and times are dates and times.
Missing are the texts in `MISSING`, once blanks around them are taken off. What
a column is used for is not known here, but for the kind that the pilot pins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pilotage.components.ingestion import notations
from pilotage.components.sources.batches import Texts
from pilotage.core import errors
from pilotage.core.artifacts import ColumnType, Notice
from pilotage.core.personal import patterns
from pilotage.core.specs import EMBEDDED, FeatureKind

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
"""What stands for a missing value in a source that has only text."""
ALMOST = 0.95
"""Above this share of numbers (or times) among the values of a column, the others are taken for mistakes."""
_INTEGER = r"^[+-]?(0|[1-9]\d{0,17})$"
_PADDED = r"^[+-]?(0\d+|[1-9]\d{18,})$"
_INSTANT = (
    r"^(\d{4}-\d{2}-\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)? ?(Z|z|[+-]\d{2}:?\d{2}|[+-]\d{2})?)?$"
)
_ARTICLE = {
    ColumnType.INTEGER: "numbers",
    ColumnType.NUMBER: "numbers",
    ColumnType.BOOLEAN: "booleans",
    ColumnType.TEXT: "text",
    ColumnType.DATE: "dates",
    ColumnType.DATETIME: "times",
}


@dataclass(frozen=True)
class Sighting:
    """A value that does not fit, and where it stands."""

    value: str
    origin: str
    row: int

    def __str__(self) -> str:
        return f"{patterns.masked(self.value)[:60]!r} in row {self.row} of {self.origin}"


@dataclass
class Guess:
    """What was seen of one column so far: the kind of its values, and what its texts parse as."""

    name: str
    texts: Texts
    pin: FeatureKind | None = None
    kind: ColumnType | None = None
    seen_in: str = ""
    present: int = 0
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("number", "integer", "padded", "boolean", "date", "time"), 0)
    )
    not_number: Sighting | None = None
    not_time: Sighting | None = None
    tally: notations.Tally = field(default_factory=notations.Tally)

    def see(self, array: pa.Array, kind: ColumnType | None, origin: str, first: int) -> None:
        """Take in one batch's values, as `raw` gives them.

        Raises:
            DataError: the values are of another kind than those before.
        """
        if kind is None:
            return
        self._join(kind, origin)
        if kind is ColumnType.TEXT and self.pin not in EMBEDDED:
            self._see_texts(array, origin, first)

    def _join(self, kind: ColumnType, origin: str) -> None:
        if self.kind is None:
            self.kind, self.seen_in = kind, origin
            return
        pair = {self.kind, kind}
        if pair == {ColumnType.INTEGER, ColumnType.NUMBER}:
            self.kind = ColumnType.NUMBER
        elif pair == {ColumnType.DATE, ColumnType.DATETIME}:
            self.kind = ColumnType.DATETIME
        elif len(pair) > 1:
            raise errors.DataError(
                f"Column `{self.name}` mixes types: {_ARTICLE[self.kind]} in {self.seen_in}, "
                f"{_ARTICLE[kind]} in {origin}.",
                remedy="Give it one type in the source, or put it under `data.exclude`.",
                column=self.name,
            )

    def _see_texts(self, array: pa.Array, origin: str, first: int) -> None:
        indices = array.indices.drop_null().to_numpy(zero_copy_only=False)
        weights = np.bincount(indices, minlength=len(array.dictionary))
        self.present += len(indices)
        values = pl.Series(self.name, array.dictionary, dtype=pl.String)
        number = values.cast(pl.Float64, strict=False).is_not_null().to_numpy()
        self.tally.see(values, number, weights)
        if self.texts is Texts.TEXT and self.pin is None:
            return
        time = np.zeros(len(values), dtype=bool)
        if number.any():
            self._count("integer", values.str.contains(_INTEGER).to_numpy(), weights)
            self._count("padded", values.str.contains(_PADDED).to_numpy(), weights)
        if not number.all():
            self._count("boolean", values.str.to_lowercase().is_in(["true", "false"]).to_numpy(), weights)
            instants = parse_instants(values).is_not_null()
            time = instants.to_numpy()
            self._count("date", (instants & (values.str.len_chars() == 10)).to_numpy(), weights)
        self._count("number", number, weights)
        self._count("time", time, weights)
        self.not_number = self.not_number or _first(array, ~number, origin, first)
        self.not_time = self.not_time or _first(array, ~time, origin, first)

    def _count(self, what: str, which: npt.NDArray[np.bool_], weights: npt.NDArray[Any]) -> None:
        self.counts[what] += int(weights[which].sum())

    def decide(self) -> ColumnType:
        """The column's type, now that all rows were seen.

        Raises:
            DataError: some values contradict the pinned kind, or almost all others.
        """
        if self.kind is None:
            return _EMPTY.get(self.pin, ColumnType.TEXT) if self.pin else ColumnType.TEXT
        if self.kind is not ColumnType.TEXT:
            return self._typed(self.kind)
        if self.pin is FeatureKind.CATEGORY or self.pin in EMBEDDED:
            return ColumnType.TEXT
        if self.pin is not None:
            return self._pinned(self.pin)
        return ColumnType.TEXT if self.texts is Texts.TEXT else self._inferred()

    @property
    def notice(self) -> Notice | None:
        """What to say where the column stays text and looks like numbers or dates."""
        return self.tally.notice(self.name) if self.kind is ColumnType.TEXT else None

    def _typed(self, kind: ColumnType) -> ColumnType:
        if self.pin is not None and kind not in _FITTING[self.pin]:
            raise errors.DataError(
                f"Column `{self.name}` holds {_ARTICLE[kind]}, expected {_KINDS[self.pin]}.",
                remedy="Correct the source, or the column's kind in pilot.yaml.",
                column=self.name,
            )
        return kind

    def _pinned(self, pin: FeatureKind) -> ColumnType:
        if not self.present:
            return _EMPTY[pin]
        counts = self.counts
        if pin is FeatureKind.TIME and counts["time"] == self.present:
            return ColumnType.DATE if counts["date"] == self.present else ColumnType.DATETIME
        if pin is FeatureKind.BOOLEAN and counts["boolean"] == self.present:
            return ColumnType.BOOLEAN
        if pin in (FeatureKind.NUMBER, FeatureKind.BOOLEAN) and counts["number"] == self.present:
            return ColumnType.INTEGER if counts["integer"] == self.present else ColumnType.NUMBER
        odd = self.not_time if pin is FeatureKind.TIME else self.not_number
        raise errors.DataError(
            f"Column `{self.name}` should be {_KINDS[pin]}, but has {odd}.",
            remedy=notations.remedy(notice.notation)
            if (notice := self.notice) is not None
            else "Correct the source, or the column's kind in pilot.yaml.",
            column=self.name,
        )

    def _inferred(self) -> ColumnType:
        counts, present = self.counts, self.present
        if not present:
            return ColumnType.TEXT
        if counts["time"] == present:
            return ColumnType.DATE if counts["date"] == present else ColumnType.DATETIME
        self._almost("time", "dates or times", self.not_time)
        if self.texts is not Texts.ANYTHING or counts["padded"]:
            return ColumnType.TEXT
        if counts["boolean"] == present:
            return ColumnType.BOOLEAN
        if counts["number"] == present:
            return ColumnType.INTEGER if counts["integer"] == present else ColumnType.NUMBER
        self._almost("number", "numbers", self.not_number)
        return ColumnType.TEXT

    def _almost(self, what: str, plural: str, odd: Sighting | None) -> None:
        if what == "number" and self.texts is not Texts.ANYTHING:
            return
        if self.counts[what] > ALMOST * self.present:
            others = self.present - self.counts[what]
            raise errors.DataError(
                f"Column `{self.name}` mixes types: {self.counts[what]} of {self.present} are {plural}, "
                f"{others} {'is' if others == 1 else 'are'} not, first {odd}.",
                remedy="Correct the source (missing is an empty field), or set "
                f"`features: {{{self.name}: category}}` or `exclude` under `data`.",
                column=self.name,
            )


_EMPTY = {
    FeatureKind.NUMBER: ColumnType.NUMBER,
    FeatureKind.BOOLEAN: ColumnType.BOOLEAN,
    FeatureKind.CATEGORY: ColumnType.TEXT,
    FeatureKind.TIME: ColumnType.DATETIME,
    FeatureKind.TEXT: ColumnType.TEXT,
    FeatureKind.IMAGE: ColumnType.TEXT,
}
_FITTING = {
    FeatureKind.NUMBER: (ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.BOOLEAN),
    FeatureKind.BOOLEAN: (ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.BOOLEAN),
    FeatureKind.CATEGORY: tuple(ColumnType),
    FeatureKind.TIME: (ColumnType.DATE, ColumnType.DATETIME),
    FeatureKind.TEXT: (ColumnType.TEXT,),
    FeatureKind.IMAGE: (ColumnType.TEXT,),
}
_KINDS = {
    FeatureKind.NUMBER: "a number",
    FeatureKind.BOOLEAN: "a boolean (true or false, 1 or 0)",
    FeatureKind.CATEGORY: "a category",
    FeatureKind.TIME: "an ISO 8601 date or time",
    FeatureKind.TEXT: "text",
    FeatureKind.IMAGE: "an image",
}


def parse_instants(values: pl.Series) -> pl.Series:
    """Texts as instants (`Datetime("us", "UTC")`), null where not ISO 8601; no offset means UTC."""
    name = "instant"
    part = (
        values.alias("text")
        .to_frame()
        .select(pl.col("text").str.extract(_INSTANT, group).alias(str(group)) for group in range(1, 7))
    )
    number = {place: pl.col(place).cast(pl.Int64).fill_null(0) for place in ("2", "3", "4")}
    micro = pl.col("5").str.pad_end(6, "0").str.head(6).cast(pl.Int64).fill_null(0)
    offset = pl.col("6").str.replace("^[Zz]$", "").str.replace(":", "")
    minutes = offset.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0) * 60 + offset.str.slice(
        3, 2
    ).cast(pl.Int64, strict=False).fill_null(0)
    east = pl.when(offset.str.starts_with("-")).then(-minutes).otherwise(minutes)
    seconds = number["2"] * 3600 + (number["3"] - east) * 60 + number["4"]
    valid = (number["2"] < 24) & (number["3"] < 60) & (number["4"] < 60)
    day = pl.col("1").str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us", "UTC"))
    instant = day + pl.duration(microseconds=seconds * 1_000_000 + micro, time_unit="us")
    return part.select(pl.when(valid).then(instant).alias(name)).to_series()


def _first(array: pa.Array, odd: npt.NDArray[np.bool_], origin: str, first: int) -> Sighting | None:
    if not odd.any():
        return None
    indices = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(np.append(odd, False)[indices])
    if not rows.size:
        return None
    row = int(rows[0])
    return Sighting(value=array[row].as_py(), origin=origin, row=first + row)


def raw(array: pa.Array, texts: Texts) -> tuple[pa.Array, ColumnType | None] | None:
    """The array as a spool keeps it, with its kind; None if no column can be this.

    The kind is None where all is null. Text becomes a dictionary array, with null for what stands for
    missing in a source that has only text.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if array.null_count == len(array):
        return pa.nulls(len(array)), None
    if pa.types.is_boolean(kind):
        return array, ColumnType.BOOLEAN
    if pa.types.is_integer(kind):
        return pc.cast(array, pa.int64()), ColumnType.INTEGER
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pc.cast(array, pa.float64(), safe=False), ColumnType.NUMBER
    if pa.types.is_date(kind):
        return pc.cast(array, pa.date32()), ColumnType.DATE
    if pa.types.is_timestamp(kind):
        return _utc(array), ColumnType.DATETIME
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _texts(array, texts)
    return None


def _utc(array: pa.TimestampArray) -> pa.Array:
    micro = pc.cast(array, pa.timestamp("us", tz=array.type.tz), safe=False)
    return micro.cast(pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _texts(array: pa.Array, texts: Texts) -> tuple[pa.Array, ColumnType | None]:
    encoded = pc.cast(array, pa.string()).dictionary_encode()
    if texts is not Texts.ANYTHING:
        return encoded, ColumnType.TEXT
    known = pc.utf8_trim_whitespace(encoded.dictionary)
    missing = pc.is_in(known, pa.array(MISSING, pa.string()))
    if pc.any(missing).as_py() or not known.equals(encoded.dictionary):
        known = pc.if_else(missing, pa.scalar(None, pa.string()), known)
        encoded = known.take(encoded.indices).dictionary_encode()
    return (encoded, ColumnType.TEXT) if encoded.null_count < len(encoded) else (pa.nulls(len(encoded)), None)


def convert(array: pa.Array, kind: ColumnType, target: pa.DataType) -> pa.Array:
    """A raw array as the column's decided type; `target` is the Arrow type of `kind`."""
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), target)
    if pa.types.is_dictionary(array.type):
        known = _parse(array.dictionary, kind, target)
        return known.take(array.indices)
    if pa.types.is_float64(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)
    return pc.cast(array, target, safe=kind is not ColumnType.NUMBER)


def _parse(known: pa.Array, kind: ColumnType, target: pa.DataType) -> pa.Array:
    if kind is ColumnType.TEXT:
        return known
    values = pl.Series(known, dtype=pl.String)
    if kind is ColumnType.NUMBER:
        parsed = values.cast(pl.Float64)
    elif kind is ColumnType.INTEGER:
        parsed = values.cast(pl.Int64, strict=False)
        if parsed.null_count() > values.null_count():
            parsed = parsed.fill_null(values.cast(pl.Float64).cast(pl.Int64, strict=False))
    elif kind is ColumnType.BOOLEAN:
        parsed = values.str.to_lowercase() == "true"
    else:
        parsed = parse_instants(values)
    return pc.cast(parsed.to_arrow(), target, safe=False)
