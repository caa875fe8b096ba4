"""Who sits at this machine, for the record."""

from __future__ import annotations

import getpass
import socket


def user() -> str:
    """The person at this terminal as `user@host`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
