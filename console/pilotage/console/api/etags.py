"""Entity tags over HTTP: 304 where the caller has a document already, If-Match where one is to be changed."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import Header
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.console.operations.tags import listed, tag_of

IfMatchParameter = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=400,
        description="`ETag` of what is to be changed, as it was read; 412 where it is another by now.",
    ),
]


class ETags:
    """Gives JSON documents that are looked at their tag, and does not send again what the caller has."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        looked_at = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not looked_at or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, Headers(scope=scope).get("if-none-match", ""))
        await self._app(scope, receive, answer.take)


class _Answer:
    """One answer on its way: JSON is held until it is whole, the rest passes."""

    def __init__(self, send: Send, known: str) -> None:
        self._send = send
        self._known = known
        self._start: Message | None = None
        self._body = b""

    async def take(self, message: Message) -> None:
        """Pass a message on, or hold it."""
        if message["type"] == "http.response.start" and _is_document(message):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._end(self._start)

    async def _end(self, start: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        if "etag" not in headers:
            headers["etag"] = tag_of(json.loads(self._body))
        headers.setdefault("cache-control", "private, no-cache")
        if self._known.strip() == "*" or headers["etag"] in listed(self._known):
            del headers["content-length"], headers["content-type"]
            start, self._body = {**start, "status": 304}, b""
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": self._body})


def _is_document(start: Message) -> bool:
    """Whether it is one JSON document, not a stream of unknown length."""
    headers = Headers(raw=start["headers"])
    is_json = headers.get("content-type", "").startswith("application/json")
    return start["status"] == 200 and is_json and "content-length" in headers
