"""Builds the reference profile of a model: its training rows, and its scores on the held-out ones.

Cells and counts are `pilotage.core.profiles`'; the choice here is how long a
block of time is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components.datasets import Dataset
from pilotage.core import features, profiles
from pilotage.core.artifacts import Snapshot
from pilotage.core.models import Prediction
from pilotage.core.profiles import ReferenceProfile

FEWEST_BLOCKS, MOST_BLOCKS = 20, 400
_DAY = 86_400.0
_LENGTHS = (
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 3 * 3600.0, 6 * 3600.0, 12 * 3600.0,
    _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY, 91 * _DAY, 365 * _DAY,
)  # fmt: skip


def block_length(times: npt.NDArray[Any]) -> float | None:
    """Seconds of a block: a day where that makes 20 to 400 blocks, else the length nearest to it that does.

    Args:
        times: datetime64[us], none missing, not empty.

    Returns:
        None when all times are the same.
    """
    ends = np.array([times.min(), times.max()])
    seconds = float((ends[1] - ends[0]) / np.timedelta64(1, "s"))
    if seconds <= 0:
        return None
    fitting = [
        length
        for length in _LENGTHS
        if FEWEST_BLOCKS <= int(profiles.block_numbers(ends, length)[1]) + 1 <= MOST_BLOCKS
    ]
    if fitting:
        return min(fitting, key=lambda length: abs(np.log(length / _DAY)))
    return seconds / 100


def build(snapshot: Snapshot, train: Dataset, held_out: Prediction) -> ReferenceProfile:
    """The profile of training rows `train` and of what the model said of the held-out rows."""
    length = None if train.times is None else block_length(train.times)
    blocks = None
    if train.times is not None and length is not None:
        blocks = profiles.block_numbers(train.times, length)
    classes = None
    if snapshot.classes:
        texts = [features.category_text(value) for value in held_out.predictions.tolist()]
        classes = profiles.profile_categories(np.array(texts, dtype=object))
    return ReferenceProfile(
        pilot=snapshot.pilot,
        snapshot=snapshot.digest,
        rows=train.rows,
        features={
            feature.name: profiles.profile_column(feature, train.columns[feature.name], blocks)
            for feature in train.features
        },
        score=profiles.profile_numbers(np.asarray(held_out.score, dtype=np.float64)),
        prediction=classes,
        block_seconds=length,
        first_at=None if train.times is None else instant(train.times.min()),
        last_at=None if train.times is None else instant(train.times.max()),
    )


def instant(time: np.datetime64) -> datetime:
    """An aware time from numpy's, which is UTC."""
    found: datetime = time.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)
