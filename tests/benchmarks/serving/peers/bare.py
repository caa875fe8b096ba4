"""The limit: an application that parses a prediction request and answers in the same form, without a model.

No routes, no checks of the rows, no framework: what is left is the HTTP server and JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

Message = MutableMapping[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer every request with as many probabilities as it has rows."""
    if scope["type"] != "http":
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    count = len(orjson.loads(body)["rows"])
    answer = orjson.dumps(
        {
            "model": "flight-delay",
            "version": 1,
            "ids": None,
            "predictions": [False] * count,
            "probabilities": [[0.75, 0.25]] * count,
            "classes": [False, True],
        }
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
