"""A sample of one window's served rows with their features, for questions about several columns at once.

Each row draws a random priority and those with the smallest are kept, so that samples of
replicas and of restarts merge into one of all rows (`pilotage.core.samples`). Once a
window has served many rows hardly any is below the limit, and a batch costs one
comparison. The file is rewritten whole under one name, so a repeated flush does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pilotage.core import errors, samples, windows
from pilotage.core.features import Columns
from pilotage.core.storage import Storage
from pilotage.serving.records import servings
from pilotage.serving.records.servings import Joined, Times
from pilotage.serving.versions.lives import Live

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)


class _Rows(NamedTuple):
    """Rows that were picked, column by column."""

    columns: Columns
    predictions: npt.NDArray[Any]
    scores: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64] | None
    ids: npt.NDArray[Any]
    times: Times
    priorities: npt.NDArray[np.float64]

    def take(self, places: npt.NDArray[np.intp]) -> _Rows:
        shares = self.probabilities
        return _Rows(
            {name: column[places] for name, column in self.columns.items()},
            self.predictions[places],
            self.scores[places],
            None if shares is None else shares[places],
            self.ids[places],
            self.times[places],
            self.priorities[places],
        )


class Reservoir:
    """The rows of one window of one version with the smallest priorities."""

    def __init__(
        self, live: Live, pilot: str, start: datetime, replica: str, rows: int, below: float | None = None
    ) -> None:
        """Begin a sample of at most `rows` rows, or go on with a written one, complete below `below`."""
        self._live = live
        self._name = windows.sample_name(pilot, live.version, start, replica)
        self._most = rows
        self._written = below is not None
        self._table: pa.Table | None = None
        """What was written, as long as it is in memory."""
        self._new: list[_Rows] = []
        self._count = 0
        self._below = 1.0 if below is None else below

    @property
    def below(self) -> float | None:
        """What another reservoir goes on from; None when nothing was written."""
        return self._below if self._written else None

    def add(
        self,
        joined: Joined,
        places: npt.NDArray[np.intp] | slice,
        priorities: npt.NDArray[np.float64],
    ) -> None:
        """Offer the rows at `places` of those that were served; `priorities` has one for each of them all."""
        (picked,) = (priorities[places] < self._below).nonzero()
        if not len(picked):
            return
        picked = picked if isinstance(places, slice) else places[picked]
        shares = joined.probabilities
        ids = [None] * len(picked) if joined.ids is None else [joined.ids[place] for place in picked]
        self._new.append(
            _Rows(
                {feature.name: joined.columns[feature.name][picked] for feature in self._live.model.features},
                joined.predictions[picked],
                joined.scores[picked],
                None if shares is None else shares[picked],
                np.array(ids, dtype=object),
                joined.times[picked],
                priorities[picked],
            )
        )
        self._count += len(picked)
        if self._count > 2 * self._most:
            self._shrink()

    def _shrink(self) -> None:
        """Keep the smallest of what is new."""
        rows = _joined(self._new)
        order = np.argsort(rows.priorities, kind="stable")
        self._below = float(rows.priorities[order[self._most]])
        self._new, self._count = [rows.take(order[: self._most])], self._most

    def rest(self) -> None:
        """Let go of what is in the file too; it is read again when there is more to add."""
        if self._written:
            self._table = None

    def flush(self, storage: Storage) -> None:
        """Write the sample if there are new rows in it."""
        if not self._new:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        held = self._table if self._table is not None else self._stored(storage)
        new = samples.bounded(self._as_table(_joined(self._new)), self._below)
        table = samples.smallest([new] if held is None else [held, new], self._most)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        storage.write(self._name, sink.getvalue().to_pybytes(), sync=False)
        self._table, self._written, self._new, self._count = table, True, [], 0
        self._below = samples.complete_below(table)

    def _stored(self, storage: Storage) -> pa.Table | None:
        """What was written before and left memory."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._written:
            return None
        try:
            return pq.read_table(pa.BufferReader(storage.read(self._name)))
        except errors.NotFound:
            logger.warning("%s was removed, beginning it anew", storage.location(self._name))
        except pa.ArrowException:
            logger.warning("%s is no Parquet file, beginning it anew", storage.location(self._name))
        return None

    def _as_table(self, rows: _Rows) -> pa.Table:
        return samples.build(
            self._live.model.features,
            rows.columns,
            predictions=servings.spell(self._live, rows.predictions.tolist()),
            scores=rows.scores,
            probabilities=rows.probabilities,
            priorities=rows.priorities,
            ids=rows.ids.tolist(),
            times=rows.times,
        )


def _joined(parts: Sequence[_Rows]) -> _Rows:
    if len(parts) == 1:
        return parts[0]
    shares = [part.probabilities for part in parts if part.probabilities is not None]
    return _Rows(
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        np.concatenate([part.predictions for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate(shares) if len(shares) == len(parts) else None,
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.priorities for part in parts]),
    )
