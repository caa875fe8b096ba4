"""What a document is now, in a few letters: 304 where the caller has it already, 412 where it has changed.

A tag is that of the document, not of its bytes, so that an operation can
compare it inside the transaction of a change.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.core import errors

IfMatchParameter = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=400,
        description="`ETag` of what is to be changed, as it was read; 412 where it is another by now.",
    ),
]


def tag_of(document: Any) -> str:
    """The strong tag of a JSON document, or of a model that is sent as one."""
    if isinstance(document, BaseModel):
        document = document.model_dump(mode="json", by_alias=True)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def require_same(expected: str | None, document: Any) -> None:
    """Do nothing if `expected`, an If-Match header, is not given or names `document` as it is now.

    Raises:
        Outdated: it names another state of it.
    """
    if expected is None or expected.strip() == "*" or tag_of(document) in _listed(expected):
        return
    raise errors.Outdated(
        "This has changed since you read it.", remedy="Read it again, and repeat what still has to be done."
    )


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
        if self._known.strip() == "*" or headers["etag"] in _listed(self._known):
            del headers["content-length"], headers["content-type"]
            start, self._body = {**start, "status": 304}, b""
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": self._body})


def _is_document(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return start["status"] == 200 and headers.get("content-type", "").startswith("application/json")


def _listed(tags: str) -> list[str]:
    """Tags of a header; If-None-Match compares them weakly."""
    return [tag.strip().removeprefix("W/") for tag in tags.split(",")]
