"""What makes a forecast's interval what it says it is, from curves of real tables.

`tests/benchmarks/forecasts` measures the curves, fits these numbers to some of the tables and checks them on
the others; docs/forecast.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FACTORS = (2.0, 4.0, 8.0, 16.0)
"""Times the largest size, that the weights are known for; between them they are interpolated."""
SPREAD = (0.956, 0.783, 0.792, 0.879)
NOISE = (1.61, 1.82, 2.24, 2.29)
FALL = (0.369, 0.411, 0.444, 0.354)
LEAST = (0.0012, 0.0019, 0.0021, 0.0026)
FEW = (0.74, 0.79, 0.30, 0.27)
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
