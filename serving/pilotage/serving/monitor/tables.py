"""Two tables beside each other, without a pilot: last month's against this month's, a vendor's against ours.

The first is taken as the reference, the second as a window; both are read batch by
batch, so that their size is a matter of time and not of memory. Rows are taken as
independent. How differences are judged is the other modules' business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from pilotage.core import batches, errors
from pilotage.core.artifacts import Feature, FeatureDrift, Part
from pilotage.core.batches import Scan
from pilotage.core.profiles import Profile
from pilotage.core.specs import Drift, FeatureKind
from pilotage.serving.monitor.drift import calibrations, comparisons, methods
from pilotage.serving.monitor.drift.columns import column_of

_PARQUET, _LINES = (".parquet", ".pq"), (".jsonl", ".ndjson")
_SEED = 0


class TableDrift(Part):
    """How the columns of one table differ from those of another."""

    reference: str
    current: str
    reference_rows: int
    rows: int
    false_alarm_rate: float
    threshold: float
    """Of the smallest p-value over all columns."""
    method: str
    columns: tuple[FeatureDrift, ...]
    """Those that drifted first, then by how much they differ."""
    left_out: dict[str, str] = {}
    """Columns that were not compared, and why."""

    @property
    def drifted(self) -> tuple[FeatureDrift, ...]:
        return tuple(part for part in self.columns if part.drifted)


@dataclass(frozen=True)
class Table:
    """A file of rows that can be read from its beginning again and again."""

    path: Path
    schema: pa.Schema

    def scan(self, wanted: Sequence[Feature]) -> Scan:
        """Reads its batches."""
        if self.path.suffix in _PARQUET:
            return batches.of_parquet([self.path], wanted)
        if self.path.suffix in _LINES:
            return batches.of_table(pyarrow.json.read_json(self.path))

        def read(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
            columns = {name: self.schema.field(name).type for name in names}
            options = pyarrow.csv.ConvertOptions(
                include_columns=list(names), column_types=columns, strings_can_be_null=True
            )
            with pyarrow.csv.open_csv(self.path, convert_options=options) as stream:
                yield from stream

        return read


def open_table(path: Path) -> Table:
    """The table in a Parquet, CSV or JSON-lines file.

    Raises:
        NotFound: there is no such file.
        SourceError: it is none of these, or cannot be read.
    """
    if not path.is_file():
        raise errors.NotFound(f"There is no file `{path}`.", remedy="Name a Parquet, CSV or JSON-lines file.")
    try:
        if path.suffix in _PARQUET:
            schema = pyarrow.parquet.read_schema(path)
        elif path.suffix in _LINES:
            schema = pyarrow.json.read_json(path).schema
        else:
            with pyarrow.csv.open_csv(path) as stream:
                schema = stream.schema
    except (pa.ArrowInvalid, OSError) as error:
        raise errors.SourceError(
            f"`{path}` cannot be read: {error}.", remedy="Name a Parquet, CSV or JSON-lines file."
        ) from error
    return Table(path, schema)


def compare(reference: Table, current: Table, drift: Drift, *, exclude: Sequence[str] = ()) -> TableDrift:
    """Compare the columns that both tables have.

    Raises:
        DataError: they share no column that can be compared, one is empty, or a value is of another kind.
    """
    wanted, left_out = _shared(reference, current, exclude)
    if not wanted:
        raise errors.DataError(
            f"`{reference.path}` and `{current.path}` share no column that can be compared.",
            remedy="Compare tables with columns of the same names and kinds.",
        )
    names = [feature.name for feature in wanted]
    profiles = batches.profile_batches(wanted, reference.scan(wanted), seed=_SEED)
    counts = batches.count_batches(profiles, wanted, current.scan(wanted)(names))
    rows = int(next(iter(counts.values())).sum())
    if not rows:
        raise errors.DataError(f"`{current.path}` has no rows.", remedy="Compare a table that has.")
    return _compared(reference, current, wanted, profiles, counts, drift, left_out)


def _compared(
    reference: Table,
    current: Table,
    wanted: Sequence[Feature],
    profiles: dict[str, Profile],
    counts: dict[str, np.ndarray],
    drift: Drift,
    left_out: dict[str, str],
) -> TableDrift:
    columns = [column_of(name, part) for name, part in profiles.items()]
    held = [counts[column.name] for column in columns]
    rows = int(held[0].sum())
    setup = calibrations.Setup(calibrations.size_class(rows), drift.false_alarm_rate, 0, _SEED)
    calibration = calibrations.calibrate(columns, setup)
    times = {feature.name for feature in wanted if feature.kind is FeatureKind.TIME}
    found = comparisons.compare_counts(
        columns, held, calibration, drift, times, judged=rows >= comparisons.LEAST_ROWS
    )
    ranked = sorted(found, key=lambda part: (not part.drifted, -comparisons.severity(part)))
    return TableDrift(
        reference=str(reference.path),
        current=str(current.path),
        reference_rows=columns[0].size,
        rows=rows,
        false_alarm_rate=drift.false_alarm_rate,
        threshold=calibration.threshold,
        method=methods.describe(calibration, drift, len(columns), rows),
        columns=tuple(ranked),
        left_out=left_out,
    )


def _shared(reference: Table, current: Table, exclude: Sequence[str]) -> tuple[list[Feature], dict[str, str]]:
    """The columns that both have as the same kind, and why others are left out."""
    wanted, left_out = [], {}
    kinds = {name: _kind(reference.schema.field(name).type) for name in reference.schema.names}
    for name, kind in kinds.items():
        if name in exclude:
            continue
        if name not in current.schema.names:
            left_out[name] = f"`{current.path.name}` has no such column"
        elif kind is None:
            left_out[name] = f"{reference.schema.field(name).type} cannot be compared"
        elif _kind(current.schema.field(name).type) is not kind:
            left_out[name] = (
                f"was {reference.schema.field(name).type}, now is {current.schema.field(name).type}"
            )
        else:
            wanted.append(Feature(name=name, kind=kind))
    new = [name for name in current.schema.names if name not in kinds and name not in exclude]
    return wanted, left_out | dict.fromkeys(new, f"`{reference.path.name}` has no such column")


def _kind(kind: pa.DataType) -> FeatureKind | None:
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_boolean(kind):
        return FeatureKind.BOOLEAN
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return FeatureKind.NUMBER
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return FeatureKind.CATEGORY
    return FeatureKind.TIME if types.is_temporal(kind) and not types.is_time(kind) else None
