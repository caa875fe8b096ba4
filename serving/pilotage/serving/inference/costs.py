"""How long the model takes for a number of rows, learned while it serves.

A call costs a fixed time and a time for each row, t(n) = a + b·n. Both are fitted
by least squares over past calls, of which older ones are forgotten exponentially
(recursive least squares with a forgetting factor; Ljung and Söderström, 1983),
so that they follow a new version and a busy machine.
"""

from __future__ import annotations

_KEEP = 0.98
"""Weight that a call has left after the next one: about fifty calls count."""
_FIRST_SECONDS = 0.001
_OUTLIER = 4.0
"""A call that took longer than this multiple of the expected time counts as this multiple:
the machine was busy with something else."""
_COMPUTING = 0.1
"""Share of a call's time that its thread computes at least, unless it waits for something else."""
_FEW = 8
"""Calls after which there is something to expect."""


class Costs:
    """Time of a model's calls by rows."""

    def __init__(self) -> None:
        self.fixed = _FIRST_SECONDS
        """Seconds of a call, whatever its rows."""
        self.each = 0.0
        """Seconds of each row."""
        self._calls = self._rows = self._squares = self._seconds = self._products = 0.0
        self._largest = 0
        self._late = 0
        """Calls without a pause that took far longer than expected."""

    def note(self, rows: int, seconds: float, busy: float | None = None) -> None:
        """Learn that a call for `rows` rows took `seconds`, of which its thread was `busy` computing.

        What other threads and programs took meanwhile is not the call's: learned as such, it would make
        a fast model look slow as soon as the machine is busy, and keep it so. A call that hardly
        computes waits for something itself.
        """
        if busy is not None and busy > _COMPUTING * seconds:
            seconds = busy
        if self._calls > _FEW and rows <= self._largest:
            seconds = self._believable(seconds, _OUTLIER * self.seconds(rows))
        self._largest = max(self._largest, rows)
        self._calls = self._calls * _KEEP + 1
        self._rows = self._rows * _KEEP + rows
        self._squares = self._squares * _KEEP + rows * rows
        self._seconds = self._seconds * _KEEP + seconds
        self._products = self._products * _KEEP + rows * seconds
        spread = self._calls * self._squares - self._rows * self._rows
        if spread > 1e-6 * self._squares:
            slope = (self._calls * self._products - self._rows * self._seconds) / spread
            self.each = min(max(slope, 0.0), self._seconds / self._rows)
        self.fixed = max((self._seconds - self.each * self._rows) / self._calls, 0.0)

    def _believable(self, seconds: float, most: float) -> float:
        """A call's time, at most `most` unless many took longer: the model is another one."""
        self._late = self._late + 1 if seconds > most else 0
        if self._late <= _FEW:
            return min(seconds, most)
        self._calls = self._rows = self._squares = self._seconds = self._products = self.each = 0.0
        self._late = 0
        return seconds

    def seconds(self, rows: float) -> float:
        """Expected time of a call for `rows` rows."""
        return self.fixed + self.each * rows

    def rows_within(self, seconds: float, most: int) -> int:
        """The most rows, from 1 to `most`, that a call is expected to answer within `seconds`."""
        if self.each <= 0:
            return most
        return max(1, min(most, int((seconds - self.fixed) / self.each)))
