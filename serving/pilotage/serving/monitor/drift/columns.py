"""What is compared: one column of counts, the reference's beside those of any number of windows.

Effect sizes and p-values are computed for many windows at once, because the same
arithmetic serves one real window and the thousands that calibrate the threshold.
Which p-value is small enough is not decided here.

Sources: Pearson's two-sample chi-squared; Kolmogorov (1933) with Stephens' (1970)
correction; Good (1953) for the probability of a value never seen, and Robbins (1956) for
what was chosen for being frequent; Przyborowski and
Wilenski (1940) for two Poisson rates; Vincze (1981) and Le Cam (1986) for the
triangular discrimination.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from pilotage.core.profiles import MOST_CATEGORIES, Moments, NumberProfile, Profile, ReferenceProfile

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST_COARSE = 12
"""Cells of the chi-squared test and of the population stability index."""
LEAST_EXPECTED = 5.0
"""Rows that a coarse cell must be expected to hold, in the window and in the reference."""
LEAST_FOR_NORMAL = 10.0
"""Rows expected missing, and expected present, from which the normal approximation is used."""


class Role(StrEnum):
    """What a column is; of what the model says there is one each, named as the role is."""

    FEATURE = "feature"
    PREDICTION = "prediction"
    """The predicted class."""
    SCORE = "score"


@dataclass(frozen=True)
class Column:
    """One profiled feature, the predicted class, or the score."""

    name: str
    kind: Literal["number", "category"]
    counts: Counts
    """The reference's, shape `(cells,)`: values, for a category then all others, then missing."""
    blocks: Counts
    """The same by time block, shape `(blocks, cells)`; no rows without a time."""
    singletons: int
    edges: tuple[float, ...] = ()
    """Of the cells of a number."""
    categories: tuple[str, ...] = ()
    moments: Moments | None = None
    """Of a number's values in the reference."""
    role: Role = Role.FEATURE
    importance: float | None = None
    """Share of the model's predictions that rests on it; None where that is not known."""

    @property
    def size(self) -> int:
        """Rows of the reference."""
        return int(self.counts.sum())

    @cached_property
    def shares(self) -> Floats:
        """The reference's shares by cell; all zero for an empty one."""
        found: Floats = self.counts / max(self.size, 1)
        return found

    @cached_property
    def regression(self) -> float:
        """Share of rows by which categories that have a cell for being frequent are less frequent elsewhere.

        Counts chosen for being more than t are too high by t + 1 times the number of categories that were
        seen t + 1 times (Robbins, 1956), which is read off the cells above the smallest.
        """
        cells = self.counts[:-2]
        if self.kind != "category" or len(cells) < MOST_CATEGORIES or not self.counts[self.unseen]:
            return 0.0
        least = int(cells.min())
        width = max(1, least // 8)
        near = cells[(cells > least) & (cells <= least + width)]
        return float(min(near.sum() / width, cells.sum()) / self.size)

    def corrected(self, reference: Counts) -> npt.NDArray[Any]:
        """Reference counts, shape `(n, cells)`, as windows may expect them; what regresses is other."""
        if not self.regression:
            return reference
        moved = self.regression * reference.sum(axis=1)
        named = np.maximum(reference[:, : self.unseen].sum(axis=1), 1)
        usual = reference.astype(np.float64)
        usual[:, : self.unseen] *= np.maximum(1 - moved / named, 0)[:, None]
        usual[:, self.unseen] += np.minimum(moved, named)
        return usual

    @property
    def unseen(self) -> int:
        """Cell of values without a cell of their own; only categories have one."""
        return len(self.counts) - 2

    def groups(self, rows: int) -> npt.NDArray[np.intp]:
        """Which coarse cell each present cell belongs to, shape `(cells - 1,)`, for windows of `rows` rows.

        Neighbours are joined, for categories the rare ones, until each coarse cell is
        expected to hold `LEAST_EXPECTED` rows of the window and of the reference.
        """
        present = self.counts[:-1].astype(np.float64)
        total = present.sum()
        if not total:
            return np.zeros(len(present), dtype=np.intp)
        least = LEAST_EXPECTED * total / max(min(rows, total), 1)
        if self.kind == "category":
            return _frequent_first(present, least)
        return _neighbours(present, max(least, total / MOST_COARSE))


def _neighbours(present: Floats, least: float) -> npt.NDArray[np.intp]:
    group = np.zeros(len(present), dtype=np.intp)
    held, current = 0.0, 0
    for cell, count in enumerate(present):
        if held >= least:
            current, held = current + 1, 0.0
        group[cell] = current
        held += count
    if held < least and current:
        group[group == current] = current - 1
    return group


def _frequent_first(present: Floats, least: float) -> npt.NDArray[np.intp]:
    order = np.argsort(-present, kind="stable")
    own = [cell for cell in order[: MOST_COARSE - 1] if present[cell] >= least]
    rest = present.sum() - present[own].sum()
    if own and rest < least:
        own = own[:-1]
    group = np.full(len(present), len(own), dtype=np.intp)
    group[own] = np.arange(len(own))
    return group


def columns_of(profile: ReferenceProfile, classes: int = 0) -> list[Column]:
    """The features in the profile's order, the predicted class if it tells something of its own, the score.

    Of two classes the score, which is the probability of one, says which is predicted; of
    more it is the highest probability, and classes may trade places without its moving.

    Args:
        profile: the reference.
        classes: how many the model knows; 0 for regression.
    """
    columns = [
        replace(column_of(name, part), importance=profile.importances.get(name))
        for name, part in profile.features.items()
    ]
    if profile.prediction is not None and classes > 2:
        columns.append(replace(column_of(Role.PREDICTION.value, profile.prediction), role=Role.PREDICTION))
    return [*columns, replace(column_of(Role.SCORE.value, profile.score), role=Role.SCORE)]


def column_of(name: str, part: Profile) -> Column:
    """The column of a profile."""
    counts = np.array(part.counts, dtype=np.int64)
    blocks = np.array(part.blocks, dtype=np.int64).reshape(-1, len(counts))
    if isinstance(part, NumberProfile):
        return Column(name, "number", counts, blocks, 0, edges=part.edges, moments=part.moments)
    return Column(name, "category", counts, blocks, part.singletons, categories=part.categories)


@dataclass(frozen=True)
class Difference:
    """How `n` windows differ from the reference; each array has shape `(n,)`."""

    psi: Floats
    """Population stability index over the coarse cells, bias-corrected, at least 0."""
    ks: Floats
    """Kolmogorov-Smirnov distance over all cells of values; 0 for categories."""
    association: Floats
    """Cramér's V of sample and coarse cell when both samples weigh the same."""
    missing: Floats
    """Share of missing values in the window."""
    reference_missing: Floats
    unseen: Floats
    """Share of rows with a value that no cell of the reference holds, beyond the share expected."""
    p_shape: Floats
    p_missing: Floats
    p_unseen: Floats


def differences(
    column: Column, windows: Counts, reference: Counts, rows: int, *, inside: bool = False
) -> Difference:
    """Effect sizes and p-values of `windows` against `reference`.

    Args:
        column: names the cells and how they are joined.
        windows: shape `(n, cells)`.
        reference: shape `(cells,)`, or `(n, cells)` for a reference of each window's own.
        rows: size of window for which cells are joined.
        inside: the windows are parts of the reference, whose frequent categories are theirs too.
    """
    reference = np.broadcast_to(reference, windows.shape)
    group = column.groups(rows)
    usual_r = reference if inside else column.corrected(reference)
    fine_w, fine_r = windows[:, :-1], usual_r[:, :-1]
    coarse_w, coarse_r = joined(fine_w, group), joined(fine_r, group)
    n, m = fine_w.sum(axis=1), fine_r.sum(axis=1)
    both = (n > 0) & (m > 0)
    p, q = shares(coarse_w), shares(coarse_r)
    total = p + q
    triangular = np.divide((p - q) ** 2, total, out=np.zeros_like(total), where=total > 0).sum(axis=1)
    ks = np.zeros(len(windows))
    if column.kind == "number":
        ks = np.abs(np.cumsum(shares(fine_w) - shares(fine_r), axis=1)).max(axis=1)
    p_shape = _shape_p(coarse_w, coarse_r, ks if column.kind == "number" else None)
    unseen, p_unseen = _unseen(column, windows, reference, usual_r)
    all_w, all_r = windows.sum(axis=1), reference.sum(axis=1)
    return Difference(
        psi=np.where(both, _psi(coarse_w, coarse_r), 0.0),
        ks=np.where(both, ks, 0.0),
        association=np.where(both, np.sqrt(triangular / 2), 0.0),
        missing=windows[:, -1] / np.maximum(all_w, 1),
        reference_missing=reference[:, -1] / np.maximum(all_r, 1),
        unseen=unseen,
        p_shape=np.where(both, p_shape, 1.0),
        p_missing=_missing_p(windows[:, -1], all_w, reference[:, -1], all_r),
        p_unseen=p_unseen,
    )


def joined(counts: Counts, group: npt.NDArray[np.intp]) -> Floats:
    """Counts of shape `(n, cells)` added up by coarse cell."""
    coarse = np.zeros((len(counts), int(group.max()) + 1))
    for cell in range(coarse.shape[1]):
        coarse[:, cell] = counts[:, group == cell].sum(axis=1)
    return coarse


def shares(counts: npt.NDArray[np.generic]) -> Floats:
    """Each row of counts divided by its sum; all zero for an empty one."""
    found: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return found


def _psi(window: Floats, reference: Floats) -> Floats:
    """Sum of (p - q) ln(p / q), half a row added to each cell, minus its expectation without drift."""
    n, m = window.sum(axis=1), reference.sum(axis=1)
    p, q = shares(window + 0.5), shares(reference + 0.5)
    raw = ((p - q) * np.log(p / q)).sum(axis=1)
    bias = (window.shape[1] - 1) * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1))
    corrected: Floats = np.maximum(raw - bias, 0.0)
    return corrected


def _shape_p(window: Floats, reference: Floats, ks: Floats | None) -> Floats:
    """Twice the smaller of the Kolmogorov-Smirnov and chi-squared p-values, or the latter alone."""
    n, m = window.sum(axis=1), reference.sum(axis=1)
    n1, m1 = np.maximum(n, 1)[:, None], np.maximum(m, 1)[:, None]
    total = window + reference
    terms = (np.sqrt(m1 / n1) * window - np.sqrt(n1 / m1) * reference) ** 2
    chi2 = np.divide(terms, total, out=np.zeros_like(total), where=total > 0).sum(axis=1)
    freedom = window.shape[1] - 1
    p_chi2: Floats = special.chdtrc(freedom, chi2) if freedom else np.ones(len(window))
    if ks is None:
        return p_chi2
    root = np.sqrt(np.maximum(n, 1) * np.maximum(m, 1) / np.maximum(n + m, 1))
    p_ks = special.kolmogorov((root + 0.12 + 0.11 / root) * ks)
    smallest: Floats = np.minimum(1.0, 2 * np.minimum(p_chi2, p_ks))
    return smallest


def _missing_p(missing: Counts, rows: Counts, ref_missing: Counts, ref_rows: Counts) -> Floats:
    """Two-sided p-value for equal rates of missing values: normal where counts allow, else Poisson."""
    rows1, ref1 = np.maximum(rows, 1), np.maximum(ref_rows, 1)
    pooled = (missing + ref_missing) / (rows1 + ref1)
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-300) * (1 / rows1 + 1 / ref1))
    normal = special.erfc(np.abs(missing / rows1 - ref_missing / ref1) / error / np.sqrt(2))
    enough = np.minimum(pooled, 1 - pooled) * np.minimum(rows1, ref1) >= LEAST_FOR_NORMAL
    mostly = ref_missing > ref_rows / 2
    rare = np.where(mostly, rows - missing, missing)
    ref_rare = np.where(mostly, ref_rows - ref_missing, ref_missing)
    more = rate_p(rare, rows1, ref_rare + 1, ref1)
    fewer = rate_p(ref_rare, ref1, rare + 1, rows1)
    poisson = np.minimum(1.0, 2 * np.minimum(more, fewer))
    p: Floats = np.where((rows > 0) & (ref_rows > 0), np.where(enough, normal, poisson), 1.0)
    return p


def rate_p(count: Counts, size: Counts, other: Counts, other_size: Counts) -> Floats:
    """Probability of `count` or more of `size` if the rate were that of `other` of `other_size`.

    Given the sum, the count is binomial (Przyborowski and Wilenski, 1940).
    """
    share = size / (size + other_size)
    tail: Floats = special.betainc(np.maximum(count, 1), np.maximum(other, 0) + 1, share)
    return np.where(count > 0, tail, 1.0)


def _unseen(
    column: Column, windows: Counts, reference: Counts, usual_r: npt.NDArray[Any]
) -> tuple[Floats, Floats]:
    """Excess and p-value of values without a cell, or in a cell that this reference has nothing in."""
    rows = np.maximum(windows.sum(axis=1), 1)
    if column.kind == "number":
        return np.zeros(len(windows)), np.ones(len(windows))
    emptied = np.where(reference[:, : column.unseen] == 0, windows[:, : column.unseen], 0).sum(axis=1)
    found = windows[:, column.unseen] + emptied
    size = np.maximum(reference.sum(axis=1), 1)
    others = np.round(usual_r[:, column.unseen]).astype(np.int64)
    known = others + column.singletons
    expected, usual = known + 1, known / size
    share: Floats = np.maximum(found / rows - usual, 0.0)
    return share, rate_p(found, rows, expected, size)
