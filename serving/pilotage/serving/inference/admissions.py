"""Whether one more request is let in: only when what is in already leaves time for it.

A server that lets everything in answers nobody in time once more comes than it
can do. So the wait of a new request is estimated from what is waiting and from
learned times. In ordinary times a queue may build up to what the pilot's p99 target
allows, because clients that wait for their answers, however many connections they
have, never send more than the server can do. A queue beyond that means that more
comes than can be done, and then waiting helps nobody: until it is over only so many
are let in as see little more than an idle server's latency, and the rest is turned
away at once, which is cheap. Whether it is over is tried again after one second,
then after four, sixteen and so on, or as soon as nobody has been turned away for a
moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pilotage.serving.inference.costs import Costs

ALWAYS = 96
"""Requests that are let in together in ordinary times even if twice the target passes meanwhile."""
SHORTEST_WAIT_SECONDS = 0.003
"""A wait that is always allowed: other programs of the machine cause as much."""
_SERVICES = 4.0
"""Wait under overload, in times that one request takes."""
_CALM_SECONDS = 0.25
"""Nobody turned away for so long: the overload is over."""
_FIRST_HOLD_SECONDS = 1.0
_HOLD_FACTOR = 4.0
_LONGEST_HOLD_SECONDS = 64.0
_KEEP = 0.95
_FIRST_OVERHEAD = 30e-6
_MOST_OVERHEAD = 0.001


class Admission:
    """Lets requests in by the time that those before them need."""

    def __init__(
        self,
        costs: Costs,
        p99_seconds: float,
        most_pending: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._costs = costs
        self._target = p99_seconds
        self._most = most_pending
        self._clock = clock
        self.requests = 0
        """Let in and not answered yet."""
        self._rows = 1.0
        self._overhead = _FIRST_OVERHEAD
        self._strict_until: float | None = None
        """End of the hold; None in ordinary times."""
        self._hold = _FIRST_HOLD_SECONDS
        self._refused_at = 0.0

    def admits(self) -> bool:
        """Whether one more request may enter now."""
        waiting = self.requests
        if waiting < 2:
            return True
        wait = self.wait_seconds(waiting)
        if waiting < self._most and (wait <= SHORTEST_WAIT_SECONDS or wait <= self.budget_seconds):
            return True
        now = self._clock()
        if not self._is_overloaded(now) and waiting < self._most and self._is_ordinary(waiting, wait):
            return True
        self._turned_away(now)
        return False

    def _is_ordinary(self, waiting: int, wait: float) -> bool:
        return wait <= self._target / 2 or (waiting < ALWAYS and wait <= 2 * self._target)

    def _is_overloaded(self, now: float) -> bool:
        if self._strict_until is None:
            return False
        if now - self._refused_at > _CALM_SECONDS:
            self._strict_until, self._hold = None, _FIRST_HOLD_SECONDS
            return False
        return now < self._strict_until

    def _turned_away(self, now: float) -> None:
        """Note a refusal, which begins or goes on with an overload."""
        self._refused_at = now
        if self._strict_until is None:
            self._strict_until = now + self._hold
        elif now >= self._strict_until:
            self._hold = min(self._hold * _HOLD_FACTOR, _LONGEST_HOLD_SECONDS)
            self._strict_until = now + self._hold

    @property
    def budget_seconds(self) -> float:
        """How long a request may wait while more comes than can be done."""
        return max(SHORTEST_WAIT_SECONDS, min(_SERVICES * self.wait_seconds(1), self._target))

    def wait_seconds(self, requests: int) -> float:
        """How long `requests` requests of usual size are expected to take together."""
        costs = self._costs
        return costs.fixed + requests * (costs.each * self._rows + self._overhead)

    def note(self, requests: int, rows: int, overhead_seconds: float) -> None:
        """Learn from a batch: its rows, and the time that all but the model took."""
        self._rows += (1 - _KEEP) * (rows / requests - self._rows)
        found = min(overhead_seconds / requests, _MOST_OVERHEAD)
        self._overhead += (1 - _KEEP) * (found - self._overhead)
