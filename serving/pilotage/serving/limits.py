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
    connections: int = 4096
    """Open connections; a further one is closed at once."""
    head_seconds: float = 10.0
    """How long a client may take to send a request's head, from its first byte or from connecting."""
    body_seconds: float = 30.0
    """How long a client may take to send a request's body."""
    write_seconds: float = 30.0
    """How long an answer may wait for a client that does not read."""
    idle_seconds: float = 75.0
    """How long a connection is kept between requests."""
    linger_seconds: float = 0.5
    """How long a stop keeps idle connections, for requests that are under way already."""
    first_load_seconds: float = 20.0
    """How long the start waits for the first champion before it listens without one."""
    drain_seconds: int = 30
    """How long a stop waits for requests in progress."""
    explain_rows: int = 100
    """Rows in one request for explanations."""
    explain_bytes: int = 1024 * 1024
    """Size of the body of such a request."""
    explain_pending: int = 8
    """Such requests in progress or waiting; more are turned away at once."""
    explain_evaluations: int = 2000
    """Of the model for each row, where contributions can only be estimated."""
    explain_seconds: float = 10.0
    """For estimating the contributions of one request."""
    explain_deadline_seconds: float = 60.0
    """For answering such a request once its turn has come, loading the model included."""
    explain_idle_seconds: float = 600.0
    """How long the explaining process stays without a request."""
