"""One column's distribution, as a copula needs it: from values to normal scores, from uniforms to values.

No value of a single row is kept. Numbers and times with many values are averages of `GROUP` neighbours
in sorted order, between which is interpolated; texts, and numbers with few values, are kept where they
occur `GROUP` times. Whether columns go together is the copula's question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from pilotage.core.features import Array
from pilotage.core.specs import FeatureKind

Floats = npt.NDArray[np.float64]

TEXTS = (FeatureKind.CATEGORY, FeatureKind.TEXT, FeatureKind.IMAGE)
"""Kinds whose values are text; of most texts and images none is common, so they are left empty."""
GROUP = 5
"""Rows behind every value that synthetic rows may take."""
FEW_VALUES = 40
"""Numbers with no more different values are kept as they are."""
_MOSTLY = 0.5
"""Share of the rows that values of `GROUP` rows and more have where values are kept."""
MOST_LEVELS = 500
MOST_KNOTS = 1_000
TERMS = 6
"""Hermite terms of a column's scores."""
_MOST_DECIMALS = 9
_STEPS_US = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1)
"""Days, hours, minutes, seconds, milliseconds, microseconds."""


@dataclass(frozen=True)
class Margin:
    """The distribution of one column."""

    kind: FeatureKind
    missing: float
    """Share of rows without a value."""
    levels: tuple[Any, ...]
    """Values in order; empty for a column with many numbers."""
    ends: Floats
    """Cumulative shares of the levels, from above 0 to 1, shape `(levels,)`."""
    knots: Floats
    """Ascending numbers, shape `(knots,)`; empty where there are levels."""
    step: float
    """What numbers are multiples of; 0 for none."""

    @property
    def empty(self) -> bool:
        """Whether it has no value at all."""
        return not self.levels and not self.knots.size

    def draw(self, uniforms: Floats, absent: npt.NDArray[np.bool_]) -> Array:
        """Values at `uniforms` in (0, 1), missing where `absent`, both of shape `(n,)`."""
        if self.kind in TEXTS:
            found = np.full(uniforms.size, None, dtype=object)
        else:
            found = np.full(uniforms.size, np.nan)
        if self.levels:
            places = np.minimum(np.searchsorted(self.ends, uniforms, side="right"), len(self.levels) - 1)
            found = np.array(self.levels, dtype=found.dtype)[places]
        elif self.knots.size:
            where = (np.arange(self.knots.size) + 0.5) / self.knots.size
            found = np.interp(uniforms, where, self.knots)
            if self.step:
                found = np.round(found / self.step) * self.step
        if self.kind in TEXTS:
            found[absent] = None
            return found
        found = found.astype(np.float64)
        found[absent] = np.nan
        return _times(found) if self.kind is FeatureKind.TIME else found


def fit(
    values: Array, kind: FeatureKind, order: Mapping[Any, float] | None = None, group: int = GROUP
) -> Margin:
    """The distribution of `values`, a feature column as `pilotage.core.features` has it.

    Args:
        values: shape `(n,)`.
        kind: of the feature.
        order: numbers by which the levels of a category are sorted; those it does not name are left out.
        group: rows behind every value.
    """
    present = ~pd.isna(values)
    missing = 1.0 - float(present.mean()) if values.size else 1.0
    held = values[present]
    none: Floats = np.empty(0)
    if not held.size:
        return Margin(kind, 1.0, (), none, none, 0.0)
    if kind in TEXTS:
        counts = pd.Series(held).value_counts()
        if order is not None:
            counts = counts[[value in order for value in counts.index]]
        counts = counts.head(MOST_LEVELS)
        rank = counts.index if order is None else [order[value] for value in counts.index]
        counts = counts.iloc[np.argsort(np.asarray(rank), kind="stable")]
        return _leveled(kind, missing, counts)
    numbers = _numbers(held, kind)
    counts = pd.Series(numbers).value_counts().sort_index()
    if kind is FeatureKind.BOOLEAN:
        return _leveled(kind, missing, counts)
    if len(counts) <= FEW_VALUES and counts[counts >= group].sum() >= _MOSTLY * numbers.size:
        return _leveled(kind, missing, _grouped(counts, group))
    size = max(group, -(-numbers.size // MOST_KNOTS))
    parts = np.array_split(np.sort(numbers), max(1, numbers.size // size))
    knots = np.array([part.mean() for part in parts])
    return Margin(kind, missing, (), none, knots, _step(numbers, kind))


def common(values: Array, order: Array, group: int = GROUP) -> dict[Any, float]:
    """Texts that occur at least `group` times, each with the mean of the numbers `order` of its rows."""
    present = ~pd.isna(values)
    grouped = pd.DataFrame({"value": values[present], "order": order[present]}).groupby("value")["order"]
    counts, means = grouped.size(), grouped.mean()
    return {value: float(means[value]) for value in counts.index[counts >= group]}


def _leveled(kind: FeatureKind, missing: float, counts: pd.Series) -> Margin:
    if not len(counts):
        return Margin(kind, 1.0, (), np.empty(0), np.empty(0), 0.0)
    ends = np.cumsum(counts.to_numpy(dtype=np.float64))
    return Margin(kind, missing, tuple(counts.index.tolist()), ends / ends[-1], np.empty(0), 0.0)


def _grouped(counts: pd.Series, group: int) -> pd.Series:
    """Rare numbers counted as their nearest common one, of which there are some."""
    rare = counts < group
    kept = counts[~rare].copy()
    places = kept.index.to_numpy(dtype=np.float64)
    strays, rows = counts[rare].index.to_numpy(dtype=np.float64), counts[rare].to_numpy()
    for value, count in zip(strays, rows, strict=True):
        kept.iloc[int(np.abs(places - value).argmin())] += count
    return kept


def _numbers(held: Array, kind: FeatureKind) -> Floats:
    if kind is FeatureKind.TIME:
        micros: Floats = held.astype("datetime64[us]").astype(np.int64).astype(np.float64)
        return micros
    return held.astype(np.float64)


def _times(micros: Floats) -> Array:
    found = np.full(micros.size, np.datetime64("NaT", "us"), dtype="datetime64[us]")
    known = np.isfinite(micros)
    found[known] = micros[known].astype(np.int64).astype("datetime64[us]")
    return found


def _step(numbers: Floats, kind: FeatureKind) -> float:
    """The largest unit that all of the numbers are multiples of; 0 where there is none worth keeping."""
    if kind is FeatureKind.TIME:
        whole = numbers.astype(np.int64)
        return float(next(step for step in _STEPS_US if not (whole % step).any()))
    for decimals in range(_MOST_DECIMALS):
        if np.allclose(numbers, np.round(numbers, decimals), rtol=1e-12, atol=0.0):
            return float(10.0**-decimals)
    return 0.0


@dataclass(frozen=True)
class Scores:
    """A column's rows as expected normal scores, and what that did to them."""

    values: Floats
    """Expectation of a standard normal number given the row's cell, shape `(n,)`; 0 where missing."""
    present: npt.NDArray[np.bool_]
    terms: Floats
    """E[s(Z) He_k(Z)] for k from 1 to `TERMS`: 1, 0, 0, … for numbers without ties."""


def scores(margin: Margin, values: Array) -> Scores:
    """The scores of `values` under `margin`."""
    present = ~pd.isna(values)
    if margin.levels:
        of_texts = margin.kind in TEXTS
        places = (
            pd.Index(margin.levels).get_indexer(values) if of_texts else _nearest(margin, values, present)
        )
        present = present & (places >= 0)
        means, terms = _cells(margin.ends)
        return Scores(np.where(present, means[np.maximum(places, 0)], 0.0), present, terms)
    terms = np.zeros(TERMS)
    terms[0] = 1.0
    found = np.zeros(values.size)
    if present.any():
        numbers = _numbers(values[present], margin.kind)
        ranks = pd.Series(numbers).rank(method="average").to_numpy()
        found[present] = ndtri((ranks - 0.5) / numbers.size)
    return Scores(found, present, terms)


def absences(margin: Margin, values: Array) -> Scores:
    """The scores of whether a value is missing."""
    absent = pd.isna(values).astype(np.int64)
    means, terms = _cells(np.array([1.0 - margin.missing, 1.0]))
    return Scores(means[absent], np.ones(values.size, dtype=bool), terms)


def _nearest(margin: Margin, values: Array, present: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    levels = np.asarray(margin.levels, dtype=np.float64)
    found = np.full(values.size, -1, dtype=np.int64)
    numbers = _numbers(values[present], margin.kind)
    found[present] = np.abs(numbers[:, None] - levels[None, :]).argmin(axis=1)
    return found


def _cells(ends: Floats) -> tuple[Floats, Floats]:
    """Expected normal numbers of the cells that end at cumulative shares `ends`, and their terms."""
    bounds = ndtri(np.concatenate([[0.0], np.minimum(ends, 1.0)]))
    density = np.exp(-0.5 * bounds**2) / np.sqrt(2 * np.pi)  # 0 at both infinities
    shares = np.diff(np.concatenate([[0.0], ends]))
    means = np.divide(-np.diff(density), shares, out=np.zeros(shares.size), where=shares > 0)
    finite = np.where(np.isfinite(bounds), bounds, 0.0)
    terms = np.empty(TERMS)
    before, current = np.zeros(bounds.size), np.ones(bounds.size)  # He_{k-1}, beginning with He_0
    for term in range(TERMS):
        terms[term] = float(means @ -np.diff(current * density))
        before, current = current, finite * current - term * before
    return means, terms
