"""Durations as people write them in pilot.yaml: `90s`, `10m`, `24h`, `7d`, `2w`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PATTERN = r"^[0-9]+(\.[0-9]+)?[smhdw]$"


MOST_DAYS = 36_500


def parse(value: object) -> timedelta:
    """The duration that `value` (`"90s"`, or a timedelta) stands for.

    Raises:
        ValueError: it is not a positive number with a unit.
    """
    if isinstance(value, timedelta):
        return value
    text = str(value)
    if not re.match(_PATTERN, text):
        raise ValueError(
            f"a duration is a number with a unit s, m, h, d or w, such as `90s` or `24h`, not `{text}`"
        )
    seconds = float(text[:-1]) * _SECONDS[text[-1]]
    if seconds > MOST_DAYS * _SECONDS["d"]:
        raise ValueError(f"a duration is at most {MOST_DAYS}d, not `{text}`")
    duration = timedelta(seconds=seconds)
    if not duration:
        raise ValueError("a duration is longer than nothing")
    return duration


def write(duration: timedelta) -> str:
    """The shortest exact text for `duration`; `parse` reads it back."""
    seconds = duration.total_seconds()
    for unit in ("w", "d", "h", "m"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds:g}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse),
    PlainSerializer(write, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["10m", "24h", "7d"]}),
]
"""A pydantic field for durations."""
