"""What predictions are worth in the goal's currency, row by row: in evaluation and in service alike.

Worth is linear: that of many rows is the sum of theirs, and twice the prices are twice
the worth. What becomes of the sums is decided elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core.metrics import Task
from pilotage.core.specs import Value


def of_rows(
    truth: npt.NDArray[Any], predicted: npt.NDArray[Any], task: Task, classes: int, value: Value
) -> npt.NDArray[np.float64]:
    """Worth of each prediction, shape `(n,)`.

    Two classes: by true and false positives and negatives. More classes: a right
    prediction counts as a true positive, a wrong one as a false positive of the class
    it names and a false negative of the class it misses. Numbers: absolute error times
    `per_unit_error`.

    Args:
        truth: class numbers from 0, of two the positive one is 1; or numbers. Shape `(n,)`.
        predicted: likewise.
        task: which of both.
        classes: how many there are; of no concern for numbers.
        value: the prices.
    """
    if task is Task.REGRESSION:
        distance: npt.NDArray[np.float64] = np.abs(predicted - truth).astype(np.float64)
        return value.per_unit_error * distance
    right = predicted == truth
    if classes != 2:
        wrong_worth = value.false_positive + value.false_negative
        return np.where(right, value.true_positive, wrong_worth)
    return np.where(
        predicted == 1,
        np.where(right, value.true_positive, value.false_positive),
        np.where(right, value.true_negative, value.false_negative),
    )
