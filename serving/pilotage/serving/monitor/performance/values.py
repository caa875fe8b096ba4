"""What the predictions of a window brought: worth on the rows whose labels have come, beside the baseline's.

Nothing is guessed about rows without a label but in the estimate, which says how sure
it is. Source of the estimate: Cochran (1977), Sampling Techniques, 2.8: the total of a
population from a simple random sample, with the correction for a finite population.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pilotage.core import worths
from pilotage.core.artifacts import Brought, Model, Scalar
from pilotage.core.metrics import Task
from pilotage.core.specs import Value
from pilotage.serving.monitor.performance.outcomes import Outcomes
from pilotage.serving.records import spellings

LEAST_LABELLED = 30
"""Labelled rows from which all rows of a window are estimated."""


def count(found: Outcomes, rows: int, model: Model, guess: Scalar | None, value: Value) -> Brought | None:
    """What predictions brought; None where no label has come or the baseline is not known.

    Args:
        found: the window's rows whose labels have come.
        rows: that the window served.
        model: which predicted them.
        guess: what the version's baseline says of every row; None in scorecards that do not tell.
        value: the prices.
    """
    position = _position(guess, model)
    if not len(found.truth) or position is None:
        return None
    kind = model.task, len(model.classes), value
    own = worths.of_rows(found.truth, found.predictions, *kind)
    baseline = worths.of_rows(found.truth, np.full(len(own), position), *kind)
    estimated, error = total(own - baseline, rows)
    return Brought(
        currency=value.currency,
        labelled=len(own),
        value=float(own.sum()),
        baseline=float(baseline.sum()),
        estimated=estimated,
        error=error,
    )


def total(sample: npt.NDArray[np.float64], rows: int) -> tuple[float | None, float | None]:
    """The sum over `rows` rows of which `sample` was drawn at random, and its standard error.

    Both are None where the sample is too small and not the whole.
    """
    labelled = len(sample)
    if labelled >= rows:
        return float(sample.sum()), 0.0
    if labelled < LEAST_LABELLED:
        return None, None
    unseen = 1 - labelled / rows
    return (
        rows * float(sample.mean()),
        rows * math.sqrt(unseen * float(sample.var(ddof=1)) / labelled),
    )


def _position(guess: Scalar | None, model: Model) -> float | None:
    """The guess as outcomes spell it: the position of its class, or the number."""
    if guess is None:
        return None
    if model.task is Task.REGRESSION:
        return float(guess)
    order = spellings.order_of(model)
    return float(order.index(guess)) if guess in order else None
