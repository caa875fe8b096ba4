"""What predictions on held-out rows are worth in the goal's currency."""

from __future__ import annotations

from pilotage.components.measures.scores import Outcomes
from pilotage.core import worths
from pilotage.core.specs import Value


def per_row(found: Outcomes, value: Value) -> float:
    """Mean worth of a row's prediction; see `pilotage.core.worths`."""
    each = worths.of_rows(found.truth, found.predicted, found.task, len(found.classes), value)
    return float(each.mean())
