"""What predictions are worth in the goal's currency."""

from __future__ import annotations

import numpy as np

from pilotage.components.measures.scores import Outcomes
from pilotage.core.metrics import Task
from pilotage.core.specs import Value


def per_row(found: Outcomes, value: Value) -> float:
    """Mean worth of a row's prediction.

    Two classes: by true and false positives and negatives. More classes: a right
    prediction counts as a true positive, a wrong one as a false positive of the class
    it names and a false negative of the class it misses. Numbers: absolute error times
    `per_unit_error`.
    """
    if found.task is Task.REGRESSION:
        return value.per_unit_error * float(np.abs(found.predicted - found.truth).mean())
    right = found.predicted == found.truth
    if not found.binary:
        wrong_worth = value.false_positive + value.false_negative
        return float(np.where(right, value.true_positive, wrong_worth).mean())
    said = found.predicted == 1
    worth = np.where(
        said,
        np.where(right, value.true_positive, value.false_positive),
        np.where(right, value.true_negative, value.false_negative),
    )
    return float(worth.mean())
