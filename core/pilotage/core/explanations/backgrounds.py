"""Rows to compare with, drawn from the reference profile: what "not knowing a feature" means.

A version keeps no rows of its training data, but the distribution of each feature.
Background rows have these distributions, each feature by itself, as Štrumbelj and
Kononenko ("Explaining prediction models and individual predictions with feature
contributions", 2014) sample them; the same profile gives the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core import features
from pilotage.core.artifacts import Feature
from pilotage.core.features import Columns
from pilotage.core.profiles import CategoryProfile, NumberProfile, ReferenceProfile
from pilotage.core.specs import EMBEDDED, FeatureKind

ROWS = 128


def draw(wanted: Sequence[Feature], profile: ReferenceProfile, rows: int = ROWS) -> Columns:
    """`rows` rows with the profile's distribution in each feature, independent of each other.

    A feature without a profile is missing in all of them.
    """
    random = np.random.default_rng(0)
    return {
        feature.name: random.permutation(_column(feature, profile.features.get(feature.name), rows))
        for feature in wanted
    }


def _column(feature: Feature, profile: NumberProfile | CategoryProfile | None, rows: int) -> Any:
    if feature.kind in EMBEDDED:  # not knowing a text is having none
        return np.full(rows, None, dtype=object)
    values: list[Any] = [None]
    counts: Sequence[int] = [1]
    if isinstance(profile, CategoryProfile):
        values, counts = [*profile.categories, None], [*profile.counts[:-2], profile.counts[-1]]
    elif profile is not None and profile.moments is not None:
        values = [*profile.edges, profile.moments.max, None]
        counts = profile.counts
    cells = _spread(np.array(counts, dtype=np.float64), rows)
    return _as_column(feature, [values[cell] for cell in cells])


def _spread(counts: npt.NDArray[np.float64], rows: int) -> npt.NDArray[np.intp]:
    """Numbers of cells, as often as their counts say, shape `(rows,)`."""
    if not counts.sum():
        return np.full(rows, len(counts) - 1, dtype=np.intp)
    shares = np.cumsum(counts) / counts.sum()
    return np.searchsorted(shares, (np.arange(rows) + 0.5) / rows)


def _as_column(feature: Feature, values: Sequence[Any]) -> features.Array:
    if feature.kind is FeatureKind.CATEGORY:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    if feature.kind is not FeatureKind.TIME:
        return numbers
    missing = np.isnan(numbers)
    instants = (np.where(missing, 0, numbers) * 1e6).astype(np.int64).astype("datetime64[us]")
    instants[missing] = np.datetime64("NaT", "us")
    return instants


def mix(
    rows: Columns,
    others: Columns,
    taken: npt.NDArray[np.intp],
    instead: npt.NDArray[np.intp],
    mask: npt.NDArray[np.bool_],
) -> Columns:
    """Rows put together of two tables: `taken` of `rows` where `mask` says so, else `instead` of `others`.

    Args:
        rows: the rows to explain.
        others: background rows with the same features.
        taken: row numbers in `rows`, shape `(m,)`.
        instead: row numbers in `others`, shape `(m,)`.
        mask: shape `(m, features)`, in the order of `rows`.
    """
    return {
        name: np.where(mask[:, position], column[taken], others[name][instead])
        for position, (name, column) in enumerate(rows.items())
    }
