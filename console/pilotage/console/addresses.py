"""Who may reach a server, and telling others where it listens once it does."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
from pathlib import Path

from pilotage.core import storage

logger = logging.getLogger(__name__)


def warn_if_open(host: str) -> None:
    """Warn when a server on `host` can be reached from other machines."""
    try:
        closed = ipaddress.ip_address(host).is_loopback
    except ValueError:
        closed = host == "localhost"
    if not closed:
        logger.warning(
            "%s is not a loopback address: whoever reaches it can ask the model and send labels,"
            " for the server asks for no password",
            host,
        )


def announce(ready_file: Path | None, url: str, grpc: str | None = None) -> None:
    """Write addresses and process id to `ready_file`, all or nothing."""
    if ready_file is not None:
        document = {"url": url, "grpc": grpc, "pid": os.getpid()}
        storage.write_file(ready_file, json.dumps(document).encode() + b"\n")
