"""Works that are answered together, as one batch; and its prediction, cut into parts again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pilotage.core.features import Columns
from pilotage.core.models import Prediction
from pilotage.serving.inference.works import Work
from pilotage.serving.protocols.batches import Batch
from pilotage.serving.versions.lives import Live


class Merged(NamedTuple):
    """The rows of several works, one after the other."""

    rows: int
    columns: Columns
    ids: list[str | None] | None
    """By row; None when no row has one."""
    times: npt.NDArray[np.datetime64] | None
    """By row, NaT where it does not say; None when no row does."""


def merge(works: Sequence[Work]) -> Merged:
    """All rows of works on one version, with personal data replaced as it was in training."""
    merged, live = _merged(works), works[0].live
    if live.replacer is None:
        return merged
    ids = None if merged.ids is None else live.replacer.ids(live.model.key, merged.ids)
    return Merged(merged.rows, live.replacer.columns(merged.columns), ids, merged.times)


def _merged(works: Sequence[Work]) -> Merged:
    first = works[0]
    reader = first.reader
    if reader is not None and all(work.reader is reader for work in works):
        lists = [work.values or [] for work in works]
        values = lists[0] if len(lists) == 1 else list(chain.from_iterable(lists))
        return Merged(len(values), reader.columns(values), _ids(works), reader.times(values))
    batches = [_batch(work) for work in works]
    if len(batches) == 1:
        (batch,) = batches
        return Merged(batch.rows, batch.columns, batch.ids, batch.times)
    columns = {
        name: np.concatenate([batch.columns[name] for batch in batches]) for name in batches[0].columns
    }
    return Merged(sum(batch.rows for batch in batches), columns, _ids(works), _times(batches))


def _batch(work: Work) -> Batch:
    if work.decoded is not None:
        return work.decoded.batch
    assert work.reader is not None and work.values is not None  # noqa: S101, PT018 - one or the other
    return Batch(work.rows, work.reader.columns(work.values), work.ids, work.reader.times(work.values))


def _ids(works: Sequence[Work]) -> list[str | None] | None:
    if len(works) == 1:
        return works[0].ids
    if all(work.ids is None for work in works):
        return None
    found: list[str | None] = []
    for work in works:
        found.extend(work.ids or [None] * work.rows)
    return found


def _times(batches: Sequence[Batch]) -> npt.NDArray[np.datetime64] | None:
    if all(batch.times is None for batch in batches):
        return None
    missing = np.datetime64("NaT", "us")
    return np.concatenate(
        [np.full(batch.rows, missing) if batch.times is None else batch.times for batch in batches]
    )


def predict(live: Live, merged: Merged, rows_at_once: int | None) -> Prediction:
    """The prediction for all rows, by calls for no more than `rows_at_once` each."""
    if rows_at_once is None or merged.rows <= rows_at_once:
        return live.predictor.predict(merged.columns)
    return _joined(
        [
            live.predictor.predict(
                {name: column[start : start + rows_at_once] for name, column in merged.columns.items()}
            )
            for start in range(0, merged.rows, rows_at_once)
        ]
    )


def _joined(parts: Sequence[Prediction]) -> Prediction:
    shares = [part.probabilities for part in parts if part.probabilities is not None]
    return Prediction(
        np.concatenate([part.predictions for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate(shares) if shares else None,
    )


def part(whole: Prediction, start: int, end: int) -> Prediction:
    """The prediction for the rows from `start` up to `end`."""
    shares = whole.probabilities
    return Prediction(
        whole.predictions[start:end],
        whole.score[start:end],
        None if shares is None else shares[start:end],
    )
