"""How far apart the furthest of many groups are, with an interval that knows how many were looked at.

The largest minus the smallest of many noisy rates is too large on average: with twenty small groups
that do not differ at all it is well above nothing (Lum, Zhang and Bower, "De-biasing 'bias'
measurement", FAccT 2022). The value is left as everybody computes it; `chance` says what equal
groups of these sizes would show. The interval is simultaneous over all pairs of groups, by the
largest studentized deviation of the resamples (Romano and Wolf, "Exact and approximate stepdown
methods for multiple hypothesis testing", 2005, single step): with 95 % confidence every pair's true
difference is inside its own interval, so the largest true difference is at least the largest lower
end and at most the largest upper end. It is wide where groups are small, and does not call chance a
difference. What is compared is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.95


@dataclass(frozen=True)
class Compared:
    """One number of each of `g` groups, with resamples of it."""

    names: tuple[str, ...]
    values: Floats
    """As measured, shape `(g,)`."""
    centres: Floats
    """The middle of the resamples, shape `(g,)`; for rates the value drawn a little away from 0 and 1."""
    draws: Floats
    """Shape `(resamples, g)`."""


@dataclass(frozen=True)
class Spread:
    """The largest difference among groups, and over several kinds of difference the largest of these."""

    value: float
    low: float
    high: float
    chance: float
    groups: tuple[str, str]
    """The two that are `value` apart, the one with the smaller number first."""
    which: int
    """Position, among the kinds, of the one that they are apart in."""


def largest(kinds: Sequence[Compared]) -> Spread | None:
    """The largest difference over all pairs of groups and all `kinds`; None where no kind has two groups."""
    known = [(place, kind) for place, kind in enumerate(kinds) if len(kind.names) >= 2]
    if not known:
        return None
    value, groups, which = max((_furthest(kind, place) for place, kind in known), key=lambda item: item[0])
    noise = [(kind.draws - kind.centres) for _, kind in known]
    chance = np.max([drawn.max(axis=1) - drawn.min(axis=1) for drawn in noise], axis=0)
    studentized = np.max([_studentized(drawn) for drawn in noise], axis=0)
    limit = float(np.quantile(studentized, LEVEL))
    ends = [_ends(kind, drawn, limit) for (_, kind), drawn in zip(known, noise, strict=True)]
    return Spread(
        value=value,
        low=min(max(low for low, _ in ends), value),
        high=max(max(high for _, high in ends), value),
        chance=float(chance.mean()),
        groups=groups,
        which=which,
    )


def _furthest(kind: Compared, place: int) -> tuple[float, tuple[str, str], int]:
    low, high = int(kind.values.argmin()), int(kind.values.argmax())
    if low == high:  # all the same: any two of them are that far apart
        high = 1 if low == 0 else 0
    return float(kind.values[high] - kind.values[low]), (kind.names[low], kind.names[high]), place


def _studentized(noise: Floats) -> Floats:
    """The largest deviation of a pair's difference in its standard errors, for each resample."""
    variances = noise.var(axis=0)
    most = np.zeros(noise.shape[0])
    for place in range(noise.shape[1] - 1):
        errors = np.sqrt(variances[place] + variances[place + 1 :])
        apart = np.abs(noise[:, place, None] - noise[:, place + 1 :])
        scaled = np.divide(apart, errors, out=np.zeros_like(apart), where=errors > 0)
        most = np.maximum(most, scaled.max(axis=1))
    return most


def _ends(kind: Compared, noise: Floats, limit: float) -> tuple[float, float]:
    """The largest lower and the largest upper end of the pairs' intervals."""
    variances = noise.var(axis=0)
    apart = np.abs(kind.centres[:, None] - kind.centres[None, :])
    reach = limit * np.sqrt(variances[:, None] + variances[None, :])
    pairs = np.triu_indices(len(kind.names), 1)
    return float(np.maximum(apart - reach, 0)[pairs].max()), float((apart + reach)[pairs].max())
