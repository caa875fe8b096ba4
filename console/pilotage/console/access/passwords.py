"""Passwords: what one must be like, and argon2id hashes of them. They are never logged nor kept."""

from __future__ import annotations

import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pilotage.core import errors

SHORTEST, LONGEST = 12, 256
"""Characters of a password."""

_HASHER = PasswordHasher()
_AT_ONCE = threading.BoundedSemaphore(4)
"""Each hash takes 64 MiB; whoever knocks often must not use up the machine's memory."""


def hash_password(password: str, user: str) -> str:
    """The hash of a new password.

    Raises:
        SettingsError: it is too short, too long or too plain.
    """
    text = _normal(password)
    wrong = ""
    if len(text) < SHORTEST:
        wrong = f"has {len(text)} characters"
    elif len(text) > LONGEST:
        wrong = "is too long"
    elif len(set(text)) < 5 or user.lower() in (text.lower(), text.lower()[::-1]):
        wrong = "is too easy to guess"
    if wrong:
        raise errors.SettingsError(
            f"The password {wrong}.",
            remedy=f"Take {SHORTEST} to {LONGEST} characters, at least five different ones, not the name.",
        )
    with _AT_ONCE:
        return _HASHER.hash(text)


def is_right(held: str | None, password: str) -> bool:
    """Whether `password` is the one of the hash; it takes the same time where there is none."""
    text = _normal(password)[: LONGEST + 1]
    try:
        with _AT_ONCE:
            _HASHER.verify(held or _nobodys(), text)
    except (VerificationError, InvalidHashError):
        return False
    return held is not None


def is_outdated(held: str) -> bool:
    """Whether a hash was made with parameters that are no longer ours."""
    return _HASHER.check_needs_rehash(held)


def rehash(password: str) -> str:
    """The hash of a password that was right, with the parameters of today."""
    with _AT_ONCE:
        return _HASHER.hash(_normal(password))


@cache
def _nobodys() -> str:
    return _HASHER.hash("the password of nobody")


def _normal(password: str) -> str:
    return unicodedata.normalize("NFC", password).encode("utf-8", "replace").decode()
