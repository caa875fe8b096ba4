"""Who may reach a server, and telling others where it listens once it does."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
from pathlib import Path

from pilotage.core import storage
from pilotage.core.settings import Settings

logger = logging.getLogger(__name__)


def warn_if_open(host: str, settings: Settings) -> None:
    """Warn when a server on `host` can be reached from other machines without a token or in the clear."""
    try:
        closed = ipaddress.ip_address(host).is_loopback
    except ValueError:
        closed = host == "localhost"
    if closed:
        return
    if not (settings.auth_tokens_file or settings.auth_jwks or settings.tls_client_ca_file):
        logger.warning(
            "%s is not a loopback address: whoever reaches it can ask the model and send labels,"
            " for the server asks for no token; `pilotage tokens new NAME` and PILOTAGE_AUTH_TOKENS_FILE"
            " make it ask",
            host,
        )
    if not settings.tls_cert_file:
        logger.warning(
            "%s is not a loopback address and requests go in the clear: set PILOTAGE_TLS_CERT_FILE and"
            " PILOTAGE_TLS_KEY_FILE, or see that something before the server speaks TLS",
            host,
        )


def announce(ready_file: Path | None, url: str, grpc: str | None = None) -> None:
    """Write addresses and process id to `ready_file`, all or nothing."""
    if ready_file is not None:
        document = {"url": url, "grpc": grpc, "pid": os.getpid()}
        storage.write_file(ready_file, json.dumps(document).encode() + b"\n")
