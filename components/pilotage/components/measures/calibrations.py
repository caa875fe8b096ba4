"""How far stated probabilities are from observed frequencies.

For two classes the probability of the positive one, for more the highest
probability against being right (Guo, Pleiss, Sun, Weinberger, 2017).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pilotage.components.measures.scores import Outcomes
from pilotage.core.artifacts import CalibrationBin

BINS = 10
"""Of equal width over [0, 1]."""


def bins(found: Outcomes) -> tuple[CalibrationBin, ...]:
    """The bins that hold rows, by ascending probability; empty without probabilities."""
    stated, happened = _pairs(found)
    number = np.minimum((stated * BINS).astype(np.int64), BINS - 1)
    return tuple(
        CalibrationBin(
            predicted=float(stated[number == place].mean()),
            observed=float(happened[number == place].mean()),
            rows=int((number == place).sum()),
        )
        for place in np.unique(number).tolist()
    )


def calibration_error(found: Outcomes) -> float | None:
    """Expected calibration error, 0 to 1: the mean gap of the bins, weighted by their rows.

    Naeini, Cooper, Hauskrecht (2015), `sum_b n_b / n * |observed_b - predicted_b|`.
    None without probabilities.
    """
    filled = bins(found)
    if not filled:
        return None
    gaps = sum(part.rows * abs(part.observed - part.predicted) for part in filled)
    return gaps / sum(part.rows for part in filled)


def _pairs(found: Outcomes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if found.probabilities is None or not found.rows:
        return np.empty(0), np.empty(0)
    if found.binary:
        return found.probabilities[:, 1], (found.truth == 1).astype(np.float64)
    return found.probabilities.max(axis=1), (found.predicted == found.truth).astype(np.float64)
