"""Pilotage as the benchmark uses it: the only module here that knows the names of its parts.

A reference is profiled with the time blocks of its rows or without; windows are counted in its cells; one
comparison says which columns drifted. There is no model in these tables, so the score stays empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from tests.benchmarks.monitoring import tables

from pilotage.core import features, profiles
from pilotage.core.artifacts import Feature
from pilotage.core.features import Columns
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.specs import Drift, FeatureKind
from pilotage.core.windows import Window
from pilotage.serving.monitor import calibrations, comparisons
from pilotage.serving.monitor.calibrations import Calibration, Setup
from pilotage.serving.monitor.columns import Column, columns_of

FEATURES = {
    name: Feature(name=name, kind=FeatureKind.NUMBER if name in tables.NUMBERS else FeatureKind.CATEGORY)
    for name in tables.COLUMNS
}
DAY_SECONDS = 86_400.0
SEED = 7
_EPOCH = datetime(2013, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Reference:
    """A profiled reference."""

    profile: ReferenceProfile

    @cached_property
    def columns(self) -> list[Column]:
        """What is compared."""
        return columns_of(self.profile)


def columns_of_table(table: pa.Table) -> Columns:
    """Numpy arrays by feature, as training and serving have them."""
    return features.from_table(list(FEATURES.values()), table)


def profile(columns: Columns, days: npt.NDArray[np.int64] | None = None) -> Reference:
    """The reference that `columns` make; `days` number the time blocks of the rows, from 0."""
    rows = len(next(iter(columns.values())))
    return Reference(
        ReferenceProfile(
            pilot="bench",
            snapshot="0" * 64,
            rows=rows,
            features={
                name: profiles.profile_column(feature, columns[name], days)
                for name, feature in FEATURES.items()
            },
            score=profiles.profile_numbers(np.zeros(rows)),
            block_seconds=None if days is None else DAY_SECONDS,
        )
    )


def count(reference: Reference, columns: Columns) -> Window:
    """A window's counts."""
    counted = {
        name: tuple(part.count(profiles.as_profiled(FEATURES[name], columns[name])).tolist())
        for name, part in reference.profile.features.items()
    }
    rows = len(next(iter(columns.values())))
    return Window(
        pilot="bench", version=1, start=_EPOCH, end=_EPOCH, rows=rows, features=counted, updated_at=_EPOCH
    )


def profile_file(file: Path) -> Reference:
    """The reference in a Parquet file."""
    return profile(columns_of_table(pq.read_table(file)))


def count_file(reference: Reference, file: Path) -> Window:
    """The window in a Parquet file."""
    return count(reference, columns_of_table(pq.read_table(file)))


def calibrate(reference: Reference, rows: int, *, days: float = 0.0) -> Calibration:
    """What is usual for windows of `rows` rows that last `days` of the reference's time blocks."""
    setup = Setup(calibrations.size_class(rows), Drift().false_alarm_rate, days, SEED)
    return calibrations.calibrate(reference.columns, setup)


def strengths(
    reference: Reference, window: Window, calibration: Calibration, *, floor: bool = True
) -> dict[str, float]:
    """Column → 2 where it drifted, else 0; without `floor` effects of any size count.

    The same measure as the peers': beyond 1 is drift.
    """
    drift = Drift() if floor else Drift(min_effect=0.0)
    found = comparisons.compare(reference.columns, window, calibration, drift)
    return {part.feature: 2.0 * part.drifted for part in found.features}


def drift_of_files(job: Mapping[str, Any], note: Callable[[str], None]) -> list[dict[str, float]]:
    """The measured work: profile a reference and a window and compare; then further windows, one by one."""
    reference = profile_file(Path(job["reference"]))
    note("profile")
    window = count_file(reference, Path(job["window"]))
    note("count")
    calibration = calibrate(reference, window.rows)
    found = [strengths(reference, window, calibration)]
    note("compare")
    for further in job["further"]:
        found.append(strengths(reference, count_file(reference, Path(further)), calibration))
        note("further window")
    return found
