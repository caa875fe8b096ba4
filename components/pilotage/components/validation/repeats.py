"""Held-out rows that training has seen already: a model may have learned them by heart.

A row repeats another when features and target are the same. Without time and key a
row's part follows from its values, copies stay together, and there is nothing to
ask. Equal rows are no copies where the columns have few combinations of values for
so many rows. What is kept of a row are hashes; which part it is in is `splits`'
decision. That a key is in one row only is ingest's to ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pilotage.components import snapshots, splits
from pilotage.components.datasets import Dataset
from pilotage.core import features
from pilotage.core.artifacts import Feature, Finding, FindingKind, Severity, Snapshot
from pilotage.core.settings import Settings
from pilotage.core.specs import FeatureKind, PilotSpec

SHARE = 0.01
"""Of the held-out rows: fewer repetitions change no score that anybody would see."""
_BATCH_ROWS = 8_192
_Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class _Rows:
    """What is kept of `n` rows."""

    hashes: _Hashes
    """Of features and target."""
    held_out: npt.NDArray[np.bool_]


def find(spec: PilotSpec, snapshot: Snapshot, settings: Settings) -> tuple[Finding, ...]:
    """The share of held-out rows that repeat training rows, where that is worth a warning.

    Raises:
        NotFound: the storage does not hold the snapshot.
    """
    if (snapshot.time is None and snapshot.key is None) or _bound_to_recur(snapshot):
        return ()
    rows = _read(spec, snapshot, settings)
    if rows is None:
        return ()
    share = float(np.isin(rows.hashes[rows.held_out], rows.hashes[~rows.held_out]).mean())
    if share < SHARE:
        return ()
    return (
        Finding(
            kind=FindingKind.DUPLICATES,
            message=f"{share:.1%} of the held-out rows are equal to a training row in all features and"
            " the target, so scores may flatter. Remove repetitions in the source.",
            value=round(share, 6),
            severity=Severity.WARNING,
        ),
    )


def _bound_to_recur(snapshot: Snapshot) -> bool:
    """Whether rows are bound to be equal by chance, as `splits` judges it."""
    combinations = 1
    for name in (snapshot.target, *(feature.name for feature in snapshot.features)):
        column = snapshot.column(name)
        if column is not None:
            combinations *= column.distinct + bool(column.nulls)
        if combinations * splits.ROWS_PER_COMBINATION > snapshot.rows:
            return False
    return True


def _read(spec: PilotSpec, snapshot: Snapshot, settings: Settings) -> _Rows | None:
    """Hashes and parts of all rows; None when one of the parts is empty."""
    named = [feature.name for feature in snapshot.features]
    names = list(dict.fromkeys([*named, snapshot.target, *filter(None, (snapshot.time, snapshot.key))]))
    told = [*named, snapshot.target]
    hashes, places = [], []
    for batch in snapshots.scan(settings, snapshot, names, _BATCH_ROWS):
        frame = pl.DataFrame(batch)
        hashes.append(frame.select(told).hash_rows(0).to_numpy())
        places.append(_places(batch, snapshot))
    place = np.concatenate(places)
    if snapshot.time is not None:
        if place.min() == place.max():
            return None
        held_out = splits.latest(place, spec.data.split.test)
    else:
        held_out = place < spec.data.split.test
    if held_out.all() or not held_out.any():
        return None
    return _Rows(np.concatenate(hashes), held_out)


def _places(batch: pa.RecordBatch, snapshot: Snapshot) -> npt.NDArray[Any]:
    """What decides each row's part: its time, else the place that its key has."""
    table = pa.Table.from_batches([batch])
    if snapshot.time is not None:
        return features.from_table([Feature(name=snapshot.time, kind=FeatureKind.TIME)], table)[snapshot.time]
    name = str(snapshot.key)
    keys = features.from_table([Feature(name=name, kind=FeatureKind.CATEGORY)], table)[name]
    return splits.places(Dataset(features=(), columns={}, target=keys, keys=keys))
