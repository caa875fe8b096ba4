"""Rate limits: how many requests a caller may send in a second, with a burst.

The generic cell rate algorithm: one float a caller, no timer. A limit holds in
one process; who runs several gives each its share. Who a caller is is not known here.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable

_ROUNDING = 1e-9
"""Seconds that sums of floats may be off by."""


class Rate:
    """At most `per_second` requests a second, and `burst` at once after a pause."""

    __slots__ = ("_due", "_slack", "_step")

    def __init__(self, per_second: float, burst: int | None = None) -> None:
        """`burst` is a second's worth when None, at least one."""
        self._step = 1.0 / per_second
        self._slack = (max(1, math.ceil(per_second)) if burst is None else burst) * self._step
        self._due = -math.inf
        """When, at an even pace, the next request would come."""

    def take(self, now: float) -> float:
        """Count a request at `now` and return 0, or return the seconds until one would be taken."""
        due = max(self._due, now) + self._step
        wait = due - now - self._slack
        if wait > _ROUNDING:
            return wait
        self._due = due
        return 0.0


class Rates:
    """The limits of many callers, of whom only the latest are remembered."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._rates: OrderedDict[Hashable, tuple[float, Rate]] = OrderedDict()

    def of(self, caller: Hashable, per_second: float) -> Rate | None:
        """The limit of `caller`, new when its rate changed; None when `per_second` is 0: no limit."""
        if per_second <= 0:
            return None
        known = self._rates.get(caller)
        if known is None or known[0] != per_second:
            known = self._rates[caller] = (per_second, Rate(per_second))
            if len(self._rates) > self._most:
                self._rates.popitem(last=False)
        self._rates.move_to_end(caller)
        return known[1]
