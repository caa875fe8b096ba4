"""Tables of any size, counted batch by batch: a reference made from one, and one counted against a reference.

Memory holds a batch and a bounded sample, however many rows there are; categories are counted
by their distinct values and never become objects row by row. The profiles that come out
are `pilotage.core.profiles`'; what differs between two is the monitor's question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pilotage.core import cells, errors, features, profiles
from pilotage.core.artifacts import Feature
from pilotage.core.profiles import CategoryProfile, Counts, Moments, NumberProfile
from pilotage.core.specs import FeatureKind

if TYPE_CHECKING:
    import pyarrow as pa

Scan = Callable[[Sequence[str]], "Iterable[pa.RecordBatch]"]
"""The rows of a table from the beginning, with the columns asked for; each call reads them again."""

BATCH_ROWS = 65_536
SAMPLE_ROWS = 200_000
"""Rows, drawn at random, whose quantiles are the edges of a table that has more."""
_SAMPLE_VALUES = 8_000_000
"""With more than 40 columns of numbers it is fewer rows."""
_FEWEST_SAMPLED = 10_000
MOST_FOLLOWED = 100_000
"""Distinct values of a category that are followed for certain; of more, the rare ones are given up."""


def of_table(table: pa.Table) -> Scan:
    """A table in memory."""
    return lambda names: table.select(list(names)).to_batches(max_chunksize=BATCH_ROWS)


def of_parquet(paths: Sequence[Path], wanted: Sequence[Feature]) -> Scan:
    """Parquet files, whose categories come as they are stored: once each, and a number a row.

    They are mapped into memory: replace them, but do not cut them short while they are read.

    Raises:
        DataError: when it is read and a file cannot be, or lacks a column.
    """
    texts = {feature.name for feature in wanted if not profiles.numeric(feature.kind)}

    def scan(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        for path in paths:
            try:
                about = pq.read_metadata(path)
                features.require(names, about.schema.to_arrow_schema().names)
                plain = {about.schema.column(place).path for place in range(about.num_columns)}
                coded = sorted(texts & plain)
                with pq.ParquetFile(path, metadata=about, read_dictionary=coded, memory_map=True) as file:
                    yield from file.iter_batches(BATCH_ROWS, columns=list(names))
            except (OSError, pa.ArrowInvalid) as error:
                raise errors.DataError(
                    f"`{path}` cannot be read as Parquet: {error}.", remedy="Write the file again."
                ) from error

    return scan


def count_batches(
    reference: Mapping[str, NumberProfile | CategoryProfile],
    wanted: Sequence[Feature],
    batches: Iterable[pa.RecordBatch],
) -> dict[str, Counts]:
    """Counts of a table's columns by the reference's cells, exact.

    Args:
        reference: a profile for each of the features, as `ReferenceProfile.features` has them.
        wanted: which columns, and of what kind.
        batches: the table.

    Raises:
        DataError: a column is missing, or cannot be read as its kind.
    """
    counts = {feature.name: np.zeros(reference[feature.name].cells, np.int64) for feature in wanted}
    numbers, rows = sum(isinstance(reference[name], NumberProfile) for name in counts), 0
    for batch in batches:
        rows += batch.num_rows
        cells.prepare(rows * numbers)
        for feature in wanted:
            profile = reference[feature.name]
            if isinstance(profile, NumberProfile):
                counts[feature.name] += profile.count(_number(feature, batch))
            else:
                counts[feature.name] += profile.count_distinct(_distinct(feature, batch))
    return counts


def profile_batches(
    wanted: Sequence[Feature], scan: Scan, *, seed: int = 0
) -> dict[str, NumberProfile | CategoryProfile]:
    """The profiles of a whole table as a reference, without time blocks and seasons.

    Up to `SAMPLE_ROWS` rows they are what `profiles.profile_column` gives. Of more, counts,
    moments, smallest and largest values are exact all the same, but edges are quantiles of a random
    sample of n rows: a cell meant for a share p of the rows holds p give or take sqrt(p (1 - p) / n),
    0.0003 for a cell of 1/63 at 200,000. Of a category with more than `MOST_FOLLOWED` distinct values,
    counts of single ones may be too low by what was given up, which is counted among the others, and
    singletons too many.

    Args:
        wanted: which columns, and of what kind.
        scan: reads the table; asked twice where it is larger than the sample.
        seed: of the sample.

    Raises:
        DataError: there are no rows, a column is missing, or it cannot be read as its kind.
    """
    numbers, texts = _by_kind(wanted)
    sample = _Sample([feature.name for feature in numbers], seed)
    categories = {feature.name: _Followed() for feature in texts}
    for batch in scan([feature.name for feature in wanted]):
        sample.add({feature.name: _number(feature, batch) for feature in numbers}, batch.num_rows)
        for feature in texts:
            categories[feature.name].add(_distinct(feature, batch))
    if not sample.seen:
        raise errors.DataError("The table has no rows.", remedy="Take one that has.")
    found: dict[str, NumberProfile | CategoryProfile] = {
        name: followed.profile() for name, followed in categories.items()
    }
    if sample.whole:
        found |= {name: profiles.profile_numbers(values) for name, values in sample.values().items()}
    else:
        found |= _counted(numbers, sample, scan)
    return {feature.name: found[feature.name] for feature in wanted}


def _counted(numbers: Sequence[Feature], sample: _Sample, scan: Scan) -> dict[str, NumberProfile]:
    """Profiles of numbers with edges from the sample and counts from another reading of the table."""
    empty = {
        name: NumberProfile(edges=profiles.edges_of(sample.spread(name)), counts=(), moments=None)
        for name in sample.names
    }
    counts = count_batches(empty, numbers, scan(sample.names)) if numbers else {}
    return {
        name: NumberProfile(
            edges=profile.edges, counts=tuple(counts[name].tolist()), moments=sample.totals[name].moments()
        )
        for name, profile in empty.items()
    }


def _by_kind(wanted: Sequence[Feature]) -> tuple[list[Feature], list[Feature]]:
    """What is counted as numbers, and what by distinct values."""
    numbers = [feature for feature in wanted if profiles.numeric(feature.kind)]
    return numbers, [feature for feature in wanted if not profiles.numeric(feature.kind)]


def _number(feature: Feature, batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
    """A column of a batch as it is profiled; not copied where Arrow holds it as NumPy would."""
    import pyarrow as pa

    features.require([feature.name], batch.schema.names)
    column = batch.column(feature.name)
    plain = pa.types.is_float64(column.type) or pa.types.is_integer(column.type)
    if plain and feature.kind is not FeatureKind.TIME:
        found: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return found.astype(np.float64, copy=False)
    columns = features.from_table([feature], pa.table({feature.name: column}))
    return profiles.as_profiled(feature, columns[feature.name])


def _distinct(feature: Feature, batch: pa.RecordBatch) -> Counter[str | None]:
    """How often each value of a category is in a batch."""
    import pyarrow as pa
    import pyarrow.compute as pc

    features.require([feature.name], batch.schema.names)
    column = batch.column(feature.name)
    if pa.types.is_dictionary(column.type):
        values, counts = column.dictionary, _codes(column)
    else:
        try:
            pairs = pc.value_counts(column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise features.unusable(feature, column.type, error) from error
        values, counts = pairs.field("values"), pairs.field("counts").to_pylist()
    found: Counter[str | None] = Counter()
    texts = features.from_table([feature], pa.table({feature.name: values}))[feature.name].tolist()
    for text, count in zip(texts, counts, strict=True):
        if count:
            found[text] += count
    if pa.types.is_dictionary(column.type) and column.indices.null_count:
        found[None] += column.indices.null_count
    return found


def _codes(column: pa.DictionaryArray) -> list[int]:
    """How often each entry of the dictionary occurs."""
    codes = column.indices.drop_null() if column.indices.null_count else column.indices
    counts: list[int] = np.bincount(codes.to_numpy(), minlength=len(column.dictionary)).tolist()
    return counts


class _Totals:
    """Moments of one number over all rows; batches are joined as Chan, Golub and LeVeque (1979) have it."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = 0.0
        self.least, self.most = np.inf, -np.inf

    def add(self, values: npt.NDArray[np.float64]) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            if not np.isfinite(values.sum()):
                values = values[np.isfinite(values)]
        if not values.size:
            return
        mean = float(values.mean())
        apart, total = mean - self.mean, self.count + values.size
        deviations = values - mean
        squares = float(np.square(deviations, out=deviations).sum())  # a BLAS would start threads for it
        self.squares += squares + apart**2 * self.count * values.size / total
        self.mean += apart * values.size / total
        self.count = total
        self.least, self.most = min(self.least, float(values.min())), max(self.most, float(values.max()))

    def moments(self) -> Moments | None:
        """None when no value is finite."""
        if not self.count:
            return None
        std = float(np.sqrt(self.squares / self.count))
        return Moments(mean=self.mean, std=std, min=self.least, max=self.most)


class _Sample:
    """The rows with the smallest of random priorities, in their order, and totals of all rows."""

    def __init__(self, names: Sequence[str], seed: int) -> None:
        self.names = list(names)
        self.seen = 0
        self.totals = {name: _Totals() for name in self.names}
        self._rows = min(SAMPLE_ROWS, max(_FEWEST_SAMPLED, _SAMPLE_VALUES // max(len(self.names), 1)))
        self._rng = np.random.default_rng(seed)
        self._cut = 1.0
        self._priorities: list[npt.NDArray[np.float64]] = []
        self._columns: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in self.names}

    @property
    def whole(self) -> bool:
        """Whether all rows are in it."""
        return self.seen <= self._rows

    def add(self, columns: Mapping[str, npt.NDArray[np.float64]], rows: int) -> None:
        """See the next rows."""
        priorities = self._rng.random(rows)
        kept = np.flatnonzero(priorities < self._cut)
        self.seen += rows
        self._priorities.append(priorities[kept])
        for name, values in columns.items():
            self.totals[name].add(values)
            self._columns[name].append(values[kept])
        if sum(map(len, self._priorities)) > 3 * self._rows // 2:
            self._shrink()

    def _shrink(self) -> None:
        priorities = np.concatenate(self._priorities)
        if priorities.size <= self._rows:
            return
        self._cut = float(np.partition(priorities, self._rows)[self._rows])
        kept = np.flatnonzero(priorities < self._cut)
        self._priorities = [priorities[kept]]
        for name, parts in self._columns.items():
            self._columns[name] = [np.concatenate(parts)[kept]]

    def values(self) -> dict[str, npt.NDArray[np.float64]]:
        """The sample's columns."""
        self._shrink()
        return {name: np.concatenate(parts) for name, parts in self._columns.items()}

    def spread(self, name: str) -> npt.NDArray[np.float64]:
        """The finite values of a column of the sample, sorted, with the ends of the whole table's."""
        self._shrink()
        values, totals = np.concatenate(self._columns[name]), self.totals[name]
        ends = [totals.least, totals.most] if totals.count else []
        return np.sort(np.concatenate([values[np.isfinite(values)], ends]))  # which quantiles are quickest on


class _Followed:
    """How often each value of a category was found, within bounded memory."""

    def __init__(self) -> None:
        self._found: Counter[str | None] = Counter()
        self._given_up = self._singletons = 0

    def add(self, distinct: Mapping[str | None, int]) -> None:
        """Add counts of a batch."""
        self._found.update(distinct)
        if len(self._found) > 2 * MOST_FOLLOWED:
            missing = self._found.pop(None, 0)
            ordered = self._found.most_common()
            self._found = Counter({None: missing, **dict(ordered[:MOST_FOLLOWED])})
            self._given_up += sum(count for _, count in ordered[MOST_FOLLOWED:])
            self._singletons += sum(count == 1 for _, count in ordered[MOST_FOLLOWED:])

    def profile(self) -> CategoryProfile:
        """With what was given up among the values without a cell of their own."""
        profile = profiles.profile_distinct(self._found)
        *known, other, missing = profile.counts
        counts = (*known, other + self._given_up, missing)
        singletons = profile.singletons + self._singletons
        return profile.model_copy(update={"counts": counts, "singletons": singletons})
