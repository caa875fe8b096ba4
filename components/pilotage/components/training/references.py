"""What monitoring compares traffic with: the profile of the training rows and of what the model says of
the held-out ones, and a sample of these.

Cells and counts are `pilotage.core.profiles`', the sample's layout is
`pilotage.core.samples`'; the choices here are how long a block of time is, and which
rows are kept. How much a feature matters is measured in `importances`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pilotage.components.datasets import Dataset
from pilotage.core import cells, features, profiles, samples
from pilotage.core.artifacts import Feature, Snapshot
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction
from pilotage.core.profiles import Groups, Profile, ReferenceProfile
from pilotage.core.specs import Season

if TYPE_CHECKING:
    import pyarrow as pa

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


@dataclass(frozen=True)
class Times:
    """The groups that rows are counted in by their times, besides all together."""

    length: float | None
    """Seconds of a block."""
    blocks: npt.NDArray[np.int64] | None
    seasons: Groups | None

    @classmethod
    def of(cls, times: npt.NDArray[Any] | None, season: Season) -> Times:
        """Those of training rows with these `times`."""
        length = None if times is None else block_length(times)
        return cls(length, *_groups(times, length, season))

    @property
    def passes(self) -> int:
        """How often each value is counted."""
        return 1 + (self.blocks is not None) + (self.seasons is not None)

    def profile(self, feature: Feature, column: npt.NDArray[Any]) -> Profile:
        """The profile of a feature of all training rows."""
        return profiles.profile_column(feature, column, self.blocks, self.seasons)


def build(
    snapshot: Snapshot,
    train: Dataset,
    rest: Dataset,
    held_out: Prediction,
    *,
    season: Season = Season.NONE,
    importances: Mapping[str, float] | None = None,
    counted: Mapping[str, Profile] | None = None,
) -> ReferenceProfile:
    """The profile of training rows `train` and of what the model said of the held-out rows.

    Args:
        snapshot: where both come from.
        train: counted feature by feature.
        rest: the held-out rows.
        held_out: what the model said of `rest`.
        season: by which rows are counted apart, where they have times.
        importances: of the features.
        counted: their profiles, where others have made them (`Times.profile`); made here when left out.
    """
    times = Times.of(train.times, season)
    length = times.length
    numbers = sum(profiles.numeric(feature.kind) for feature in train.features)
    if counted is None:
        cells.prepare(train.rows * numbers * times.passes)
    said_blocks, said_seasons = _groups(rest.times, length, season)
    classes = None
    if snapshot.classes:
        texts = np.array(spelt(held_out.predictions, Task.CLASSIFICATION), dtype=object)
        classes = profiles.profile_categories(texts, said_blocks, said_seasons)
    score = np.asarray(held_out.score, dtype=np.float64)
    return ReferenceProfile(
        pilot=snapshot.pilot,
        snapshot=snapshot.digest,
        rows=train.rows,
        features=dict(counted)
        if counted is not None
        else {
            feature.name: times.profile(feature, train.columns[feature.name]) for feature in train.features
        },
        score=profiles.profile_numbers(score, said_blocks, said_seasons),
        prediction=classes,
        block_seconds=length,
        first_at=None if train.times is None else instant(train.times.min()),
        last_at=None if train.times is None else instant(train.times.max()),
        season=Season.NONE if times.seasons is None else season,
        importances=dict(importances or {}),
    )


def _groups(
    times: npt.NDArray[Any] | None, length: float | None, season: Season
) -> tuple[npt.NDArray[np.int64] | None, Groups | None]:
    """The block and the season of each row; None without times, and no blocks where they are too many.

    The latter befalls held-out rows whose time is much longer than that of the training rows.
    """
    if times is None:
        return None, None
    blocks = None if length is None else profiles.block_numbers(times, length)
    if blocks is not None and int(blocks.max()) >= MOST_BLOCKS:
        blocks = None
    return blocks, profiles.season_numbers(times, season)


def sample(
    snapshot: Snapshot, rest: Dataset, held_out: Prediction, *, rows: int, seed: int
) -> pa.Table | None:
    """Up to `rows` of the held-out rows, drawn at random by `seed`, with what the model said; None for 0."""
    if not rows:
        return None
    priorities = np.random.default_rng(seed).random(rest.rows)
    kept = np.argsort(priorities, kind="stable")[:rows]
    part, probabilities = rest.take(kept), held_out.probabilities
    return samples.build(
        part.features,
        part.columns,
        predictions=spelt(held_out.predictions[kept], snapshot.task),
        scores=np.asarray(held_out.score, dtype=np.float64)[kept],
        probabilities=None if probabilities is None else probabilities[kept],
        priorities=priorities[kept],
        ids=None if part.keys is None else part.keys.tolist(),
        times=part.times,
        truth=spelt(part.target, snapshot.task),
    )


def spelt(values: npt.NDArray[Any], task: Task) -> list[str]:
    """Classes as categories are spelt, numbers in full."""
    if task is Task.REGRESSION:
        return [repr(float(value)) for value in values.tolist()]
    return [str(features.category_text(value)) for value in values.tolist()]


def instant(time: np.datetime64) -> datetime:
    """An aware time from numpy's, which is UTC."""
    found: datetime = time.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)
