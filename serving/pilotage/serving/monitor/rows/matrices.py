"""Feature columns as one matrix of numbers that trees can split, for questions about several columns at once.

Categories get codes by how frequent they are in both tables together, so that a rare or
new one lies at an end; of a time only hour and weekday stay, because its date always tells
a window from its reference. Nothing is fitted here, and the model's own encoding is not
known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pilotage.core import samples
from pilotage.core.artifacts import Feature
from pilotage.core.features import Array, Columns, time_parts
from pilotage.core.profiles import as_profiled
from pilotage.core.specs import EMBEDDED, FeatureKind

Numbers = npt.NDArray[np.float64]

_OF_TIME = ("weekday", "hour")


@dataclass(frozen=True)
class Matrices:
    """Rows of the reference and of the window in the same columns."""

    reference: Numbers
    """Shape `(n, columns)`, NaN where missing."""
    window: Numbers
    names: tuple[str, ...]
    """Of the features, one a column; a time has two."""
    labels: tuple[str, ...]
    """Of the columns, in words."""


def canonical(sample: pa.Table) -> pa.Table:
    """The rows by their random priority, so that nothing depends on the order in which they came."""
    order = np.argsort(sample.column("priority").to_numpy(), kind="stable")
    return sample.take(pa.array(order))


def build(reference: pa.Table, window: pa.Table, features: Sequence[Feature]) -> Matrices:
    """The matrices of two samples in the layout of `pilotage.core.samples`.

    Raises:
        DataError: a sample lacks a feature, or has it as another kind.
    """
    return from_columns(
        samples.columns_of(reference, features), samples.columns_of(window, features), features
    )


def from_columns(reference: Columns, window: Columns, features: Sequence[Feature]) -> Matrices:
    """The matrices of columns, as `pilotage.core.features` gives them."""
    one: list[Numbers] = []
    two: list[Numbers] = []
    names: list[str] = []
    labels: list[str] = []
    for feature in features:
        before, after = reference[feature.name], window[feature.name]
        if feature.kind is FeatureKind.TIME:
            for place, part in enumerate(_OF_TIME, start=2):
                one.append(time_parts(before)[:, place])
                two.append(time_parts(after)[:, place])
                names.append(feature.name)
                labels.append(f"{part} of {feature.name}")
            continue
        if feature.kind in EMBEDDED:
            before, after = as_profiled(feature, before), as_profiled(feature, after)
        if feature.kind is FeatureKind.CATEGORY:
            before, after = _codes(before, after)
        one.append(before)
        two.append(after)
        names.append(feature.name)
        labels.append(feature.name)
    return Matrices(_stack(one, reference), _stack(two, window), tuple(names), tuple(labels))


def _codes(before: Array, after: Array) -> tuple[Numbers, Numbers]:
    """Places of the categories by frequency in both columns, most frequent first; NaN where missing."""
    counts = Counter(value for value in (*before.tolist(), *after.tolist()) if value is not None)
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    place = {value: float(rank) for rank, value in enumerate(ranked)}
    return _coded(before, place), _coded(after, place)


def _coded(values: Array, place: dict[str, float]) -> Numbers:
    return np.array(
        [np.nan if value is None else place[value] for value in values.tolist()], dtype=np.float64
    )


def _stack(columns: list[Numbers], of: Columns) -> Numbers:
    rows = len(next(iter(of.values()))) if of else 0
    return np.column_stack(columns) if columns else np.empty((rows, 0))


def distance(before: Numbers, after: Numbers) -> float:
    """Kolmogorov's: the largest gap between the distribution functions; missing values are the highest."""
    one, two = (np.sort(np.nan_to_num(side, nan=np.inf, posinf=np.inf)) for side in (before, after))
    if not len(one) or not len(two):
        return 0.0
    points = np.concatenate([one, two])
    gaps = np.searchsorted(one, points, "right") / len(one) - np.searchsorted(two, points, "right") / len(two)
    return float(np.abs(gaps).max())
