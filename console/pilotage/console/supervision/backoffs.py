"""How long to wait before a process that ended by itself is started again."""

from __future__ import annotations

import random


class Backoff:
    """Waits that double up to a limit, each a little shorter or longer so that not all return at once."""

    def __init__(self, first_seconds: float = 0.5, most_seconds: float = 30.0, jitter: float = 0.2) -> None:
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._jitter = jitter
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        wait = min(self._most_seconds, self._first_seconds * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return wait * random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311 - no secret

    def reset(self) -> None:
        """It ran well."""
        self._failures = 0
