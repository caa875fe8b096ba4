"""What widens a forecast's interval to what it says it is, from curves of real tables.

`tests/benchmarks/forecasts` measures the curves, fits these numbers to some of the tables and checks them on
the others; docs/forecast.md has the figures."""

from __future__ import annotations

import numpy as np

SPREAD, NOISE, FALL, LEAST = 1.0, 1.0, 0.25, 0.003
"""How much of the scale is the candidates' spread, the points' noise, the fall still to come, and constant."""
_FACTORS = np.log2([1.0, 2.0, 4.0, 8.0, 16.0])
_BELOW = np.array([-1.0, -1.1, -1.5, -2.5, -3.0])
_ABOVE = np.array([1.0, 1.1, 1.5, 2.5, 3.0])


def scale(spread: float, noise: float, fall: float, span: float) -> float:
    """What the error of a forecast is measured in."""
    parts = (SPREAD * spread, NOISE * noise, FALL * fall, LEAST * span)
    return float(np.sqrt(sum(part**2 for part in parts)))


def multiples(factor: float) -> tuple[float, float]:
    """Of the scale, from the middle to the bounds of the 80 % interval, at `factor` times the largest size."""
    place = float(np.log2(max(factor, 1.0)))
    return float(np.interp(place, _FACTORS, _BELOW)), float(np.interp(place, _FACTORS, _ABOVE))
