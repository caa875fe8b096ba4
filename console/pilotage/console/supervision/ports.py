"""Ports on this machine: the one that was used before if it is free, else the next that is."""

from __future__ import annotations

import socket
from collections.abc import Collection

from pilotage.core import errors

_TRIED = 500


def choose(host: str, wanted: int | None, first: int, taken: Collection[int] = ()) -> int:
    """`wanted` if it is free, else the first free port from `first` on.

    Args:
        host: address to listen on.
        wanted: the port that was used before.
        first: where to look for another.
        taken: ports that others were promised.

    Raises:
        SettingsError: the host is no address of this machine, or no port is free.
    """
    if wanted is not None and wanted not in taken and is_free(host, wanted):
        return wanted
    for port in range(first, min(first + _TRIED, 65536)):
        if port not in taken and is_free(host, port):
            return port
    raise errors.SettingsError(
        f"No port of `{host}` from {first} on can be listened on.",
        remedy="Name an address of this machine, and another port, with `--host` and `--port`.",
    )


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as servers do: old connections may linger
            probe.bind((host, port))
    except OSError:
        return False
    return True


def written(host: str) -> str:
    """A host as URLs have it."""
    return f"[{host}]" if ":" in host else host
