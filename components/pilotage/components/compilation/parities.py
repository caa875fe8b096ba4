"""Whether a form says what its trained model says, row by row.

No sample and no average: one held-out row beyond the tolerance refuses a form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core import errors
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction


def difference(trained: Prediction, form: Prediction, task: Task, tolerance: float) -> float:
    """Largest difference over all rows: of a probability, or of a number in relation to its size.

    A number's size is its own or the typical one, whichever is larger, so that
    predictions near zero are not held to more than the others.

    Raises:
        EstimatorError: it is beyond `tolerance`, a class differs, or a value is not finite.
    """
    if task is Task.REGRESSION:
        sizes = np.abs(trained.predictions)
        found = np.abs(form.predictions - trained.predictions) / np.maximum(
            np.maximum(sizes, sizes.mean()), np.finfo(np.float64).tiny
        )
    else:
        found = _probabilities(trained, form)
    _require_within(found, tolerance)
    if task is not Task.REGRESSION:
        _require_same(trained.predictions, form.predictions)
    return float(found.max())


def _probabilities(trained: Prediction, form: Prediction) -> npt.NDArray[np.float64]:
    if trained.probabilities is None or form.probabilities is None:
        raise errors.EstimatorError("The model gives no probabilities to compare.")
    if trained.probabilities.shape != form.probabilities.shape:
        raise errors.EstimatorError(
            f"The form gives probabilities of shape {form.probabilities.shape},"
            f" the model {trained.probabilities.shape}."
        )
    found: npt.NDArray[np.float64] = np.abs(trained.probabilities - form.probabilities).max(axis=1)
    return found


def _require_within(found: npt.NDArray[np.float64], tolerance: float) -> None:
    beyond = ~(found <= tolerance)  # NaN is beyond
    if beyond.any():
        row = int(np.argmax(np.where(np.isnan(found), np.inf, found)))
        raise errors.EstimatorError(
            f"{int(beyond.sum())} of {found.size} held-out rows differ by more than {tolerance:g},"
            f" row {row} by {found[row]:g}."
        )


def _require_same(trained: npt.NDArray[Any], form: npt.NDArray[Any]) -> None:
    other = np.flatnonzero(trained != form)
    if other.size:
        raise errors.EstimatorError(
            f"{other.size} of {trained.size} held-out rows get another class, row {other[0]}"
            f" {form.tolist()[other[0]]!r} instead of {trained.tolist()[other[0]]!r}."
        )
