"""What came true: labels that came later, joined to the rows that were logged when served.

A label belongs to the row of its id or, when it says a time, to the row of its id and
event time. The last label to arrive counts, by when its batch was stored and then by the
batch's name, so that the same files always give the same join. Nothing is scored here.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pilotage.core import windows
from pilotage.core.artifacts import Model
from pilotage.core.metrics import Task
from pilotage.core.storage import Storage
from pilotage.serving.records import spellings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labels:
    """The labels that have come, as text."""

    by_id: dict[str, str]
    by_time: dict[tuple[str, int], str]
    """By id and event time, in microseconds since 1970."""

    def __bool__(self) -> bool:
        return bool(self.by_id or self.by_time)

    def find(self, rows: pa.Table) -> list[str | None]:
        """The label of each logged row, or None; that of its time comes before that of its id."""
        if not self.by_time:
            return [self.by_id.get(key) for key in _ids(rows)]
        keys = zip(_ids(rows), _micros(rows), strict=True)
        timed = [None if time is None else self.by_time.get((key, time)) for key, time in keys]
        return [
            self.by_id.get(key) if label is None else label
            for key, label in zip(_ids(rows), timed, strict=True)
        ]


@dataclass(frozen=True)
class Outcomes:
    """The rows of one window whose labels have come."""

    logged: int
    """Different ids in the row log."""
    truth: npt.NDArray[np.float64]
    """Position of the class (the positive one is 1 of two), or the number; shape `(n,)`."""
    predictions: npt.NDArray[np.float64]
    """Likewise."""
    score: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64] | None
    """Shape `(n, classes)`, in the order of the positions."""
    unusable: int
    """Labels that are none of the model's classes, or no number."""

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        digest = hashlib.sha256(f"{self.logged} {self.unusable}".encode())
        for part in (self.truth, self.predictions, self.score, self.probabilities):
            digest.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


def labels_folder(pilot: str) -> str:
    """Folder in the storage of all batches of labels."""
    return windows.labels_name(pilot, "").rsplit("/", 1)[0]


def read_labels(storage: Storage, pilot: str) -> Labels:
    """All labels of a pilot."""
    names = [name for name in storage.names(labels_folder(pilot)) if name.endswith(".parquet")]
    found = Labels({}, {})
    for _, name in sorted((storage.modified_at(name), name) for name in names):
        table = _table(storage, name)
        if table is None:
            continue
        timed = "time" in table.column_names
        times = _micros(table) if timed else [None] * table.num_rows
        for key, label, time in zip(_ids(table), table.column("label").to_pylist(), times, strict=True):
            if key is None or label is None:
                continue
            if time is None:
                found.by_id[str(key)] = str(label)
            else:
                found.by_time[str(key), time] = str(label)
    return found


def _ids(table: pa.Table) -> list[str]:
    ids: list[str] = table.column("id").cast(pa.string()).to_pylist()
    return ids


def _micros(table: pa.Table) -> list[int | None]:
    """Times in microseconds since 1970."""
    times: list[int | None] = (
        table.column("time").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    )
    return times


def new_ids(storage: Storage, names: Iterable[str]) -> pa.Array:
    """All ids in the label batches `names`."""
    tables = [table for name in sorted(names) if (table := _table(storage, name, ["id"])) is not None]
    ids = [chunk for table in tables for chunk in table.column("id").cast(pa.string()).chunks]
    return pa.concat_arrays(ids) if ids else pa.array([], pa.string())


def concerns(storage: Storage, rows: Sequence[str], ids: pa.Array) -> bool:
    """Whether one of `ids` is in the row log's segments `rows`."""
    for name in rows:
        table = _table(storage, name, ["id"])
        if (
            table is not None
            and pc.any(pc.is_in(table.column("id").cast(pa.string()), value_set=ids)).as_py()
        ):
            return True
    return False


def read_rows(storage: Storage, names: Sequence[str], labels: Labels) -> pa.Table | None:
    """The logged rows of one window, one for each id: the last served, by time and then by segment.

    Rows with a label of their own time are kept besides.
    """
    tables = [table for name in sorted(names) if (table := _table(storage, name)) is not None]
    if not tables:
        return None
    rows = pa.concat_tables(tables, promote_options="permissive")
    order = np.argsort(rows.column("time").cast(pa.int64()).to_numpy(), kind="stable")
    ordered = rows.take(pa.array(order))
    last: dict[Any, int] = {}
    for row, key, time in zip(order.tolist(), _ids(ordered), _micros(ordered), strict=True):
        last[(key, time) if (key, time) in labels.by_time else key] = row
    return rows.take(pa.array(sorted(last.values()), pa.int64()))


def _table(storage: Storage, name: str, columns: list[str] | None = None) -> pa.Table | None:
    try:
        return pq.read_table(io.BytesIO(storage.read(name)), columns=columns)
    except pa.ArrowInvalid:
        logger.warning("%s is not a Parquet file and is left out", storage.location(name))
        return None


def join(rows: pa.Table, labels: Labels, model: Model) -> Outcomes:
    """The logged `rows` (see `read_rows`) whose label is known.

    Args:
        rows: of one window.
        labels: see `read_labels`.
        model: says what the classes are.
    """
    return pair(rows, labels.find(rows), model)


def pair(rows: pa.Table, found: Sequence[str | None], model: Model) -> Outcomes:
    """The `rows` whose label, the text of the same place in `found`, is known; see `join`."""
    truth, told, score = _read(rows, found, model)
    known = ~np.isnan(truth) & ~np.isnan(told)
    labelled = sum(label is not None for label in found)
    return Outcomes(
        logged=rows.num_rows,
        truth=truth[known],
        predictions=told[known],
        score=score[known],
        probabilities=_probabilities(rows, model, known),
        unusable=labelled - int(known.sum()),
    )


def usable(rows: pa.Table, found: Sequence[str | None], model: Model) -> npt.NDArray[np.bool_]:
    """Which of the `rows` have a label and a prediction that `pair` can read, and a score."""
    truth, told, score = _read(rows, found, model)
    return ~np.isnan(truth) & ~np.isnan(told) & np.isfinite(score)


def _read(
    rows: pa.Table, found: Sequence[str | None], model: Model
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Truth, prediction and score of all rows, NaN where there is none."""
    score = rows.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    read = spellings.reader(model)
    truth = np.array(
        [np.nan if label is None else spellings.or_nan(read, label) for label in found], dtype=np.float64
    )
    if model.task is Task.REGRESSION:
        return truth, score, score
    told = [spellings.or_nan(read, str(text)) for text in rows.column("prediction").to_pylist()]
    return truth, np.array(told, dtype=np.float64), score


def _probabilities(
    rows: pa.Table, model: Model, known: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64] | None:
    if model.task is Task.REGRESSION or "probabilities" not in rows.column_names:
        return None
    held = rows.column("probabilities").combine_chunks().filter(pa.array(known))
    complete = pc.all(pc.equal(pc.list_value_length(held), len(model.classes))).as_py()
    if not len(held) or held.null_count or not complete:
        return None
    values: npt.NDArray[np.float64] = held.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    return values.reshape(len(held), -1)[
        :, [model.classes.index(value) for value in spellings.order_of(model)]
    ]
