"""Request headers that mean something to the server besides those of HTTP itself."""

from __future__ import annotations

from pilotage.serving import problems
from pilotage.serving.problems import Problem

TIMEOUT = "x-request-timeout-ms"
"""Milliseconds after which the client does not wait for the answer any more."""
_LONGEST_MS = 3_600_000


def deadline(value: str | None, started: float) -> float | None:
    """`time.perf_counter()` after which nobody waits, from the header and from when the request came.

    Raises:
        Problem: the header is not a whole number of milliseconds above 0.
    """
    if value is None:
        return None
    text = value.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 0 < int(text) <= _LONGEST_MS):
        raise _wrong(value)
    return started + int(text) / 1000


def _wrong(value: str) -> Problem:
    return problems.malformed(
        f"Header `{TIMEOUT}` is `{value[:40]}`, expected milliseconds from 1 to {_LONGEST_MS}."
    )
