"""States of runs and steps, and the names of runs. Importing this loads no library."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from enum import StrEnum

STEPS = ("ingest", "validate", "train", "evaluate", "register")
"""Of the training pipeline, in order."""


class State(StrEnum):
    """States of runs and steps."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CACHED = "cached"
    """A step whose earlier outputs were used."""
    SKIPPED = "skipped"
    """A step that a failure before it kept from starting."""
    CANCELLED = "cancelled"
    DIED = "died"
    """The process that carried it out went away."""


def new_id() -> str:
    """An identifier that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
