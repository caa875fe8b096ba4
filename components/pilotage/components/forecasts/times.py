"""How long training on more rows takes: t = t0 + c n^g, fitted to what smaller trainings took.

The fixed part matters: without it the time of large trainings comes out several times too low, since the
small ones are mostly start-up. Which machine, and at what price, is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pilotage.components.forecasts.intervals import Interval

Floats = npt.NDArray[np.float64]

_POWERS = np.linspace(0.4, 2.6, 45)
_RESAMPLES = 200
_FEWEST = 4
"""Different sizes."""


def forecast(
    n: npt.ArrayLike, seconds: npt.ArrayLike, at: Sequence[float], level: float = 0.8
) -> list[Interval] | None:
    """Seconds of a training on each number of rows in `at`; None where too few sizes were timed.

    The interval is of resampled timings and of their scatter; nothing about another machine is in it.
    """
    sizes, took = np.asarray(n, float), np.asarray(seconds, float)
    if len(np.unique(sizes)) < _FEWEST:
        return None
    where = np.asarray(at, float)
    value = _at(sizes, took, where)
    rng = np.random.default_rng(0)
    fitted = _at(sizes, took, sizes)
    scatter = np.log(np.maximum(took, 1e-9) / np.maximum(fitted, 1e-9))
    drawn = []
    for _ in range(_RESAMPLES):
        again = fitted * np.exp(rng.choice(scatter, len(scatter)))
        drawn.append(_at(sizes, again, where) * np.exp(rng.choice(scatter, len(where))))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [
        Interval(float(middle), float(min(below, middle)), float(max(above, middle)))
        for middle, below, above in zip(value, low, high, strict=True)
    ]


def _at(sizes: Floats, took: Floats, where: Floats) -> Floats:
    """The fit with the smallest relative residuals, at `where`."""
    best, found = np.inf, np.full_like(where, np.nan)
    weight = 1 / np.maximum(took, 1e-6)
    largest = sizes.max()
    for power in _POWERS:
        basis = (sizes / largest) ** power
        fixed, factor = _nonnegative(basis, took, weight)
        distance = float((((fixed + factor * basis - took) * weight) ** 2).sum())
        if distance < best:
            best, found = distance, fixed + factor * (where / largest) ** power
    return np.asarray(found)


def _nonnegative(basis: Floats, took: Floats, weight: Floats) -> tuple[float, float]:
    """Weighted least squares of fixed + factor * basis, neither negative."""
    columns = np.stack([np.ones_like(basis), basis], axis=1) * weight[:, None]
    fixed, factor = np.linalg.lstsq(columns, took * weight, rcond=None)[0]
    if fixed < 0:
        factor = float((columns[:, 1] @ (took * weight)) / (columns[:, 1] @ columns[:, 1]))
        return 0.0, max(factor, 0.0)
    if factor < 0:
        return float((columns[:, 0] @ (took * weight)) / (columns[:, 0] @ columns[:, 0])), 0.0
    return float(fixed), float(factor)
