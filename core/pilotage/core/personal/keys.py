"""The secret that personal data is hashed with: taken from the settings, and no weak one.

Who has the secret can try values until a hash fits, so it is kept like a password; who changes it
cannot join what was hashed before. It is never logged or stored: `mark` tells whether it is the same.
"""

from __future__ import annotations

import hashlib
import hmac

from pilotage.core import errors
from pilotage.core.settings import Settings

VARIABLE = "PILOTAGE_PERSONAL_KEY"
LEAST_LENGTH = 16
_USUAL = (
    "changeme",
    "change-me",
    "change_me",
    "secret",
    "password",
    "default",
    "example",
    "pilotage",
    "test",
    "key",
)


def secret(settings: Settings) -> bytes:
    """The installation's secret for personal data.

    Raises:
        SettingsError: there is none, or it is one that anybody would guess.
    """
    given = settings.personal_key.get_secret_value()
    if not given:
        raise errors.SettingsError(
            f"`data.personal` hashes values and {VARIABLE} is not set.",
            remedy=f"Set {VARIABLE} to a secret of at least {LEAST_LENGTH} characters, such as what "
            "`python -c 'import secrets; print(secrets.token_hex(32))'` prints, and keep it.",
        )
    rest = given.lower()
    for word in _USUAL:
        rest = rest.replace(word, "")
    if len(given) < LEAST_LENGTH or len(set(given)) < 6 or len(set(rest)) < 4:
        raise errors.SettingsError(
            f"{VARIABLE} is too easy to guess, so its hashes would hide nobody.",
            remedy=f"Take at least {LEAST_LENGTH} characters at random, such as what "
            "`python -c 'import secrets; print(secrets.token_hex(32))'` prints.",
        )
    return given.encode()


def digest(key: bytes, text: str) -> str:
    """The keyed hash (HMAC-SHA-256, 128 bits of it) that stands for `text`; the same wherever it stands."""
    return "h" + hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]


def mark(key: bytes) -> str:
    """What tells one secret from another without telling it."""
    return hmac.new(key, b"pilotage: which key", hashlib.sha256).hexdigest()[:16]
