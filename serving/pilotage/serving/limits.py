"""How much one server takes on, so that no request can exhaust it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of one server process."""

    body_bytes: int = 16 * 1024 * 1024
    held_bytes: int = 256 * 1024 * 1024
    """Bodies of all requests that are not answered yet; more are turned away."""
    rows: int = 10_000
    """Rows in one prediction request."""
    labels: int = 200_000
    """Labels in one request."""
    pending: int = 512
    """Prediction requests in progress or waiting; more are turned away at once."""
    recorder_rows: int = 50_000
    """Rows that wait to be counted; more are dropped and reported."""
    first_load_seconds: float = 20.0
    """How long the start waits for the first champion before it listens without one."""
    drain_seconds: int = 30
    """How long a stop waits for requests in progress."""
