"""Asking a console over HTTP: its problems are our errors again, and what may be repeated is.

A POST has an idempotency key, so that a repeat after a lost answer changes
nothing twice. What commands make of answers is in the modules beside.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import httpx

from pilotage.core import errors, storage
from pilotage.core.settings import Settings, is_loopback

_PREFIX = "/api/v1"
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Between attempts; a request that may be repeated has one more than these."""
_PASSING = (502, 503, 504)
_PAGE = 200


class Remote:
    """One console elsewhere."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is asked yet.

        Raises:
            SettingsError: PILOTAGE_URL is none, or would send the token in the clear.
        """
        self.url = _checked(settings.url, settings.inside_hosts)
        headers = {"Accept": "application/json", "User-Agent": f"pilotage/{version('pilotage')}"}
        token = settings.token.get_secret_value()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.Client(
            base_url=self.url + _PREFIX, headers=headers, timeout=_TIMEOUT, follow_redirects=False
        )

    def close(self) -> None:
        """Nothing more is asked."""
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        """The document at `path`; what is None in `query` is left out.

        Raises:
            PilotageError: what the console says, or that it does not answer.
        """
        return self._ask("GET", path, query)

    def text(self, path: str, **query: Any) -> str:
        """What is at `path`, as text."""
        return self._send("GET", path, query, None).text

    def read(self, path: str) -> bytes:
        """What is at `path`, byte by byte."""
        return self._send("GET", path, {}, None).content

    def download(self, path: str, target: Path) -> None:
        """Write what is at `path` to a file, all or nothing, without holding it in memory."""
        answer = self._repeat(self._client.build_request("GET", path), stream=True)
        try:
            if answer.is_error:
                answer.read()
                _raise(answer)
            if answer.is_redirect:
                raise self._strange(answer)
            with storage.written(target) as stream:
                for piece in answer.iter_bytes():
                    stream.write(piece)
        except httpx.TransportError as error:
            raise errors.Unavailable(
                f"The console at {self.url} broke off: {error or type(error).__name__}.",
                remedy="Do it again; what the console has made is kept there.",
            ) from error
        finally:
            answer.close()

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Start or change something, once however often it is sent."""
        return self._ask("POST", path, {}, body or {})

    def send(self, path: str, data: bytes) -> Any:
        """Send a file, once however often it is sent."""
        return self._ask("POST", path, {}, data)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Let something be so."""
        return self._ask("PUT", path, {}, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something; what this leaves as it should be may be sent again."""
        return self._ask("PATCH", path, {}, body)

    def delete(self, path: str, **query: Any) -> Any:
        """Take something away."""
        return self._ask("DELETE", path, query)

    def items(self, path: str, most: int | None = None, **query: Any) -> Iterator[Any]:
        """The items of a list over all its pages, at most `most`."""
        cursor, left = None, most
        while left is None or left > 0:
            limit = _PAGE if left is None else min(left, _PAGE)
            listing = self.get(path, limit=limit, cursor=cursor, **query)
            yield from listing["items"]
            cursor = listing["next"]
            if cursor is None:
                return
            left = None if left is None else left - len(listing["items"])

    def _ask(
        self, method: str, path: str, query: Mapping[str, Any], body: Mapping[str, Any] | bytes | None = None
    ) -> Any:
        answer = self._send(method, path, query, body)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise self._strange(answer) from error

    def _send(
        self, method: str, path: str, query: Mapping[str, Any], body: Mapping[str, Any] | bytes | None
    ) -> httpx.Response:
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        request = self._client.build_request(
            method,
            path,
            params={name: value for name, value in query.items() if value is not None} or None,
            content=body if isinstance(body, bytes) else None,
            json=None if body is None or isinstance(body, bytes) else dict(body),
            headers=headers,
        )
        answer = self._repeat(request)
        if answer.is_error:
            _raise(answer)
        if answer.is_redirect:
            raise self._strange(answer)
        return answer

    def _repeat(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        """The first answer that is not a passing failure, or the last."""
        for wait in (*_WAITS_SECONDS, None):
            try:
                answer = self._client.send(request, stream=stream)
            except httpx.TransportError as error:
                if wait is None:
                    raise errors.Unavailable(
                        f"The console at {self.url} does not answer: {error or type(error).__name__}.",
                        remedy="Check PILOTAGE_URL, and that `pilotage up` runs there.",
                    ) from error
                time.sleep(wait)
                continue
            goes_on = answer.status_code == 409 and "retry-after" in answer.headers
            if wait is None or (answer.status_code not in _PASSING and not goes_on):
                return answer
            answer.close()
            time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _strange(self, answer: httpx.Response) -> errors.Unavailable:
        return errors.Unavailable(
            f"What answers at {self.url} is no console: {answer.status_code} without a document.",
            remedy="Set PILOTAGE_URL to the address of a console, without a path.",
        )


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="")


def require_nobody(who: str | None) -> None:
    """Do nothing if no `--who` was given, which a console elsewhere would have to believe.

    Raises:
        SettingsError: one was.
    """
    if who is not None:
        raise errors.SettingsError(
            f"`--who {who}`: the console knows who asks by the token.", remedy="Leave `--who` out."
        )


def _checked(url: str, inside: Collection[str]) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise errors.SettingsError(
            f"PILOTAGE_URL is `{url}`, which is no address of a console.",
            remedy="Set it to https://HOST, or unset it to work on this machine.",
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname) and parts.hostname not in inside:
        raise errors.SettingsError(
            f"PILOTAGE_URL is `{url}`: over http anyone on the way could read the token.",
            remedy="Use https; PILOTAGE_INSIDE_HOSTS names hosts of a cluster that may be asked over http.",
        )
    return url.rstrip("/")


def _raise(answer: httpx.Response) -> NoReturn:
    """Raise what a problem document says, as the console raised it."""
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {"detail": f"The console answered {answer.status_code} {answer.reason_phrase}."}
    kind = _KINDS.get(str(document.get("type", "")).rpartition(":")[2])
    if kind is None:
        kind = errors.InputError if answer.status_code < 500 else errors.Failure
    details = document.get("details")
    raise kind(
        str(document.get("detail") or document.get("title")),
        remedy=str(document.get("remedy") or ""),
        **({str(key): value for key, value in details.items()} if isinstance(details, dict) else {}),
    )


def _tree(kind: type[errors.PilotageError]) -> Iterator[type[errors.PilotageError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _tree(below)


_KINDS = {errors.slug_of(kind): kind for kind in _tree(errors.PilotageError)}
