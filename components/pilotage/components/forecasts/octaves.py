"""What the last two octaves of a curve say of those to come, without any family.

A curve falls on by a share of its latest octave's fall and of that before it: two numbers for each distance,
from curves that were measured (`tests/benchmarks/forecasts`). Families are bent by sizes far from the end;
this is not, and errs otherwise, so that the two together miss by less than the families alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pilotage.components.forecasts import calibrations

Floats = npt.NDArray[np.float64]

_LATEST = (0.41, 0.65, 0.89, 1.07)
"""Shares of the latest octave's fall, at `calibrations.FACTORS` times the largest size."""
_BEFORE = (0.13, 0.20, 0.22, 0.22)
"""Shares of the fall of the octave before."""


def go_on(n: Floats, falling: Floats, size: float) -> float:
    """The loss at `size` of a curve that never rises: between its points, or where its last octaves lead."""
    if size <= n[-1]:
        return float(np.interp(np.log(size), np.log(n), falling))
    before, half, last = np.interp(np.log(n[-1] / np.array([4.0, 2.0, 1.0])), np.log(n), falling)
    known, octaves = np.log2((1.0, *calibrations.FACTORS)), np.log2(size / n[-1])
    latest, earlier = (float(np.interp(octaves, known, (0.0, *shares))) for shares in (_LATEST, _BEFORE))
    return max(float(last - latest * (half - last) - earlier * (before - half)), 0.0)
