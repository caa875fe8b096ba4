"""Requests that are sent again: `Idempotency-Key` on a POST, and its answer instead of a second change.

The key is taken before the request is carried out, by whoever sends it.
Answers are kept for a day where something was done; what was refused changed
nothing and is simply tried again. A process that dies in between leaves the
key taken for some minutes, and then `pipelines.repeats` tells whether the
change was made.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import Request
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.console.api import problems
from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import repeats
from pilotage.pipelines.journals.repeats import Key

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_KEPT = timedelta(days=1)
_TAKEN = timedelta(minutes=5)
"""How long a key is taken by a request that does not end; none takes as long."""
_KEPT_HEADERS = ("content-type", "location", "etag")
_LONGEST = 128
_SALT_BYTES, _DIGEST_BYTES = 8, 24


@dataclass(frozen=True)
class Kept:
    """The answer to an earlier request."""

    status: int
    headers: Mapping[str, str]
    body: str


class Replays:
    """Carries out each POST that has a key once."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        text = request.headers.get(HEADER)
        if text is None:
            await self._app(scope, receive, send)
            return
        try:
            key, kept = await _take(request, text)
        except (errors.PilotageError, HTTPException) as error:
            await problems.response_to(error)(scope, receive, send)
            return
        if kept is not None:
            headers = {**kept.headers, REPLAYED: "true"}
            await Response(kept.body, kept.status, headers)(scope, receive, send)
            return
        engine: Engine = request.app.state.desk.engine
        await _carry_out(self._app, scope, await request.body(), send, engine, key)


async def _take(request: Request, text: str) -> tuple[Key, Kept | None]:
    """The key, taken; or the answer that is kept under it.

    Raises:
        Unauthenticated: nobody known sends the request.
        RequestError: it is no key, or is that of another request.
        Conflict: the first request goes on still, or its answer is lost.
    """
    if not 1 <= len(text) <= _LONGEST or not text.isascii() or not text.isprintable():
        raise errors.RequestError(
            f"`{HEADER}` is not 1 to {_LONGEST} printable ASCII characters.",
            remedy="Send a UUID, for example.",
        )
    actor = await run_in_threadpool(request.app.state.authenticate, request)
    body = await request.body()
    said = "\n".join((request.method, request.url.path, request.url.query))
    content = said.encode() + b"\n" + body
    key = Key(actor.name if actor.token is None else f"token {actor.token}", text)
    return key, await run_in_threadpool(_insert, request.app.state.desk.engine, key, content)


def _insert(engine: Engine, key: Key, content: bytes) -> Kept | None:
    """Take the key; the kept answer where there is one."""
    table, now = tables.idempotency_keys, tables.now()
    digest = _digest(content, secrets.token_hex(_SALT_BYTES))
    mine = (table.c.who == key.who, table.c.key == key.key)
    row = {"who": key.who, "key": key.key, "request": digest, "created_at": now}
    try:
        with engine.begin() as connection:
            connection.execute(delete(table).where(table.c.created_at < now - _KEPT))
            connection.execute(insert(table), row)
        return None
    except IntegrityError:
        pass
    with engine.begin() as connection:
        held = connection.execute(select(table).where(*mine)).first()
        if held is None:
            raise _goes_on()
        if held.request != _digest(content, held.request[: 2 * _SALT_BYTES]):
            raise errors.RequestError(
                f"`{HEADER}: {key.key}` was sent with another request.",
                remedy="Send each request with its own.",
            )
        if held.status is not None:
            return _kept(held)
        if held.created_at > now - _TAKEN:
            raise _goes_on()
        if held.carried_out_at is not None:
            raise errors.Conflict(
                "This request was carried out, but the console ended before it answered.",
                remedy="Look at what it changed; repeat it with a new key if it has to be done again.",
            )
        again = update(table).where(*mine, table.c.created_at == held.created_at, table.c.status.is_(None))
        if connection.execute(again, {"created_at": now}).rowcount != 1:
            raise _goes_on()
    return None


def _digest(content: bytes, salt: str) -> str:
    """A salt and a slow digest: a request may hold a password, which what is kept must not give away."""
    slow = hashlib.scrypt(content, salt=bytes.fromhex(salt), n=2**13, r=8, p=1, dklen=_DIGEST_BYTES)
    return salt + slow.hex()


def _kept(held: Any) -> Kept:
    if held.body is None:
        raise errors.Conflict(
            "This request was carried out, and its answer, which holds a secret, is not kept.",
            remedy="Revoke what it made, and make another with a new key.",
        )
    return Kept(held.status, held.headers, held.body)


def _goes_on() -> errors.Conflict:
    return errors.Conflict(
        "The same request is being carried out.", remedy="Repeat it in a second.", retry_after_seconds=1
    )


async def _carry_out(app: ASGIApp, scope: Scope, body: bytes, send: Send, engine: Engine, key: Key) -> None:
    """Carry the request out; its answer is kept before it is sent."""
    start: Message = {}
    parts: list[bytes] = []
    unread = True

    async def receive() -> Message:
        nonlocal unread
        message = {"type": "http.request", "body": body} if unread else {"type": "http.disconnect"}
        unread = False
        return message

    async def take(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    try:
        with repeats.carrying_out(key):
            await app(scope, receive, take)
    except BaseException:
        await run_in_threadpool(_release, engine, key)
        raise
    text = b"".join(parts)
    await run_in_threadpool(_settle, engine, key, start, text)
    await send(start)
    await send({"type": "http.response.body", "body": text})


def _settle(engine: Engine, key: Key, start: Message, body: bytes) -> None:
    if start["status"] >= 400:
        _release(engine, key)
        return
    headers = Headers(raw=start["headers"])
    kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
    secret = "no-store" in headers.get("cache-control", "")
    values = {"status": start["status"], "headers": kept}
    values["body"] = None if secret else body.decode()
    table = tables.idempotency_keys
    with engine.begin() as connection:
        connection.execute(update(table).where(table.c.who == key.who, table.c.key == key.key), values)


def _release(engine: Engine, key: Key) -> None:
    """Let the key be taken again, unless something was changed under it."""
    table = tables.idempotency_keys
    with engine.begin() as connection:
        connection.execute(
            delete(table).where(
                table.c.who == key.who, table.c.key == key.key, table.c.carried_out_at.is_(None)
            )
        )
