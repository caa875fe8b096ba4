"""What makes a forecast's interval what it says it is, from curves of real tables.

`tests/benchmarks/forecasts` measures the curves, fits these numbers to some of the tables and checks them on
the others; docs/forecast.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FACTORS = (2.0, 4.0, 8.0, 16.0)
"""Times the largest size, that the weights are known for; between them they are interpolated."""
SPREAD = (1.21, 0.945, 0.828, 0.867)
NOISE = (1.60, 1.96, 2.28, 1.88)
FALL = (0.290, 0.387, 0.398, 0.326)
LEAST = (0.0009, 0.0013, 0.0017, 0.0087)
FEW = (0.74, 0.66, 0.22, 0.21)
"""What few points add: the half width grows by this over their number beyond four."""


@dataclass(frozen=True)
class Signs:
    """What tells how sure a forecast is."""

    spread: float
    """Standard deviation over the candidates, by their weights."""
    noise: float
    """Of the latest points, around a smooth course."""
    fall: float
    """Of the curve from its largest size to the forecast."""
    span: float
    """What is large for such a loss."""
    points: float
    """How many there are, those that are nearer than half an octave counted together."""


def half_width(signs: Signs, factor: float) -> float:
    """Half of the 80 % interval at `factor` times the largest size."""
    parts = (
        (SPREAD, signs.spread),
        (NOISE, signs.noise),
        (FALL, signs.fall),
        (LEAST, signs.span),
    )
    place = float(np.log2(max(factor, 1.0)))
    squares = sum((_at(place, weights) * value) ** 2 for weights, value in parts)
    return float(np.sqrt(squares) * (1 + _at(place, FEW) / max(signs.points - 4.0, 1.0)))


def _at(place: float, weights: tuple[float, ...]) -> float:
    return float(np.interp(place, np.log2(FACTORS), weights))
