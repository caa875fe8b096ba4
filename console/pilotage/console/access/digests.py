"""Random secrets, and the digests that are kept in their place.

A secret has 256 random bits, so that a plain SHA-256 of it can be kept and
looked up; passwords, which have fewer, are in `passwords`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

_BYTES = 32


def new_secret(prefix: str = "") -> str:
    """A secret that nobody can guess, in letters that URLs and headers take."""
    return prefix + secrets.token_urlsafe(_BYTES)


def new_id() -> str:
    """A name for something that has no other; it is no secret."""
    return secrets.token_hex(8)


def digest_of(secret: str) -> str:
    """SHA-256 of `secret`, as hexadecimal text."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def are_equal(left: str, right: str) -> bool:
    """Whether both are the same, in a time that does not tell how far they agree."""
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
