"""What the monitor found, as rows: an index of windows and alarms over the reports that it stored.

Reports are the truth, and the index can be made anew from them; only what people
said of an alarm is kept here alone. Nothing is judged here.
"""

from __future__ import annotations

from enum import StrEnum


class AlarmState(StrEnum):
    """What became of an alarm."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    """Somebody has seen it."""
    CLOSED = "closed"
    """The windows after it are well, or another version serves."""
