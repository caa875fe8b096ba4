"""Asks a forge's REST API: JSON there and back, and its refusals as our errors.

What is safe to repeat is repeated; what is not is looked up again by the caller. The token goes into a
header and nowhere else, and to no other host than the API's.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.releases import credentials

MOST_BYTES = 10_000_000
MOST_TRIES = 4
LONGEST_WAIT_SECONDS = 10.0
"""Beyond it nobody waits for a rate limit to end; the caller is told how long it is."""


class Taken(Exception):
    """What was to be made is there already."""


class Client:
    """One forge's API."""

    def __init__(self, settings: Settings, root: str, name: str, headers: Mapping[str, str]) -> None:
        self._root = root.rstrip("/")
        self._name = name
        self._headers = {"User-Agent": "pilotage", "Content-Type": "application/json", **headers}
        self._pool = credentials.pool(settings, root)

    def get(self, path: str, query: Mapping[str, str]) -> Any:
        """The answer to a question.

        Raises:
            SettingsError: the token or the repository is wrong.
            LimitReached: too many requests; `details["seconds"]` says how long to wait.
            Unavailable: it does not answer, also when asked again.
        """
        return self._ask("GET", f"{path}?{urlencode(query)}", None)

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> Any:
        """The answer to a change; asked once more only where it was surely not carried out.

        Raises:
            Taken: the forge says that it is there.
            Conflict: it does not want it.
            SettingsError, LimitReached, Unavailable: see `get`.
        """
        return self._ask(method, path, json.dumps(content).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        for attempt in range(1, MOST_TRIES + 1):
            last = attempt == MOST_TRIES
            try:
                answer = self._pool.request(
                    method,
                    self._root + path,
                    body=body,
                    headers=self._headers,
                    redirect=False,
                    preload_content=False,
                )
                data = answer.read(MOST_BYTES)
                answer.release_conn()
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if last or body is not None:
                    raise self._silent(type(error).__name__) from error
                _rest(attempt)
                continue
            wait = _limited(answer)
            if wait is not None and (last or wait > LONGEST_WAIT_SECONDS):
                raise self._too_many(wait)
            if wait is not None:
                time.sleep(wait)
            elif answer.status >= 500 and not last and body is None:
                _rest(attempt)
            else:
                return self._judge(answer.status, data)
        raise self._silent("no answer")

    def _judge(self, status: int, data: bytes) -> Any:
        if 200 <= status < 300:
            try:
                return json.loads(data or b"null")
            except ValueError as error:
                raise self._silent("an answer that is no JSON") from error
        told = _told(data)
        if status in (409, 422) and "already exists" in told.lower():
            raise Taken
        if status in (401, 403):
            raise errors.SettingsError(
                f"{self._name} does not let us open requests ({status}): {told}.",
                remedy="The token in PILOTAGE_FORGE_TOKEN_FILE needs to write requests of this repository.",
            )
        if status == 404:
            raise errors.SettingsError(
                f"{self._name} at `{self._host}` knows no such repository, or not for this token.",
                remedy="Correct PILOTAGE_RELEASE_TO, PILOTAGE_FORGE_URL or the token.",
            )
        if status >= 500 or status < 400:
            raise self._silent(f"status {status}")
        raise errors.Conflict(f"{self._name} does not take the request ({status}): {told}.")

    @property
    def _host(self) -> str:
        return urlsplit(self._root).netloc

    def _silent(self, what: str) -> errors.Unavailable:
        return errors.Unavailable(
            f"{self._name} at `{self._host}` did not answer as it should: {what}.",
            remedy="The branch is pushed; try again for the request.",
        )

    def _too_many(self, seconds: float) -> errors.LimitReached:
        return errors.LimitReached(
            f"{self._name} at `{self._host}` takes no more requests for {seconds:.0f} s.",
            remedy="The branch is pushed; try again then for the request.",
            seconds=seconds,
        )


def _limited(answer: urllib3.BaseHTTPResponse) -> float | None:
    """Seconds that the forge wants to be left alone; None when it does not say so."""
    spent = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    if answer.status != 429 and not (answer.status == 403 and spent):
        return None
    after, reset = answer.headers.get("retry-after", ""), answer.headers.get("x-ratelimit-reset", "")
    if after.isdecimal():
        return float(after)
    return max(0.0, float(reset) - time.time()) if reset.isdecimal() else 60.0


def _told(data: bytes) -> str:
    """What a forge says is wrong, on one line."""
    try:
        found = json.loads(data)
    except ValueError:
        return "it does not say why"
    words = found.get("message") or found.get("error") or "" if isinstance(found, dict) else ""
    more = found.get("errors") if isinstance(found, dict) else None
    text = f"{words if isinstance(words, str) else json.dumps(words)} {json.dumps(more) if more else ''}"
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:300].rstrip(".")


def _rest(attempt: int) -> None:
    time.sleep(random.uniform(0, 0.2 * 2.0**attempt))  # noqa: S311 - no secret
