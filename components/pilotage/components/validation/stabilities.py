"""How far two vectors of counts lie apart, and how far chance alone would drive them.

A snapshot of a few hundred rows differs from any other, so an index without its
sampling uncertainty warns of nothing. Which columns are compared and which
difference matters is not known here. Rows are taken to be independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

FALSE_ALARMS = 0.05
"""How often a comparison of all columns together may find one moved that did not."""
_DRAWS = 400
_LEAST_EXPECTED = 5.0
"""Cells of the reference with fewer rows are merged into one."""


@dataclass(frozen=True)
class Movement:
    """The stability index of one column, and what sampling makes of it."""

    effect: float
    """See `stability_index`."""
    chance: float
    """What the effect stays below without change, but for `FALSE_ALARMS`."""


def stability_index(before: Counts, now: Counts) -> float:
    """Population stability index of two vectors of counts, less its expectation under no change, at least 0.

    PSI is the sum of (p - q) ln(p / q) over cells; with k cells of n and m rows, chance alone gives about
    (k - 1)(1/n + 1/m) (Yurdakul, 2018). Cells with few reference rows are merged, and half
    a row is added to each.
    """
    if not before.sum() or not now.sum():
        return 0.0
    index, expected = _indices(before[None], now[None])
    return round(max(0.0, float(index[0] - expected[0])), 6)


def movement(before: Counts, now: Counts, floor: float, comparisons: int) -> Movement | None:
    """The movement from `before` to `now`; None when it is not above `floor` or not beyond chance.

    Args:
        before: rows of the reference by cell.
        now: rows of the new snapshot by cell.
        floor: the smallest effect that matters.
        comparisons: columns that are compared, over which `FALSE_ALARMS` is shared out.
    """
    effect = stability_index(before, now)
    if effect <= floor:
        return None
    chance = _chance(before, now, FALSE_ALARMS / max(1, comparisons))
    return Movement(effect, chance) if effect > chance else None


def _chance(before: Counts, now: Counts, level: float) -> float:
    """What `stability_index` exceeds with probability `level` when nothing changed.

    Both vectors are drawn from their common shares, again and again. The limit is a quantile of the gamma
    distribution with the draws' mean and variance, for the draws alone tell little of a tail (as
    Mielke and Berry, 2007, do with the moments of permutations).
    """
    from scipy.special import gammaincinv

    n, m = int(before.sum()), int(now.sum())
    shares = (before + now) / (n + m)
    generator = np.random.default_rng(0)
    index, expected = _indices(
        generator.multinomial(n, shares, _DRAWS), generator.multinomial(m, shares, _DRAWS)
    )
    shift = float(expected.mean())
    drawn = index - expected + shift
    mean, variance = float(drawn.mean()), float(drawn.var())
    if mean <= 0 or not variance:
        return 0.0
    limit = float(gammaincinv(mean * mean / variance, 1 - level)) * variance / mean
    return round(max(0.0, limit - shift), 6)


def _indices(before: Counts, now: Counts) -> tuple[Numbers, Numbers]:
    """PSI of each pair of rows of counts, shape `(pairs, cells)`, and its expectation under no change."""
    few = before < _LEAST_EXPECTED
    old, new = (
        np.column_stack([np.where(few, 0, counts), np.where(few, counts, 0).sum(axis=1)])
        for counts in (before, now)
    )
    used = np.column_stack([~few, (old[:, -1] + new[:, -1]) > 0])
    cells = used.sum(axis=1)
    p, q = ((counts + 0.5) / (counts.sum(axis=1) + 0.5 * cells)[:, None] for counts in (old, new))
    index: Numbers = np.where(used, (p - q) * np.log(p / q), 0.0).sum(axis=1)
    expected: Numbers = (cells - 1) * (1 / old.sum(axis=1) + 1 / new.sum(axis=1))
    return index, expected
