"""Whether one more request is let in: only when what is in already leaves time for it.

A server that lets everything in answers nobody in time once more comes than it
can do. So the wait of a new request is estimated from what is waiting and from
learned times, and beyond a budget the request is turned away at once, which is
cheap. The budget is a small part of the pilot's p99 target, so that those let in
see little more than an idle server's latency.
"""

from __future__ import annotations

from pilotage.serving.inference.costs import Costs

_SHARE = 0.05
"""Of the p99 target that a request may wait."""
_CALLS = 3.0
"""Calls of the model that a request may wait in any case, where the target allows."""
ALWAYS = 96
"""Requests that are let in together whatever the budget says, as long as the target itself is met."""
_KEEP = 0.95
_FIRST_OVERHEAD = 30e-6


class Admission:
    """Lets requests in by the time that those before them need."""

    def __init__(self, costs: Costs, p99_seconds: float, most_pending: int) -> None:
        self._costs = costs
        self._target = p99_seconds
        self._most = most_pending
        self.requests = 0
        """Let in and not answered yet."""
        self._rows = 1.0
        self._overhead = _FIRST_OVERHEAD

    def admits(self) -> bool:
        """Whether one more request may enter now."""
        waiting = self.requests
        if waiting < 2:
            return True
        if waiting >= self._most:
            return False
        wait = self.wait_seconds(waiting)
        if wait <= self.budget_seconds:
            return True
        return waiting < ALWAYS and wait <= self._target

    @property
    def budget_seconds(self) -> float:
        """How long a request may wait."""
        calls = min(_CALLS * self._costs.fixed, self._target)
        return max(_SHARE * self._target, calls)

    def wait_seconds(self, requests: int) -> float:
        """How long `requests` requests of usual size are expected to take together."""
        costs = self._costs
        return costs.fixed + requests * (costs.each * self._rows + self._overhead)

    def note(self, requests: int, rows: int, overhead_seconds: float) -> None:
        """Learn from a batch: its rows, and the time that all but the model took."""
        self._rows += (1 - _KEEP) * (rows / requests - self._rows)
        self._overhead += (1 - _KEEP) * (min(overhead_seconds / requests, 0.001) - self._overhead)
