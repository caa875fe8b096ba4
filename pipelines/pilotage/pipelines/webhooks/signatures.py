"""Signatures as the Standard Webhooks specification has them, version 1 (symmetric).

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
A secret is read elsewhere; here it is checked, and used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime

PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64
_LEAST_DIFFERENT = 12
"""Fewer different bytes than any 24 drawn at random have; `changeme` again and again has fewer."""


def new_secret() -> str:
    """A secret of 32 bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def parse_secret(text: str) -> bytes:
    """The key that a secret, `whsec_` and base64, stands for.

    Raises:
        ValueError: it is not written so, or is too short or too simple; the message does not repeat it.
    """
    if not text.startswith(PREFIX):
        raise ValueError("it does not begin with `whsec_`")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("what follows `whsec_` is not base64") from None
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"it stands for {len(key)} bytes, not {_LEAST_BYTES} to {_MOST_BYTES}")
    if len(set(key)) < _LEAST_DIFFERENT or (key.isascii() and key.decode().isprintable()):
        raise ValueError("it was not drawn at random")
    return key


def headers(keys: Sequence[bytes], event: str, moment: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a message; signed with each of `keys`, so that they can be changed in turn."""
    timestamp = str(int(moment.timestamp()))
    signed = b".".join((event.encode(), timestamp.encode(), body))
    made = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": event,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in made),
    }
