"""From batches of any source to a snapshot's files: spooled, typed, cut anew, digested, counted.

The rows pass twice, because the type of a column is known only when all of them
were seen; in between they lie in a compressed spool on disk, so memory holds a
few batches however long the table is. Besides those, eight bytes a row are kept
for the key, to find duplicates. Roles and publication are ingest's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pilotage.components.ingestion import digests, inference
from pilotage.components.ingestion.inference import Guess
from pilotage.components.snapshots import BATCH_ROWS, arrow_type
from pilotage.components.sources import pictures
from pilotage.components.sources.batches import Batch, Opened
from pilotage.core import errors, storage
from pilotage.core.artifacts import Column, ColumnType, DataFile, Notice
from pilotage.core.specs import EMBEDDED, FeatureKind

MOST_COLUMNS = 10_000
MOST_DISTINCT = 10_000
_GROUP_CELLS = 1 << 23
_LEAST_GROUP_ROWS = 1_024
_GROUPS_PER_FILE = 16


@dataclass(frozen=True)
class Spool:
    """All rows of a source on disk, before their columns have types."""

    files: tuple[Path, ...]
    rows: int
    types: dict[str, ColumnType]
    """In order of first appearance."""
    embedded: frozenset[str] = frozenset()
    """Columns of texts and images, whose values are long."""
    notices: tuple[Notice, ...] = ()
    """Columns of texts that look like numbers or dates."""


def spool(
    opened: Opened,
    folder: Path,
    pins: Mapping[str, FeatureKind],
    excluded: Sequence[str],
    whole: str | None = None,
) -> Spool:
    """Read the source to its end into `folder`.

    Args:
        opened: the source.
        folder: where files may be written.
        pins: kinds that columns must have.
        excluded: columns that need not be usable; one that cannot be stored is left out.
        whole: a column that becomes an integer if all of its numbers are whole, or None.

    Raises:
        SourceError: the source cannot be read.
        DataError: a column is not usable; names it, a value and a remedy.
    """
    guesses: dict[str, Guess] = {}
    writer = _SpoolWriter(folder)
    fractions = _Fractions(whole)
    try:
        for batch in pictures.read(opened.batches, pins):
            _check_columns(batch, guesses, opened.open_ended)
            arrays = _raw_columns(batch, opened, pins, excluded, guesses)
            fractions.see(arrays)
            writer.write(pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays)), batch)
    finally:
        writer.close()
    types = {name: guess.decide() for name, guess in guesses.items()}
    if whole in types and types[whole] is ColumnType.NUMBER and fractions.none:
        types[whole] = ColumnType.INTEGER
    embedded = frozenset(name for name, kind in pins.items() if kind in EMBEDDED and name in types)
    told = [guesses[name].notice for name, kind in types.items() if kind is ColumnType.TEXT]
    return Spool(
        files=tuple(writer.files),
        rows=writer.rows,
        types=types,
        embedded=embedded,
        notices=tuple(notice for notice in told if notice is not None),
    )


def _raw_columns(
    batch: Batch,
    opened: Opened,
    pins: Mapping[str, FeatureKind],
    excluded: Sequence[str],
    guesses: dict[str, Guess],
) -> dict[str, pa.Array]:
    arrays: dict[str, pa.Array] = {}
    for name, column in zip(batch.rows.schema.names, batch.rows.columns, strict=True):
        guess = guesses.get(name)
        if guess is None:
            pin = FeatureKind.CATEGORY if name in excluded else pins.get(name)
            guess = guesses[name] = Guess(name, opened.texts, pin)
        found = _raw(name, column, opened, batch.origin)
        if found is None:
            if name not in excluded:
                raise errors.DataError(
                    f"Column `{name}` of {batch.origin} is of type {column.type}, which no feature can be.",
                    remedy="Flatten or convert it in the source, or put it under `data.exclude`.",
                    column=name,
                )
            arrays[name] = pa.nulls(len(column))
            continue
        array, kind = found
        guess.see(array, kind, batch.origin, batch.first)
        arrays[name] = array
    return arrays


def _raw(
    name: str, column: pa.Array, opened: Opened, origin: str
) -> tuple[pa.Array, ColumnType | None] | None:
    try:
        return inference.raw(column, opened.texts)
    except pa.ArrowInvalid as error:
        raise errors.DataError(
            f"Column `{name}` of {origin} has a value that cannot be stored: {error}.",
            remedy="Whole numbers take 64 bits, times years 1 to 9999; correct the source.",
            column=name,
        ) from error


def _check_columns(batch: Batch, guesses: Mapping[str, Guess], open_ended: bool) -> None:
    names = batch.rows.schema.names
    if len(names) > MOST_COLUMNS or len(guesses) > MOST_COLUMNS:
        raise errors.DataError(
            f"{batch.origin} has {max(len(names), len(guesses)):,} columns, at most {MOST_COLUMNS:,} can be.",
            remedy="Select the columns that matter in the source.",
        )
    if len(set(names)) < len(names) or "" in names:
        odd = next(name for name in names if not name or names.count(name) > 1)
        raise errors.DataError(
            f"{batch.origin} has " + (f"two columns named `{odd}`." if odd else "a column without a name."),
            remedy="Rename it in the source.",
            column=odd,
        )
    if guesses and not open_ended and set(names) != set(guesses):
        odd = sorted(set(names) ^ set(guesses))[0]
        has = "lacks column" if odd in guesses else "has a column that the files before it lack,"
        raise errors.DataError(
            f"{batch.origin} {has} `{odd}`.", remedy="Give all files the same columns.", column=odd
        )


@dataclass
class _Fractions:
    """Whether the numbers of one column are all whole."""

    name: str | None
    none: bool = True

    def see(self, arrays: Mapping[str, pa.Array]) -> None:
        array = arrays.get(self.name) if self.name else None
        if array is None or not self.none:
            return
        if pa.types.is_dictionary(array.type):
            import polars as pl

            array = pl.Series(array.dictionary, dtype=pl.String).cast(pl.Float64, strict=False).to_arrow()
        if pa.types.is_float64(array.type):
            whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), 2.0**53))
            self.none = pc.all(pc.fill_null(pc.or_(whole, pc.is_nan(array)), True)).as_py()


class _SpoolWriter:
    """Arrow streams in a folder, a new one whenever the columns or their raw types change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        self._schema: pa.Schema | None = None
        self.files: list[Path] = []
        self.rows = 0

    def write(self, rows: pa.RecordBatch, batch: Batch) -> None:
        if self._schema is None or not rows.schema.equals(self._schema):
            self.close()
            self.files.append(self._folder / f"spool-{len(self.files):06}.arrow")
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_stream(self.files[-1], rows.schema, options=options)
            self._schema = rows.schema
        self._writer.write_batch(rows)
        self.rows += batch.rows.num_rows

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def typed(source: Spool) -> Iterator[pa.RecordBatch]:
    """The rows with their decided types, cut into groups whose size depends on the number of columns only."""
    schema = pa.schema([(name, arrow_type(kind)) for name, kind in source.types.items()])
    size = _LEAST_GROUP_ROWS if source.embedded else group_rows(len(schema))
    pending: list[pa.RecordBatch] = []
    held = 0
    for file in source.files:
        with pa.OSFile(str(file)) as stream, pa.ipc.open_stream(stream) as reader:
            for batch in reader:
                pending.append(_typed(batch, schema, source.types))
                held += batch.num_rows
                while held >= size:
                    yield from _cut(pending, size)
                    held -= size
    if held:
        yield from _cut(pending, held)


def group_rows(columns: int) -> int:
    """Rows of a group in a table of so many columns: a power of two, so that wide groups fit into memory."""
    fitting = 1 << (max(1, _GROUP_CELLS // max(1, columns)).bit_length() - 1)
    return max(_LEAST_GROUP_ROWS, min(BATCH_ROWS, fitting))


def _typed(batch: pa.RecordBatch, schema: pa.Schema, types: Mapping[str, ColumnType]) -> pa.RecordBatch:
    given = dict(zip(batch.schema.names, batch.columns, strict=True))
    arrays = []
    for field_ in schema:
        array = given.get(field_.name)
        if array is None:
            array = pa.nulls(batch.num_rows)
        arrays.append(inference.convert(array, types[field_.name], field_.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cut(pending: list[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """Take the first `size` rows off `pending`, as one batch."""
    taken, rows = [], 0
    while rows < size:
        batch = pending.pop(0)
        if rows + batch.num_rows > size:
            pending.insert(0, batch.slice(size - rows))
            batch = batch.slice(0, size - rows)
        taken.append(batch)
        rows += batch.num_rows
    yield pa.concat_batches(taken) if len(taken) > 1 else taken[0]


@dataclass
class Facts:
    """What is known of one column after all rows."""

    name: str
    type: ColumnType
    nulls: int = 0
    infinite: int = 0
    low: Any = None
    high: Any = None
    long: bool = False
    """Its values are texts or images, so that only hashes of them are kept."""
    _seen: pa.Array | None = field(default=None, repr=False)
    _overflow: bool = False

    def see(self, values: pa.Array) -> None:
        self.nulls += values.null_count
        if self.type is ColumnType.NUMBER:
            self.infinite += pc.sum(pc.is_inf(values)).as_py() or 0
        if self.type is not ColumnType.TEXT and values.null_count < len(values):
            low, high = self._ends(values)
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)
        if not self._overflow:
            new = pc.unique(_hashes(values.drop_null()) if self.long else values.drop_null())
            self._seen = new if self._seen is None else pc.unique(pa.concat_arrays([self._seen, new]))
            self._overflow = len(self._seen) > MOST_DISTINCT

    def _ends(self, values: pa.Array) -> tuple[Any, Any]:
        ends = pc.min_max(values)
        try:
            return ends["min"].as_py(), ends["max"].as_py()
        except (OverflowError, ValueError) as error:
            raise errors.DataError(
                f"Column `{self.name}` holds a time outside of the years 1 to 9999.",
                remedy="Correct it in the source, or put the column under `data.exclude`.",
                column=self.name,
            ) from error

    @property
    def distinct(self) -> int:
        """Different values that are present, at most `MOST_DISTINCT` + 1."""
        return min(0 if self._seen is None else len(self._seen), MOST_DISTINCT + 1)

    @property
    def values(self) -> list[Any]:
        """The different values, unless there are more than `MOST_DISTINCT`."""
        return [] if self._seen is None else self._seen.to_pylist()

    @property
    def column(self) -> Column:
        return Column(name=self.name, type=self.type, nulls=self.nulls, distinct=self.distinct)


def _hashes(values: pa.Array) -> pa.Array:
    import polars as pl

    return pl.Series(values).hash(0).to_arrow()


@dataclass(frozen=True)
class Written:
    """A table on disk: its digest, its files and what is known of its columns."""

    digest: str
    rows: int
    files: tuple[DataFile, ...]
    facts: dict[str, Facts]
    class_counts: dict[Any, int]
    """Rows by value of the target, as long as it has few."""
    keys: np.ndarray[Any, np.dtype[np.uint64]] | None
    """A hash of each row's key."""
    notices: tuple[Notice, ...] = ()
    """See `Spool`."""


def write(source: Spool, folder: Path, target: str, key: str | None) -> Written:
    """Write the typed rows as Parquet into `folder`, counting and digesting them on the way."""
    import polars as pl

    facts = {name: Facts(name, kind, long=name in source.embedded) for name, kind in source.types.items()}
    schema = pa.schema([(name, arrow_type(kind)) for name, kind in source.types.items()])
    digest = digests.LogicalDigest(source.types)
    parts = _Parts(folder, schema)
    hashes: list[Any] = []
    classes: dict[Any, int] = {}
    try:
        for rows in typed(source):
            digest.update(rows)
            parts.write(rows)
            for name, values in zip(schema.names, rows.columns, strict=True):
                facts[name].see(values)
            if len(classes) <= MOST_DISTINCT:
                for item in pc.value_counts(rows.column(target)).to_pylist():
                    classes[item["values"]] = classes.get(item["values"], 0) + item["counts"]
            if key is not None:
                hashes.append(pl.Series(rows.column(key)).hash(0).to_numpy())
    finally:
        parts.close()
    return Written(
        digest=digest.hexdigest(),
        rows=source.rows,
        files=parts.described(),
        facts=facts,
        class_counts=classes,
        keys=np.concatenate(hashes) if hashes else None,
        notices=source.notices,
    )


class _Parts:
    """Parquet files of a fixed number of row groups, so that the same rows give the same bytes."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder = folder
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None
        self._paths: list[Path] = []
        self._rows: list[int] = []
        self._groups = 0

    def write(self, rows: pa.RecordBatch) -> None:
        if self._writer is None or self._groups == _GROUPS_PER_FILE:
            self.close()
            self._paths.append(self._folder / f"part-{len(self._paths):05}.parquet")
            self._rows.append(0)
            self._groups = 0
            self._writer = pq.ParquetWriter(self._paths[-1], self._schema, compression="zstd")
        self._writer.write_batch(rows, row_group_size=rows.num_rows)
        self._rows[-1] += rows.num_rows
        self._groups += 1

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def described(self) -> tuple[DataFile, ...]:
        return tuple(
            DataFile(name=path.name, rows=rows, bytes=path.stat().st_size, sha256=storage.file_digest(path))
            for path, rows in zip(self._paths, self._rows, strict=True)
        )
