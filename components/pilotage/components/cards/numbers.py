"""Numbers and estimates as cards write them."""

from __future__ import annotations

import math
from typing import Protocol

NOTHING = "–"


class Spanned(Protocol):
    """A value with the ends of its interval."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def number(value: float | None) -> str:
    """Four significant digits, or a dash for what could not be measured."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def estimate(found: Spanned | None) -> str:
    """A value with its interval."""
    if found is None:
        return NOTHING
    if found.low is None or found.high is None:
        return number(found.value)
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"


def percent(share: float) -> str:
    """A share of one."""
    return f"{100 * share:.3g} %"
