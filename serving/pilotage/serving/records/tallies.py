"""Counts of one window while it is open, and its part of the row log.

Both are cumulative and rewritten whole under the same name, so a flush that is
repeated, or that fails and is tried again, does no harm. When to flush and
which rows belong here is the recorder's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from pilotage.core import moments, sheets, windows
from pilotage.core.profiles import CategoryProfile
from pilotage.core.sheets import Sheet, Totals
from pilotage.core.storage import Storage
from pilotage.serving.records import sketches
from pilotage.serving.records.counts import Counted
from pilotage.serving.records.sketches import Numbers, Texts
from pilotage.serving.versions.lives import Live

if TYPE_CHECKING:
    import pyarrow as pa

SEGMENT_ROWS = 10_000
"""Rows of a log segment that is full; until then it is rewritten with each flush."""
NOVEL_KEPT = 20
"""Unseen values of a feature that a window names."""
_NOVEL_BYTES = 16_000
"""Of all the unseen values that a window names, or almost: one of each feature is always named."""
_NOVEL_FOLLOWED = 200
_NOVEL_LENGTH = 100


@cache
def row_schema() -> pa.Schema:
    """As `pilotage.core.windows.rows_name` promises it; PyArrow is loaded when there are rows to log."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),
            ("time", pa.timestamp("us", tz="UTC")),
            ("prediction", pa.string()),
            ("score", pa.float64()),
            ("probabilities", pa.list_(pa.float64())),
        ]
    )


class Tally:
    """What this replica counted in one window of one version."""

    def __init__(self, live: Live, start: datetime, length: timedelta) -> None:
        self.version = live.version
        self.start = start
        self.totals = Totals(sheets.micros(start), sheets.micros(start + length), 0)
        self._layout = live.layout
        self._counts = np.zeros(live.layout.cells, np.int64)
        self._moments = moments.empty(len(live.layout.features) + 1)
        self._novel: dict[str, Counter[str]] = {}
        self._outside: dict[str, Numbers] = {}
        self._unknown: dict[str, Texts] = {}
        self._known = {
            name: frozenset(part.categories)
            for name, part in live.profile.features.items()
            if isinstance(part, CategoryProfile)
        }

    def resume(self, sheet: Sheet) -> None:
        """Go on from what was written before, by this same replica."""
        self.totals, self._counts, self._moments = sheet.totals, sheet.counts, sheet.moments
        self._novel = {name: Counter(values) for name, values in sheet.novel.items()}
        self._outside = {name: Numbers(held) for name, held in sheet.outside.items()}
        self._unknown = {name: Texts(held) for name, held in sheet.distinct.items()}

    def add_rows(self, counted: Counted) -> None:
        """Add rows that were counted."""
        self.totals.rows += counted.rows
        self._counts += counted.counts
        self._moments = moments.add(self._moments, counted.moments)
        for name, values in counted.distinct.items():
            self._add_novel(name, values)
        for name, numbers in counted.outside.items():
            self._outside.setdefault(name, Numbers()).add(numbers)

    def _add_novel(self, name: str, distinct: Mapping[str | None, int]) -> None:
        known = self._known[name]
        found = {
            value: count for value, count in distinct.items() if value is not None and value not in known
        }
        if not found:
            return
        self._unknown.setdefault(name, Texts()).add(found)
        counter = self._novel.setdefault(name, Counter())
        for value, count in found.items():
            counter[value[:_NOVEL_LENGTH]] += count
        if len(counter) > _NOVEL_FOLLOWED:
            self._novel[name] = Counter(dict(counter.most_common(_NOVEL_FOLLOWED // 2)))

    def add_requests(self, latencies_ms: npt.ArrayLike) -> None:
        """Count requests that were answered."""
        cells = windows.count_latencies(latencies_ms)
        self.totals.requests += int(cells.sum())
        self._counts[self._layout.of_latency] += cells

    def sheet(self) -> Sheet:
        """Everything counted so far, to be written before more is."""
        self.totals.updated_at = sheets.micros(datetime.now(UTC))
        return Sheet(
            self._layout,
            self.totals,
            self._counts,
            self._moments,
            novel=_most_frequent(self._novel),
            outside=sketches.fitting(self._outside),
            distinct={name: (texts.data(),) for name, texts in self._unknown.items()},
        )


def _most_frequent(novel: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    """As many of each feature as `NOVEL_KEPT` and `_NOVEL_BYTES` allow, and one at least."""
    kept = NOVEL_KEPT
    while True:
        found = {name: dict(counter.most_common(kept)) for name, counter in novel.items()}
        size = sum(len(value.encode("utf-8", "replace")) for values in found.values() for value in values)
        if size <= _NOVEL_BYTES or kept == 1:
            return found
        kept //= 2


class Logged(NamedTuple):
    """Rows for the log, as `row_table` takes them."""

    ids: list[str]
    times: npt.NDArray[np.datetime64]
    predictions: list[str]
    scores: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64] | None


class RowLog:
    """Rows with ids of one window of one version: segments, of which the last is not full yet."""

    def __init__(self, pilot: str, version: int, start: datetime, replica: str, sequence: int = 0) -> None:
        self._pilot = pilot
        self._version = version
        self._start = start
        self._replica = replica
        self._sequence = sequence
        self._segment: pa.Table | None = None
        """What was written of the last segment."""
        self._new: list[Logged] = []
        self._rows = 0
        self._written = 0

    @property
    def waiting(self) -> int:
        """Rows that no flush has written yet."""
        return self._rows - self._written

    @property
    def next_sequence(self) -> int:
        """Number of the first segment that another log of the same window and replica may write."""
        return self._sequence + bool(self._written)

    def add(self, rows: Logged) -> None:
        """Take rows; what that costs is paid when they are written."""
        self._new.append(rows)
        self._rows += len(rows.ids)

    def forget(self) -> int:
        """Drop what was not written; returns how many rows."""
        waiting = self.waiting
        self._begin()
        return waiting

    def _begin(self) -> None:
        """Begin another segment."""
        self._segment, self._new, self._rows, self._written = None, [], 0, 0
        self._sequence += 1

    def flush(self, storage: Storage) -> None:
        """Write what is new, and begin another segment when this one is full."""
        if not self.waiting:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = [row_table(*rows) for rows in self._new]
        table = pa.concat_tables(tables if self._segment is None else [self._segment, *tables])
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        name = windows.rows_name(self._pilot, self._version, self._start, self._replica, self._sequence)
        storage.write(name, sink.getvalue().to_pybytes(), sync=False)
        self._segment, self._new, self._written = table, [], self._rows
        if self._rows >= SEGMENT_ROWS:
            self._begin()


def row_table(
    ids: list[str],
    times: npt.NDArray[np.datetime64],
    predictions: list[str],
    scores: npt.NDArray[np.float64],
    probabilities: npt.NDArray[np.float64] | None,
) -> pa.Table:
    """Rows of the log, in `row_schema`."""
    import pyarrow as pa

    schema = row_schema()
    shares = pa.nulls(len(ids), pa.list_(pa.float64()))
    if probabilities is not None:
        offsets = pa.array(np.arange(len(ids) + 1) * probabilities.shape[1], pa.int32())
        shares = pa.ListArray.from_arrays(offsets, pa.array(probabilities.ravel()))
    return pa.table(
        [
            pa.array(ids, pa.string()),
            pa.array(times.astype("datetime64[us]"), pa.timestamp("us")).cast(schema.field("time").type),
            pa.array(predictions, pa.string()),
            pa.array(scores),
            shares,
        ],
        schema=schema,
    )


def sampled(ids: list[str | None] | None, share: float) -> npt.NDArray[np.bool_] | None:
    """Which rows the log keeps: those with an id whose hash falls in the share, the same on every replica.

    None when no row has an id, or none is kept.
    """
    if ids is None or share <= 0:
        return None
    if share >= 1:
        return np.array([value is not None for value in ids], dtype=bool)
    limit = int(share * 2.0**32)
    return np.array([value is not None and crc32(value.encode()) < limit for value in ids], dtype=bool)
