"""Features that hold what is only known once the target is: leakage (Kaufman, Rosset and Perlich, 2012).

A model that was given the answer looks perfect on held-out rows and is useless in
service. One feature after the other is asked how well it alone tells the target, on
a bounded sample of rows. The target under another name is critical, unless pilot.yaml
lists it as a feature; whatever else tells the target (almost) perfectly, or numbers
the rows, warns, for it may be known in time after all. Leaks that take several
features to see are not found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pilotage.components import snapshots
from pilotage.components.validation import associations
from pilotage.components.validation.associations import Target
from pilotage.core import features, profiles
from pilotage.core.artifacts import Column, ColumnType, Feature, Finding, FindingKind, Severity, Snapshot
from pilotage.core.metrics import Task
from pilotage.core.settings import Settings
from pilotage.core.specs import FeatureKind, PilotSpec

MOST_ROWS = 20_000
FEWEST_ROWS = 100
"""Of fewer rows an honest feature can be as good by chance."""
FEWEST_OF_CLASS = 10
"""Rows of the rarer of two classes."""
LIMIT = 0.99
_EQUAL_STEPS = 0.99
"""R² of a row's number on its place; ids with gaps are above."""
_MOST_CELLS = 4_000_000
"""Of all features together: of very wide tables fewer rows are looked at."""
_COLUMNS_AT_ONCE = 64
_COPY = "Exclude it under `data.exclude`, or list it under `data.features` if it is known before the target."
_TOLD = "If it is not known yet when a prediction is asked for, exclude it under `data.exclude`."
_NUMERIC = {ColumnType.INTEGER, ColumnType.NUMBER}


def find(spec: PilotSpec, snapshot: Snapshot, settings: Settings) -> tuple[Finding, ...]:
    """Features that give the target away, critical ones first, then by how well they tell it.

    Raises:
        NotFound: the storage does not hold the snapshot.
    """
    most = min(MOST_ROWS, max(1_000, _MOST_CELLS // len(snapshot.features)))
    places = snapshots.sample(snapshot.rows, most)
    shuffled = np.random.default_rng(1).permutation(places.size)
    truth = snapshots.take(settings, snapshot, [snapshot.target], places).column(0)
    target = _target(truth, snapshot.task, shuffled)
    found: list[Finding] = []
    for begin in range(0, len(snapshot.features), _COLUMNS_AT_ONCE):
        part = snapshot.features[begin : begin + _COLUMNS_AT_ONCE]
        table = snapshots.take(settings, snapshot, [feature.name for feature in part], places)
        for feature in part:
            values = table.column(feature.name)
            if _is_copy(feature, values, truth, snapshot, settings):
                found.append(_copy(spec, feature, snapshot))
            elif _numbers_rows(feature, values, places, snapshot):
                found.append(_identifier(feature))
            elif target is not None:
                column = features.from_table([feature], table)[feature.name][shuffled]
                found.extend(_told(feature, column, target))
    return tuple(
        sorted(found, key=lambda item: (item.severity is not Severity.CRITICAL, -(item.value or 0.0)))
    )


def _target(truth: pa.ChunkedArray, task: Task, shuffled: npt.NDArray[np.int64]) -> Target | None:
    """The sampled target in random order; None when there is too little of it to tell chance from leakage."""
    if len(truth) < FEWEST_ROWS or truth.null_count:
        return None
    values: npt.NDArray[Any] = np.asarray(truth.to_pylist())
    if task is Task.REGRESSION:
        values = values.astype(np.float64)
    found = associations.target_of(values[shuffled], task)
    few = found.classes == 2 and np.bincount(found.values).min() < FEWEST_OF_CLASS
    return None if few or found.classes == 1 else found


def _told(feature: Feature, column: npt.NDArray[Any], target: Target) -> Iterator[Finding]:
    """How well the feature's values tell the target, or else whether they are missing does."""
    if feature.kind is FeatureKind.CATEGORY:
        numbered: dict[str | None, int] = {}
        codes = np.array([numbered.setdefault(value, len(numbered)) for value in column.tolist()])
        missing = codes == numbered.get(None, -1)
        value = associations.of_categories(codes, target)
    else:
        numbers = profiles.as_profiled(feature, column)
        missing = np.isnan(numbers)
        if feature.kind is FeatureKind.BOOLEAN:
            value = associations.of_categories(np.where(missing, 2, numbers).astype(np.int64), target)
        elif feature.kind is FeatureKind.TIME:
            value = associations.of_order(numbers, target)
        else:
            value = associations.of_numbers(numbers, target)
    what = "alone tells"
    if missing.any() and not missing.all():
        absent = associations.of_categories(missing.astype(np.int64), target)
        if absent >= LIMIT:
            what, value = "by being missing or not tells", absent
    if value >= LIMIT:
        yield Finding(
            kind=FindingKind.LEAKAGE,
            column=feature.name,
            message=f"{what} the target {'' if value >= 1 else 'almost '}perfectly"
            f" ({target.measure} {value:.4f} on {column.size:,} rows). {_TOLD}",
            value=round(value, 6),
            severity=Severity.WARNING,
        )


def _is_copy(
    feature: Feature, values: pa.ChunkedArray, truth: pa.ChunkedArray, snapshot: Snapshot, settings: Settings
) -> bool:
    """Whether the column is the target, row by row; where the sample says so, all rows are asked."""
    column, target = snapshot.column(feature.name), snapshot.column(snapshot.target)
    if column is None or target is None or not _comparable(column, target) or column.nulls:
        return False
    return _equal(values, truth) and all(
        _equal(batch.column(0), batch.column(1))
        for batch in snapshots.scan(settings, snapshot, [feature.name, snapshot.target])
    )


def _comparable(column: Column, target: Column) -> bool:
    return column.type is target.type or {column.type, target.type} <= _NUMERIC


def _equal(left: pa.Array | pa.ChunkedArray, right: pa.Array | pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.fill_null(pc.equal(left, right), False)).as_py())


def _copy(spec: PilotSpec, feature: Feature, snapshot: Snapshot) -> Finding:
    listed = feature.name in (spec.data.features or {})
    return Finding(
        kind=FindingKind.TARGET_COPY,
        column=feature.name,
        message=f"is a copy of the target `{snapshot.target}` in all {snapshot.rows:,} rows"
        + (", and is listed under `data.features`." if listed else f". {_COPY}"),
        value=1.0,
        severity=Severity.WARNING if listed else Severity.CRITICAL,
    )


def _numbers_rows(
    feature: Feature, values: pa.ChunkedArray, places: npt.NDArray[np.int64], snapshot: Snapshot
) -> bool:
    """Whether the column is a whole number that rises or falls from row to row, in nearly equal steps.

    A table that is sorted by a quantity rises in other steps.
    """
    column = snapshot.column(feature.name)
    if column is None or column.type is not ColumnType.INTEGER or feature.kind is not FeatureKind.NUMBER:
        return False
    if column.nulls or column.distinct < min(snapshot.rows, 10_000):
        return False
    numbers = values.to_numpy().astype(np.float64)
    steps = np.diff(numbers)
    if not ((steps > 0).all() or (steps < 0).all()):
        return False
    return float(np.corrcoef(places, numbers)[0, 1]) ** 2 >= _EQUAL_STEPS


def _identifier(feature: Feature) -> Finding:
    return Finding(
        kind=FindingKind.IDENTIFIER,
        column=feature.name,
        message="is another whole number in each row, in order, as a row's number is: no later row"
        " will be like one that was trained on. Exclude it under `data.exclude`, or name it as `data.key`.",
        severity=Severity.WARNING,
    )
