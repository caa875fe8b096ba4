"""Pilotage as the benchmark uses it: the only module here that knows the names of its parts.

A reference is profiled with the time blocks of its rows or without; windows are counted in its cells; one
comparison says which columns drifted. There is no model in these tables, so the score stays empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from tests.benchmarks.monitoring import tables

from pilotage.core import batches, features, models, profiles, samples, settings
from pilotage.core.artifacts import Feature, Model
from pilotage.core.features import Columns
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Registry
from pilotage.core.specs import Drift, FeatureKind
from pilotage.core.windows import Window
from pilotage.serving.monitor.drift import calibrations, comparisons
from pilotage.serving.monitor.drift.calibrations import Calibration, Setup
from pilotage.serving.monitor.drift.columns import Column, columns_of
from pilotage.serving.monitor.judgements import SAMPLE_ROWS
from pilotage.serving.monitor.performance import estimates as performance
from pilotage.serving.records import spellings

FEATURES = {
    name: Feature(name=name, kind=FeatureKind.NUMBER if name in tables.NUMBERS else FeatureKind.CATEGORY)
    for name in tables.COLUMNS
}
Counted: TypeAlias = Window
"""A window as Pilotage keeps it."""
DAY_SECONDS = 86_400.0
SEED = 7
REFERENCE_ROWS = 5000
_EPOCH = datetime(2013, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Reference:
    """A profiled reference."""

    profile: ReferenceProfile

    calibrations: dict[tuple[int, float], Calibration] = field(default_factory=dict)
    """Made already, by size class and days."""

    @cached_property
    def columns(self) -> list[Column]:
        """What is compared."""
        return columns_of(self.profile)


def columns_of_table(table: pa.Table) -> Columns:
    """Numpy arrays by feature, as training and serving have them."""
    return features.from_table(list(FEATURES.values()), table)


def profile(columns: Columns, days: npt.NDArray[np.int64] | None = None) -> Reference:
    """The reference that `columns` make; `days` number the time blocks of the rows, from 0."""
    found = {
        name: profiles.profile_column(feature, columns[name], days) for name, feature in FEATURES.items()
    }
    return _reference(found, len(next(iter(columns.values()))), None if days is None else DAY_SECONDS)


def _reference(
    found: Mapping[str, profiles.Profile], rows: int, block_seconds: float | None = None
) -> Reference:
    return Reference(
        ReferenceProfile(
            pilot="bench",
            snapshot="0" * 64,
            rows=rows,
            features=dict(found),
            score=profiles.profile_numbers(np.zeros(1)),
            block_seconds=block_seconds,
        )
    )


def count(reference: Reference, columns: Columns) -> Window:
    """A window's counts."""
    counted = {
        name: tuple(part.count(profiles.as_profiled(FEATURES[name], columns[name])).tolist())
        for name, part in reference.profile.features.items()
    }
    return _window(counted)


def _window(counted: dict[str, tuple[int, ...]]) -> Window:
    rows = sum(next(iter(counted.values())))
    return Window(
        pilot="bench", version=1, start=_EPOCH, end=_EPOCH, rows=rows, features=counted, updated_at=_EPOCH
    )


def profile_file(file: Path) -> Reference:
    """The reference in a Parquet file, read batch by batch."""
    wanted = list(FEATURES.values())
    found = batches.profile_batches(wanted, batches.of_parquet([file], wanted), seed=SEED)
    return _reference(found, pq.read_metadata(file).num_rows)


def count_file(reference: Reference, file: Path) -> Window:
    """The window in a Parquet file, read batch by batch."""
    wanted = list(FEATURES.values())
    scan = batches.of_parquet([file], wanted)
    found = batches.count_batches(reference.profile.features, wanted, scan(list(FEATURES)))
    return _window({name: tuple(counts.tolist()) for name, counts in found.items()})


def calibrated(reference: Reference, rows: int, *, days: float = 0.0) -> Calibration:
    """What is usual for windows of `rows` rows that last `days` of the reference's time blocks."""
    size = calibrations.size_class(rows)
    if (size, days) not in reference.calibrations:
        setup = Setup(size, Drift().false_alarm_rate, days, SEED)
        reference.calibrations[size, days] = calibrations.calibrate(reference.columns, setup)
    return reference.calibrations[size, days]


def strengths(
    reference: Reference, window: Window, calibration: Calibration, *, floor: bool = True
) -> dict[str, float]:
    """Column → 2 where it drifted, else 0; without `floor` effects of any size count.

    The same measure as the peers': beyond 1 is drift.
    """
    drift = Drift() if floor else Drift(min_effect=0.0)
    found = comparisons.compare(reference.columns, window, calibration, drift)
    return {part.feature: 2.0 * part.drifted for part in found.features}


@dataclass(frozen=True)
class Scored:
    """What a model said of rows, what came true, and the features it was asked with."""

    score: npt.NDArray[np.float64]
    """Probability of the positive class."""
    prediction: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int64]
    rows: pl.DataFrame
    model: Model

    def of_frame(self, frame: pl.DataFrame) -> Scored:
        """The same model's, from a table with all of it."""
        said = (frame["score"].to_numpy(), frame["prediction"].to_numpy())
        return Scored(*said, frame[tables.TARGET].cast(pl.Int64).to_numpy(), frame, self.model)

    def sample(self, most: int, *, truth: bool) -> pa.Table:
        """At most `most` of the rows, drawn at random, as training and servers keep them."""
        generator = np.random.default_rng(SEED)
        drawn = np.sort(generator.permutation(len(self.score))[:most])
        score, classes = self.score[drawn], spellings.order_of(self.model)
        told = [[str(features.category_text(classes[place])) for place in side[drawn]] for side in (
            self.prediction, self.truth)]  # fmt: skip
        return samples.build(
            self.model.features,
            features.from_table(self.model.features, self.rows[drawn].to_arrow()),
            predictions=told[0],
            scores=score,
            probabilities=np.column_stack([1 - score, score]),
            priorities=generator.random(len(drawn)),
            ids=[str(place) for place in drawn],
            truth=told[1] if truth else None,
        )


@dataclass(frozen=True)
class Predicting:
    """A trained version."""

    predictor: models.Predictor
    held_out_rows: int
    """The last ones by time of what it was trained on, which training did not see."""

    def predict(self, frame: pl.DataFrame) -> Scored:
        """What it says of the rows of a table."""
        columns = features.from_table(self.predictor.model.features, frame.to_arrow())
        score = self.predictor.predict(columns).score
        truth = frame[tables.TARGET].cast(pl.Int64).to_numpy()
        return Scored(score, (score > 0.5).astype(np.int64), truth, frame, self.predictor.model)


def open_model(home: Path, pilot: str) -> Predicting:
    """The champion of a pilot in a home."""
    found = settings.load(home=home)
    registry = Registry(found)
    champion = registry.champion(pilot)
    assert champion is not None
    rows = registry.scorecard(champion).test_rows
    return Predicting(models.open_predictor(registry.folder(champion), found), rows)


def estimates(held_out: Scored, windows: Sequence[Scored]) -> dict[str, list[float | None]]:
    """Name of an estimator → its estimate of the area under the ROC curve of each window; None for none.

    From what a monitor has: `REFERENCE_ROWS` held-out rows, `SAMPLE_ROWS` of each window with their
    features, and of the others what the model said.
    """
    reference = held_out.sample(REFERENCE_ROWS, truth=True)
    found = [
        performance.estimate(
            held_out.model,
            reference,
            window.sample(SAMPLE_ROWS, truth=False),
            "roc_auc",
            reference_value=None,
            seed=SEED,
            logged=window.sample(len(window.score), truth=False),
        )
        for window in windows
    ]
    return {"estimate": [one.value for one in found]}


def drift_of_files(job: Mapping[str, Any], note: Callable[[str], None]) -> list[dict[str, float]]:
    """The measured work: profile a reference and a window and compare; then further windows, one by one."""
    reference = profile_file(Path(job["reference"]))
    note("profile")
    window = count_file(reference, Path(job["window"]))
    note("count")
    calibration = calibrated(reference, window.rows)
    found = [strengths(reference, window, calibration)]
    note("compare")
    for further in job["further"]:
        found.append(strengths(reference, count_file(reference, Path(further)), calibration))
        note("further window")
    return found
