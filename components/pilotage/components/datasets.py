"""A snapshot as estimators see it: feature columns, target, times and keys in the order of the rows.

Train and evaluate read their rows here, so that both see the same. How rows are
divided is `splits`' question; nothing is encoded or imputed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pilotage.components import snapshots
from pilotage.core import embeddings, errors, features
from pilotage.core.artifacts import Feature, Snapshot
from pilotage.core.features import Columns
from pilotage.core.metrics import Task
from pilotage.core.settings import Settings
from pilotage.core.specs import EMBEDDED, FeatureKind

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """`n` rows of a snapshot."""

    features: tuple[Feature, ...]
    columns: Columns
    """A mapping that nobody writes into; of an opened dataset, it reads what it is asked for."""
    target: Array
    """Classes or float64 numbers, shape `(n,)`."""
    times: Array | None = None
    """datetime64[us] in UTC, none missing; None without a time."""
    keys: Array | None = None
    """Text; None without a key."""

    @property
    def rows(self) -> int:
        return int(self.target.shape[0])

    def take(self, rows: npt.NDArray[np.int64]) -> Dataset:
        """The dataset of some of the rows, in the order of `rows`."""
        return Dataset(
            features=self.features,
            columns=_taken(self.columns, rows),
            target=self.target[rows],
            times=None if self.times is None else self.times[rows],
            keys=None if self.keys is None else self.keys[rows],
        )

    def frame(self) -> pd.DataFrame:
        """The features as the frame that estimators take."""
        return features.to_frame(self.columns)

    def frames(self) -> Iterator[pd.DataFrame]:
        """The same in parts: one where the columns are in memory, else one for each batch of the storage."""
        columns: object = self.columns
        if isinstance(columns, Stored):
            yield from (features.to_frame(part) for part in columns.batches())
        else:
            yield self.frame()

    def held(self) -> Dataset:
        """The same with all columns in memory."""
        return replace(self, columns=dict(self.columns))


class Stored(Mapping[str, Array]):
    """Columns of a snapshot that are read whenever they are asked for, so that one at a time is in memory."""

    def __init__(
        self, settings: Settings, snapshot: Snapshot, positions: npt.NDArray[np.int64] | None = None
    ) -> None:
        """`positions` are those of the rows, ascending; all when left out."""
        self._settings, self._snapshot, self._positions = settings, snapshot, positions
        self._features = {feature.name: feature for feature in snapshot.features}

    def __getitem__(self, name: str) -> Array:
        feature = self._features[name]
        return features.from_table([feature], self._table([name]))[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._features)

    def __len__(self) -> int:
        return len(self._features)

    def take(self, rows: npt.NDArray[np.int64]) -> Columns:
        """Columns of some of the rows; where these are not in the order of the storage, in memory."""
        positions = rows if self._positions is None else self._positions[rows]
        if np.all(positions[1:] > positions[:-1]):
            return cast(Columns, Stored(self._settings, self._snapshot, positions))
        return {name: column[rows] for name, column in self.items()}

    def batches(self) -> Iterator[Columns]:
        """All columns, batch by batch in the order of the rows."""
        wanted, begin = self._snapshot.features, 0
        for batch in snapshots.scan(self._settings, self._snapshot, [feature.name for feature in wanted]):
            table = pa.Table.from_batches([batch])
            if self._positions is not None:
                first, last = np.searchsorted(self._positions, [begin, begin + batch.num_rows])
                table = table.take(pa.array(self._positions[first:last] - begin))
            begin += batch.num_rows
            if table.num_rows:
                yield features.from_table(wanted, table)

    def _table(self, names: Sequence[str]) -> pa.Table:
        if self._positions is None:
            return snapshots.read_table(self._settings, self._snapshot, names)
        return snapshots.take(self._settings, self._snapshot, names, self._positions)


def load(settings: Settings, snapshot: Snapshot) -> Dataset:
    """All rows of `snapshot`.

    Raises:
        NotFound: the storage does not hold the snapshot.
        DataError: a column cannot be read as its role asks, or a time or a target is missing.
    """
    table = snapshots.read_table(settings, snapshot, _names(snapshot))
    return _dataset(settings, snapshot, table, features.from_table(snapshot.features, table))


def some(settings: Settings, snapshot: Snapshot, positions: npt.NDArray[np.int64]) -> Dataset:
    """The rows of `snapshot` at ascending `positions`; no others are held in memory. Raises as `load`."""
    table = snapshots.take(settings, snapshot, _names(snapshot), positions)
    return _dataset(settings, snapshot, table, features.from_table(snapshot.features, table))


def opened(settings: Settings, snapshot: Snapshot) -> Dataset:
    """All rows of `snapshot`, with columns that stay where they are until they are asked for.

    Raises as `load`, for a feature only when it is asked for.
    """
    table = snapshots.read_table(settings, snapshot, _roles(snapshot))
    return _dataset(settings, snapshot, table, cast(Columns, Stored(settings, snapshot)))


def _taken(columns: object, rows: npt.NDArray[np.int64]) -> Columns:
    if isinstance(columns, Stored):
        return columns.take(rows)
    return {name: column[rows] for name, column in cast(Columns, columns).items()}


def _roles(snapshot: Snapshot) -> list[str]:
    names = [snapshot.target, *(name for name in (snapshot.time, snapshot.key) if name is not None)]
    return list(dict.fromkeys(names))


def _names(snapshot: Snapshot) -> list[str]:
    return list(dict.fromkeys([*(feature.name for feature in snapshot.features), *_roles(snapshot)]))


def _dataset(settings: Settings, snapshot: Snapshot, table: pa.Table, columns: Columns) -> Dataset:
    if any(feature.kind in EMBEDDED for feature in snapshot.features):
        embeddings.remember(settings.home / "cache" / "embeddings")
    return Dataset(
        features=snapshot.features,
        columns=columns,
        target=_target(table, snapshot),
        times=None if snapshot.time is None else _times(table, snapshot.time),
        keys=None if snapshot.key is None else _single(table, snapshot.key, FeatureKind.CATEGORY),
    )


def read_columns(settings: Settings, snapshot: Snapshot, wanted: Sequence[Feature]) -> Columns:
    """Columns of `snapshot` that need not be its features, read as the kinds asked for.

    Raises:
        DataError: there is no such column, or it cannot be read as its kind.
    """
    table = snapshots.read_table(settings, snapshot, [feature.name for feature in wanted])
    return features.from_table(wanted, table)


def _single(table: pa.Table, name: str, kind: FeatureKind) -> Array:
    return features.from_table([Feature(name=name, kind=kind)], table)[name]


def _times(table: pa.Table, name: str) -> Array:
    times = _single(table, name, FeatureKind.TIME)
    missing = int(np.isnat(times).sum())
    if missing:
        raise errors.DataError(
            f"`data.time` column `{name}` is missing in {missing} of {times.size} rows.",
            remedy="Leave those rows out in the source, or take `time` out of pilot.yaml.",
            column=name,
        )
    return times


def _target(table: pa.Table, snapshot: Snapshot) -> Array:
    column = table.column(snapshot.target)
    if column.null_count:
        raise errors.DataError(
            f"The target `{snapshot.target}` is missing in {column.null_count} of {len(column)} rows.",
            remedy="Leave those rows out in the source.",
            column=snapshot.target,
        )
    if snapshot.task is Task.REGRESSION:
        return _single(table, snapshot.target, FeatureKind.NUMBER)
    values = column.to_pylist()
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.asarray(values)
