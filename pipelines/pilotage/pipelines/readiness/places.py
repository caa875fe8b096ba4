"""Where the console shows evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy import Row


def run(name: str) -> str:
    """The page of a run."""
    return f"/runs/{quote(name, safe='')}"


def models(pilot: str) -> str:
    """The versions of a pilot."""
    return f"/pilots/{quote(pilot, safe='')}/models"


def card(pilot: str, version: int) -> str:
    """The model card of a version."""
    return f"{models(pilot)}/{version}/card"


def window(pilot: str, row: Row[Any]) -> str:
    """One closed window."""
    start: datetime = row.start
    asked = {"version": row.version, "start": f"{start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    return f"/pilots/{quote(pilot, safe='')}/monitoring?{urlencode(asked)}#window"


def monitoring(pilot: str) -> str:
    """What the monitor found of a pilot."""
    return f"/pilots/{quote(pilot, safe='')}/monitoring"


def audit(pilot: str) -> str:
    """The audit of a pilot."""
    return f"/audit?{urlencode({'pilot': pilot})}"


SCHEDULES, SETTINGS, USERS = "/schedules", "/settings", "/settings/users"
