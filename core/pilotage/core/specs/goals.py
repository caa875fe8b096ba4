"""What a pilot is for: the metric that decides, and what a prediction is worth."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from pilotage.core.hints import unknown
from pilotage.core.metrics import METRICS
from pilotage.core.specs.bases import Model


class Value(Model):
    """What a prediction is worth, by outcome for classification or by error for regression."""

    true_positive: float = 0.0
    false_positive: float = 0.0
    false_negative: float = 0.0
    true_negative: float = 0.0
    per_unit_error: float = 0.0
    """Regression: worth of one unit of absolute error; negative is a cost."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Goal(Model):
    metric: str
    target: float | None = None
    value: Value | None = None

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(unknown("metric", metric, sorted(METRICS)))
        return metric
