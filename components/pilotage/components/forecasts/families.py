"""Families of learning curves: loss = a + c * g(n), where g falls from one to nothing.

    pow3   g = n^-b                      Hestness et al. 2017
    pow4   g = (n + d)^-b                a power law that begins late
    wbl4   g = exp(-(n / k)^b)           Weibull; b = 1 is the exponential
    mmf4   g = k^b / (k^b + n^b)         Morgan, Mercer and Flodin
    last   g = 0                         nothing changes any more

What is not linear is on a grid, relative to the sizes, so that a curve that is stretched in n is forecast the
same; `a` and `c` have a closed form for each point of the grid (variable projection).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SLOPES = np.geomspace(0.05, 2.0, 24)
_LATE = np.array([0.5, 1.5, 4.0, 12.0, 40.0])
_SCALES = np.geomspace(0.5, 400.0, 14)
_BENDS = np.array([0.35, 0.5, 0.7, 1.0, 1.4])
_TURNS = np.array([0.5, 0.75, 1.0, 1.4, 2.0])


@dataclass(frozen=True)
class Shapes:
    """One row a candidate: its values of g at some sizes, and a prior weight."""

    at: Floats
    """(candidates, sizes)."""
    prior: Floats
    """Sums to one; each family has the same share."""
    families: tuple[str, ...]


def shapes(sizes: npt.ArrayLike, smallest: float) -> Shapes:
    """The candidates at `sizes`, for a curve whose smallest size is `smallest`."""
    n = np.asarray(sizes, float)[None, :] / smallest
    slopes = _SLOPES[:, None]
    parts: dict[str, Floats] = {
        "pow3": n**-slopes,
        "pow4": np.concatenate([((n + late) / (1 + late)) ** -slopes for late in _LATE]),
        "wbl4": np.concatenate(
            [
                np.exp(-((n / scale) ** _BENDS[:, None])) / np.exp(-((1 / scale) ** _BENDS[:, None]))
                for scale in _SCALES
            ]
        ),
        "mmf4": np.concatenate(
            [(1 + scale ** -_TURNS[:, None]) / (1 + (n / scale) ** _TURNS[:, None]) for scale in _SCALES]
        ),
    }
    prior = np.concatenate([np.full(len(part), 1 / (len(parts) * len(part))) for part in parts.values()])
    names = tuple(name for name, part in parts.items() for _ in part)
    return Shapes(np.concatenate(list(parts.values())), prior, names)


@dataclass(frozen=True)
class Lines:
    """Of each candidate the best `a` and `c`, neither negative, and the weighted squared distance."""

    a: Floats
    c: Floats
    distance: Floats


def fit(shapes_at: Floats, losses: Floats, weights: Floats) -> Lines:
    """Weighted least squares of a + c * g for every candidate at once."""
    total = weights.sum()
    mean = (shapes_at @ weights) / total
    centred = shapes_at - mean[:, None]
    level = float(losses @ weights / total)
    spread = (centred**2) @ weights
    c = np.maximum((centred * (losses - level)[None, :]) @ weights / np.maximum(spread, 1e-18), 0.0)
    a = level - c * mean
    through = (shapes_at * losses[None, :]) @ weights / np.maximum((shapes_at**2) @ weights, 1e-18)
    below = a < 0
    c = np.where(below, np.maximum(through, 0.0), c)
    a = np.where(below, 0.0, a)
    residuals = losses[None, :] - a[:, None] - c[:, None] * shapes_at
    return Lines(a, c, (residuals**2) @ weights)
