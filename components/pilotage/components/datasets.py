"""A snapshot as estimators see it: feature columns, target, times and keys in the order of the rows.

Train and evaluate read their rows here, so that both see the same. How rows are
divided is `splits`' question; nothing is encoded or imputed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pilotage.components import snapshots
from pilotage.core import embeddings, errors, features
from pilotage.core.artifacts import Feature, Snapshot
from pilotage.core.features import Columns
from pilotage.core.metrics import Task
from pilotage.core.settings import Settings
from pilotage.core.specs import EMBEDDED, FeatureKind

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """`n` rows of a snapshot."""

    features: tuple[Feature, ...]
    columns: Columns
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
            columns={name: column[rows] for name, column in self.columns.items()},
            target=self.target[rows],
            times=None if self.times is None else self.times[rows],
            keys=None if self.keys is None else self.keys[rows],
        )

    def frame(self) -> pd.DataFrame:
        """The features as the frame that estimators take."""
        return features.to_frame(self.columns)


def load(settings: Settings, snapshot: Snapshot) -> Dataset:
    """All rows of `snapshot`.

    Raises:
        NotFound: the storage does not hold the snapshot.
        DataError: a column cannot be read as its role asks, or a time or a target is missing.
    """
    if any(feature.kind in EMBEDDED for feature in snapshot.features):
        embeddings.remember(settings.home / "cache" / "embeddings")
    roles = [snapshot.target, *(name for name in (snapshot.time, snapshot.key) if name is not None)]
    names = list(dict.fromkeys([*(feature.name for feature in snapshot.features), *roles]))
    table = snapshots.read_table(settings, snapshot, names)
    return Dataset(
        features=snapshot.features,
        columns=features.from_table(snapshot.features, table),
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
