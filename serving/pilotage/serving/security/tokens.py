"""Bearer tokens from a file, which holds their hashes and never the tokens.

One line a token, `name:sha256[:rate[:roles]]`; a line that begins with `#` is
left out. Tokens are 256 random bits, so a plain hash of one tells nothing.
The file is read again when it changes; while it cannot be read, what was read last holds.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pilotage.core import errors, storage

logger = logging.getLogger(__name__)

VARIABLE = "PILOTAGE_AUTH_TOKENS_FILE"
_PREFIX = "plt_"
"""Lets scanners for leaked secrets recognise a token."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_HASH = re.compile(r"[0-9a-f]{64}")
_FORM = "`name:sha256[:rate[:roles]]`"


class Role(StrEnum):
    """What a caller may do."""

    PREDICT = "predict"
    """Ask models, send labels, read what is served."""
    METRICS = "metrics"
    """Read `/metrics`."""


@dataclass(frozen=True)
class Token:
    """One line of the file."""

    name: str
    digest: bytes
    """SHA-256 of the token."""
    rate: float | None = None
    """Requests a second; None stands for that of the settings."""
    roles: frozenset[Role] = frozenset({Role.PREDICT})


class TokenFile:
    """The tokens of a file as it is now."""

    def __init__(self, file: Path) -> None:
        """Raises SettingsError when the file cannot be read or a line is wrong."""
        self._file = file
        self._key = secrets.token_bytes(32)
        self._stamp = _stamp(file)
        self._tokens = self._read()

    def find(self, token: bytes) -> Token | None:
        """The line of `token`; how long that takes tells nothing of the hashes in the file."""
        digest = hashlib.sha256(token).digest()
        found = self._tokens.get(self._place(digest))
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None

    def changed(self) -> bool:
        """Read the file again if it changed; whether what holds is another now."""
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._tokens = self._read()
        except errors.SettingsError as error:
            logger.error("the tokens read before stay in force: %s", error)  # noqa: TRY400 - no traceback needed
            return False
        logger.info("%s changed: %d tokens are taken", self._file, len(self._tokens))
        return True

    def _place(self, digest: bytes) -> bytes:
        return hashlib.blake2b(digest, key=self._key, digest_size=16).digest()

    def _read(self) -> dict[bytes, Token]:
        return {self._place(token.digest): token for token in read(self._file)}


def read(file: Path) -> list[Token]:
    """The tokens of `file`.

    Raises:
        SettingsError: it cannot be read, a line is wrong, or two have one name.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(
            f"{VARIABLE}: `{file}` cannot be read: {getattr(error, 'strerror', None) or error}.",
            remedy="`pilotage tokens new NAME` makes it.",
        ) from error
    found = list(_lines(file, text))
    names = [token.name for token in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise errors.SettingsError(
            f"{VARIABLE}: `{file}` has more than one token named {', '.join(twice)}.",
            remedy="Give each its own name.",
        )
    return found


def add(file: Path, name: str, rate: float | None = None, roles: frozenset[Role] | None = None) -> str:
    """Make a token, append its line to `file` and return it; it is not kept anywhere.

    Raises:
        SettingsError: the name is taken or cannot be one, or the file is not of tokens.
    """
    known = read(file) if file.exists() else []
    if not _NAME.fullmatch(name) or name in {token.name for token in known}:
        problem = "has a token of this name already" if _NAME.fullmatch(name) else "cannot take it as a name"
        raise errors.SettingsError(
            f"Token `{name[:80]}`: `{file}` {problem}.",
            remedy="Use another: letters, digits, `.`, `_`, `@` and `-`, 63 at most.",
        )
    secret = _PREFIX + secrets.token_urlsafe(32)
    parts = [name, hashlib.sha256(secret.encode()).hexdigest()]
    if rate is not None or roles is not None:
        parts.append("" if rate is None else f"{rate:g}")
    if roles is not None:
        parts.append(",".join(sorted(roles)))
    before = file.read_bytes() if file.exists() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    storage.write_file(file, before + ":".join(parts).encode() + b"\n")
    file.chmod(0o600)
    return secret


def _lines(file: Path, text: str) -> Iterator[Token]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                yield _parse(line.strip())
            except ValueError as error:
                raise errors.SettingsError(
                    f"{VARIABLE}: line {number} of `{file}`: {error}, expected {_FORM}.",
                    remedy="`pilotage tokens new NAME` writes such lines.",
                ) from None


def _parse(line: str) -> Token:
    """Raises ValueError, whose text never repeats what may be a secret."""
    name, _, rest = line.partition(":")
    digest, _, rest = rest.partition(":")
    rate, _, roles = rest.partition(":")
    if not _NAME.fullmatch(name):
        raise ValueError("the name is not one")
    if not _HASH.fullmatch(digest.lower()):
        raise ValueError("the second part is not a SHA-256 in 64 hexadecimal digits")
    return Token(name, bytes.fromhex(digest), _rate(rate), _roles(roles))


def _rate(text: str) -> float | None:
    if not text:
        return None
    try:
        rate = float(text)
    except ValueError:
        raise ValueError("the rate is not a number") from None
    if not 0 <= rate < 1e9:
        raise ValueError("the rate is not between 0 (no limit) and 1e9 requests a second")
    return rate


def _roles(text: str) -> frozenset[Role]:
    if not text:
        return frozenset({Role.PREDICT})
    names = [part.strip() for part in text.split(",")]
    wrong = [name for name in names if name not in set(Role)]
    if wrong:
        raise ValueError(f"there is no role `{wrong[0][:30]}`, only {', '.join(Role)}")
    return frozenset(Role(name) for name in names)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - follows links as mounted secrets have them, and is cheap
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
