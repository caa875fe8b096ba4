"""Reading requests' bodies off the wire: one no further than its limit, and all no further than memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from pilotage.serving import problems
from pilotage.serving.limits import Limits


class Intake:
    """Reads bodies, and knows how many bytes are held for requests that are not answered yet."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, held until the block ends.

        Raises:
            Problem: it is larger than `Limits.body_bytes`, all together would be larger than
                `Limits.held_bytes`, or the client left before its end.
        """
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in self._chunks(request):
                size += len(chunk)
                self.held += len(chunk)
                if size > self._limits.body_bytes:
                    raise problems.too_large(self._limits.body_bytes)
                if self.held > self._limits.held_bytes:
                    raise problems.full()
                chunks.append(chunk)
            yield b"".join(chunks)
        finally:
            self.held -= size

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limits.body_bytes:
            raise problems.too_large(self._limits.body_bytes)
        try:
            async for chunk in request.stream():
                yield chunk
        except ClientDisconnect:
            raise problems.malformed("The client left before the end of the body.") from None
