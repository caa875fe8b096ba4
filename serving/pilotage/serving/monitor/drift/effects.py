"""How much one window's column differs, in measures that people know, and how uncertain each is at this size.

Effects say whether a difference matters; whether it could be chance is asked in
`columns` and `calibrations`. Intervals are of 95 %.

Sources: Yurdakul (2018) for the bias of the population stability index; Lin (1991) and
Endres and Schindelin (2003) for the Jensen-Shannon distance; Kantorovich (1942) and
Vallender (1974) for the Wasserstein distance as the area between two distribution
functions; Smirnov (1948) for the band around an empirical distribution function; the
delta method (Cramér, 1946) for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from pilotage.serving.monitor.drift.columns import Column, Counts, Floats, joined, shares

_Z95 = 1.959963984540054
_BAND95 = 1.3581015157406195
"""95 % quantile of Kolmogorov's distribution."""


@dataclass(frozen=True)
class Interval:
    """A value and where it lies with 95 %; not below 0."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Effect:
    """How one window's column differs from the reference."""

    psi: Interval
    """Population stability index over the coarse cells, bias-corrected."""
    distance: Interval
    """Kolmogorov-Smirnov distance for numbers; for categories Cramér's V, bias-corrected, as if both
    samples weighed the same."""
    jensen_shannon: float
    """Distance with logarithms to base 2, from 0 to 1, bias-corrected."""
    wasserstein: float | None
    """Of numbers, in standard deviations of the reference, as far as cells and means tell it. None for
    categories and constants."""


_NOTHING = Interval(0.0, 0.0, 0.0)


def measure(column: Column, window: Counts, rows: int, *, mean: float | None = None) -> Effect:
    """The effects of `window` against the column's reference.

    Args:
        column: with its reference counts.
        window: counts by cell, shape `(cells,)`.
        rows: size of window for which cells are joined.
        mean: of the window's values, where it is known.
    """
    present, reference = window[:-1], column.corrected(column.counts[None, :])[0, :-1]
    n, m = int(present.sum()), int(column.counts[:-1].sum())
    if not n or not m:
        return Effect(_NOTHING, _NOTHING, 0.0, None)
    group = column.groups(rows)
    coarse_w, coarse_r = (joined(side[None, :], group)[0] for side in (present, reference))
    noise = 1 / n + 1 / m
    return Effect(
        psi=_psi(coarse_w, coarse_r, n, m),
        distance=_ks(present, reference, noise)
        if column.kind == "number"
        else _association(coarse_w, coarse_r, n, m),
        jensen_shannon=_jensen_shannon(coarse_w / n, coarse_r / m, noise),
        wasserstein=_wasserstein(column, present / n, reference / m, mean),
    )


def _psi(window: Floats, reference: Floats, n: int, m: int) -> Interval:
    """By the delta method, to which the variance under no change is added: chi-squared over the sizes."""
    p, q = (shares(side[None, :] + 0.5)[0] for side in (window, reference))
    log, noise, freedom = np.log(p / q), 1 / n + 1 / m, len(p) - 1
    value = float(((p - q) * log).sum()) - freedom * noise
    variance = _variance(p, log + 1 - q / p) / n + _variance(q, 1 - log - p / q) / m
    error = float(np.sqrt(variance + 2 * freedom * noise**2))
    return _around(value, error)


def _association(window: Floats, reference: Floats, n: int, m: int) -> Interval:
    """Cramér's V from the triangular discrimination; the interval is that of its square."""
    p, q = window / n, reference / m
    total = np.where(p + q > 0, p + q, 1.0)
    freedom, noise = len(p) - 1, 1 / n + 1 / m
    value = float(((p - q) ** 2 / total).sum()) / 2 - freedom * noise / 4
    by_p, by_q = (p - q) * (p + 3 * q) / (2 * total**2), (q - p) * (q + 3 * p) / (2 * total**2)
    variance = _variance(p, by_p) / n + _variance(q, by_q) / m + 2 * freedom * (noise / 4) ** 2
    square = _around(value, float(np.sqrt(variance)))
    return Interval(*(min(1.0, float(np.sqrt(part))) for part in (square.value, square.low, square.high)))


def _variance(shares_: Floats, slope: Floats) -> float:
    """Variance, for one row, of a function of multinomial shares with these partial derivatives."""
    return float((shares_ * slope**2).sum() - (shares_ * slope).sum() ** 2)


def _around(value: float, error: float) -> Interval:
    return Interval(max(value, 0.0), max(value - _Z95 * error, 0.0), max(value + _Z95 * error, 0.0))


def _ks(window: Counts, reference: Counts, noise: float) -> Interval:
    """Within the band that holds both distribution functions everywhere at once."""
    gap = np.cumsum(window / window.sum() - reference / reference.sum())
    value, band = float(np.abs(gap).max()), _BAND95 * float(np.sqrt(noise))
    return Interval(value, max(value - band, 0.0), min(value + band, 1.0))


def _jensen_shannon(p: Floats, q: Floats, noise: float) -> float:
    middle = (p + q) / 2
    nats = float(special.rel_entr(p, middle).sum() + special.rel_entr(q, middle).sum()) / 2
    divergence = nats / float(np.log(2))
    return float(np.sqrt(max(divergence - (len(p) - 1) * noise / (8 * np.log(2)), 0.0)))


def _wasserstein(column: Column, window: Floats, reference: Floats, mean: float | None) -> float | None:
    """The area between the distribution functions over the reference's range, or the means' distance.

    The larger is taken. Within a cell both functions are taken as straight; beyond the range the means tell.
    """
    moments = column.moments
    if column.kind != "number" or moments is None or not moments.std > 0:
        return None
    edges = np.array(column.edges)
    gap = np.cumsum(window - reference)[: len(edges)]
    width = np.diff(edges)
    left, right = np.abs(gap[:-1]), np.abs(gap[1:])
    crossing = gap[:-1] * gap[1:] < 0
    both = np.where(crossing, left + right, 1.0)
    areas = np.where(crossing, (left**2 + right**2) / (2 * both), (left + right) / 2) * width
    apart = abs(mean - moments.mean) if mean is not None and np.isfinite(mean) else 0.0
    return max(float(areas.sum()), apart) / moments.std
