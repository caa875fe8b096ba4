"""Requests whose body is too long are refused before it is read."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.console.api import problems

MOST_BYTES = 1 << 20


class BodyLimit:
    """Answers 413 to what says, or turns out, to be longer than a mebibyte."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > MOST_BYTES:
            await problems.response_to(_too_long())(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BYTES:
                raise _too_long()
            return message

        await self._app(scope, counted, send)


def _too_long() -> HTTPException:
    return HTTPException(413, f"The body is longer than {MOST_BYTES} bytes.")
