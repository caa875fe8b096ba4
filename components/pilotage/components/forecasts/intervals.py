"""A number with the interval that it is believed to be in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A value between its bounds."""

    value: float
    low: float
    high: float

    @property
    def document(self) -> dict[str, float]:
        """As JSON has it."""
        return {"value": self.value, "low": self.low, "high": self.high}
