"""The public keys that an issuer signs tokens with (JWKS), from a file or a URL.

What was fetched last stays in force while the issuer's server is out of order.
Fetching blocks: it happens in a thread, one at a time and no more often than
`REFETCH_SECONDS`, so that tokens of made-up keys cannot drive it. Tokens are
not known here.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from pilotage.core import errors

if TYPE_CHECKING:
    from jwt import PyJWK

logger = logging.getLogger(__name__)

VARIABLE = "PILOTAGE_AUTH_JWKS"
REFETCH_SECONDS = 10.0
"""Least time between two fetches."""
STALE_SECONDS = 300.0
"""Keys older than this are fetched again when a token is checked, so that a withdrawn one stops counting."""
TIMEOUT_SECONDS = 5.0
"""Of one fetch, however slowly it drips."""
_MOST_BYTES = 1024 * 1024
_KINDS = {"RSA", "EC", "OKP"}
"""Key types with a public half; a symmetric key in a public document is nobody's secret."""
_LEAST_RSA_BITS = 2048


class KeySet:
    """The keys of one source, by id."""

    def __init__(
        self, source: str, algorithms: Iterable[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises SettingsError: the source is none that may be used, or a file that holds no key."""
        self._algorithms = frozenset(algorithms)
        self._clock = clock
        self._lock = threading.Lock()
        self._tried_at: float | None = None
        self._keys: tuple[PyJWK, ...] = ()
        self.fetched_at: float | None = None
        """When the keys in force were fetched; None before the first success."""
        self._source = source
        self._remote = _is_remote(source)
        if not self._remote:
            try:
                self._take(self._download())
            except (OSError, ValueError) as error:
                raise errors.SettingsError(
                    f"{VARIABLE}: `{source}` holds no usable keys: {error}.",
                    remedy="Name a JSON Web Key Set of your issuer, a file or a URL.",
                ) from error

    def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key `kid` for `algorithm`; without an id, the only key that fits."""
        fitting = [
            key
            for key in self._keys
            if key.algorithm_name == algorithm and (kid is None or key.key_id == kid)
        ]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None

    def may_fetch(self) -> bool:
        """Whether the last attempt is long enough ago for another."""
        return self._tried_at is None or self._clock() - self._tried_at >= REFETCH_SECONDS

    def is_stale(self) -> bool:
        """Whether the keys should be fetched again, though they are still in force."""
        return self.fetched_at is None or self._clock() - self.fetched_at >= STALE_SECONDS

    def fetch(self) -> None:
        """Fetch the keys if that may be; blocks, never raises: what was there stays on failure."""
        with self._lock:
            if not self.may_fetch():
                return
            self._tried_at = self._clock()
            try:
                self._take(self._download())
            except (OSError, ValueError, HTTPException) as error:
                logger.warning("keys of %s cannot be fetched, what was there stays: %s", self._source, error)

    def _take(self, body: bytes) -> None:
        keys = tuple(self._read(body))
        if not keys:
            raise ValueError("no key in it fits the algorithms that are allowed")
        self._keys, self.fetched_at = keys, self._clock()

    def _read(self, body: bytes) -> Iterable[PyJWK]:
        document = orjson.loads(body)
        entries = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise ValueError("it is not a JSON object with a list `keys`")
        for entry in entries:
            if isinstance(entry, dict) and entry.get("kty") in _KINDS and entry.get("use", "sig") == "sig":
                yield from self._fitting(entry)

    def _fitting(self, entry: dict[str, Any]) -> Iterable[PyJWK]:
        """The entry once for each algorithm that it is for and that is allowed."""
        import jwt

        for algorithm in [entry["alg"]] if "alg" in entry else sorted(self._algorithms):
            if algorithm in self._algorithms:
                try:
                    key = jwt.PyJWK(entry, algorithm)
                except (jwt.PyJWTError, ValueError, TypeError, KeyError):
                    continue  # another kind of key than the algorithm's, or one that is broken
                if getattr(key.key, "key_size", _LEAST_RSA_BITS) >= _LEAST_RSA_BITS or key.key_type != "RSA":
                    yield key

    def _download(self) -> bytes:
        if not self._remote:
            return Path(self._source).read_bytes()
        request = urllib.request.Request(self._source, headers={"Accept": "application/json"})  # noqa: S310
        opener = urllib.request.build_opener(_NoRedirects)
        until = time.monotonic() + TIMEOUT_SECONDS
        parts: list[bytes] = []
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            while part := answer.read1(65536):
                parts.append(part)
                if sum(map(len, parts)) > _MOST_BYTES:
                    raise ValueError(f"it is larger than {_MOST_BYTES:,} bytes")
                if time.monotonic() > until:
                    raise TimeoutError(f"it took longer than {TIMEOUT_SECONDS:g} s")
        return b"".join(parts)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from the address in the settings and from no other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _is_remote(source: str) -> bool:
    """Whether `source` is a URL; raises SettingsError for one over which anybody could send keys."""
    if "://" not in source:
        return False
    parts = urlsplit(source)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return True
    raise errors.SettingsError(
        f"{VARIABLE}: `{parts.scheme}://{parts.hostname}…` is not taken: whoever is on the way could send"
        " keys of their own.",
        remedy="Use https, http on loopback, or a file.",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
