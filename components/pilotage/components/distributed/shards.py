"""Which training rows each worker has, and how it reads them from the snapshot itself.

Each class is dealt out in an order that the seed fixes, so that every worker sees every class and, over the
whole table, the same mixture: LightGBM draws its bins from one worker's rows, and batches are to be alike.
A worker holds its share and one batch of the files. What it does with the rows is not known here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pilotage.components import datasets
from pilotage.components.datasets import Dataset
from pilotage.components.distributed.checkpoints import Checkpoints
from pilotage.core import errors
from pilotage.core.artifacts import Snapshot
from pilotage.core.metrics import Task
from pilotage.core.settings import Settings
from pilotage.core.specs import FeatureKind


@dataclass(frozen=True)
class Rows:
    """Rows of a snapshot, as they are sent to workers: a bit for each."""

    settings: Settings = field(compare=False)
    snapshot: Snapshot = field(compare=False)
    bits: bytes = field(compare=False)
    digest: str
    """Of the snapshot and the bits, by which rows are told apart."""

    @classmethod
    def of(cls, settings: Settings, snapshot: Snapshot, positions: npt.NDArray[np.int64]) -> Rows:
        """Those at `positions`."""
        held = np.zeros(snapshot.rows, dtype=bool)
        held[positions] = True
        bits = np.packbits(held).tobytes()
        return cls(settings, snapshot, bits, hashlib.sha256(snapshot.digest.encode() + bits).hexdigest())

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """Where the rows are, ascending."""
        held = np.unpackbits(np.frombuffer(self.bits, dtype=np.uint8), count=self.snapshot.rows)
        return np.flatnonzero(held)

    def opened(self) -> Dataset:
        """The rows, their features still in the storage."""
        return datasets.opened(self.settings, self.snapshot).take(self.positions)


def deal(target: npt.NDArray[np.generic], task: Task, workers: int, seed: int) -> npt.NDArray[np.int64]:
    """The worker of each row, shape `(n,)`; shares differ by one row at most.

    Raises:
        DataError: a class has fewer rows than there are workers.
    """
    order = np.random.default_rng(seed).permutation(target.shape[0])
    if task is Task.CLASSIFICATION:
        classes, members, counts = np.unique(target, return_inverse=True, return_counts=True)
        if counts.min() < workers:
            rare = int(counts.argmin())
            raise errors.DataError(
                f"Class `{classes[rare]}` has {counts[rare]} training rows, too few for {workers} workers:"
                " each needs one.",
                remedy=f"Set `train.resources.workers` to {counts[rare]} or less, or bring more such rows.",
            )
        order = order[np.argsort(members[order], kind="stable")]
    found = np.empty(target.shape[0], dtype=np.int64)
    found[order] = np.arange(target.shape[0]) % workers
    return found


@dataclass(frozen=True)
class Share:
    """What one worker is told to do."""

    rows: Rows
    rank: int
    workers: int
    task: Task
    seed: int
    encoder: Any
    """Fitted; from frames to the matrix that `model` takes."""
    model: Any
    checkpoints: Checkpoints

    def read(self) -> Dataset:
        """The worker's rows, in memory. Raises as `deal`."""
        positions = self.rows.positions
        target = datasets.opened(self.rows.settings, self.rows.snapshot).target[positions]
        mine = deal(target, self.task, self.workers, self.seed) == self.rank
        return datasets.some(self.rows.settings, self.rows.snapshot, positions[mine])


@lru_cache(maxsize=1)
def whole(rows: Rows) -> Dataset:
    """All rows in memory, kept for the next call of the same worker."""
    return datasets.some(rows.settings, rows.snapshot, rows.positions)


def standing_for(dataset: Dataset, most: int) -> Dataset:
    """Few rows on which encoders for trees learn the same as on `dataset`, column by column.

    What such encoders learn is which values a category has and, where these are more than `most`, which are
    rare: those that `sklearn.preprocessing.OrdinalEncoder` would find rare come once, the others twice.
    Numbers and times are passed on by them without being looked at.
    """
    made = {
        feature.name: _values(dataset.columns[feature.name], most)
        if feature.kind is FeatureKind.CATEGORY
        else dataset.columns[feature.name][:1]
        for feature in dataset.features
    }
    length = max(column.shape[0] for column in made.values())
    columns = {
        name: np.concatenate([column, np.repeat(column[-1:], length - column.shape[0])])
        for name, column in made.items()
    }
    target = np.repeat(dataset.target[:1], length)
    return replace(dataset, columns=columns, target=target, times=None, keys=None)


def _values(column: npt.NDArray[Any], most: int) -> npt.NDArray[Any]:
    """The distinct values of a category, rare ones first and once, the others twice."""
    counts = pd.Series(column, dtype=object).value_counts(dropna=False, sort=False)
    texts = sorted(value for value in counts.index if isinstance(value, str))
    missing = int(counts.sum() - counts[texts].sum())
    values = np.array([*texts, *([None] if missing else [])], dtype=object)
    if values.size < most:
        return values
    frequency = np.array([*counts[texts], *([missing] if missing else [])])
    order = np.argsort(frequency, kind="mergesort")  # equally frequent ones in the encoder's own order
    rare, frequent = order[: -(most - 1)], order[-(most - 1) :]
    return np.concatenate([values[rare], values[frequent], values[frequent]])
