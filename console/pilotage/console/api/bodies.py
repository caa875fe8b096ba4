"""Requests whose body is too long are refused before it is read.

Few take files, and only those may be longer than documents are.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.console.api import problems

MOST_BYTES = 1 << 20
_FILES = (
    (re.compile(r"(?:/api/v1/adoptions|/adopt)"), 17 << 20),
    (re.compile(r"(?:/api/v1/pilots/[^/]+/tables|/pilots/[^/]+/scaling/score)"), 65 << 20),
)
"""Paths that take files, and how long a body with one may be: the file's own limit and what surrounds it."""


class BodyLimit:
    """Answers 413 to what says, or turns out, to be longer than its path takes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = most_of(scope["path"]) if scope["method"] == "POST" else MOST_BYTES
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > most:
            await problems.response_to(_too_long(most))(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise _too_long(most)
            return message

        await self._app(scope, counted, send)


def most_of(path: str) -> int:
    """Bytes that a body sent to `path` may have."""
    return next((most for known, most in _FILES if known.fullmatch(path)), MOST_BYTES)


def _too_long(most: int) -> HTTPException:
    return HTTPException(413, f"The body is longer than {most} bytes.")
