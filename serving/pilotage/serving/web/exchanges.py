"""One prediction request on its short way: what was read of it, who sent it, what became of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pilotage.serving.problems import Problem

if TYPE_CHECKING:
    from pilotage.serving.telemetry.traces import Span
    from pilotage.serving.web.connections import Connection
    from pilotage.serving.web.lanes import Route


class _Silent:
    """Stands for the event by which uvicorn wakes a cycle; an exchange sleeps nowhere."""

    def set(self) -> None:
        """Do nothing."""


_SILENT = _Silent()


class Exchange:
    """A prediction request and its answer: what uvicorn's protocol asks of a request's cycle, and no more."""

    __slots__ = (
        "asking",
        "body",
        "connection",
        "disconnected",
        "headers",
        "held",
        "identity",
        "keep_alive",
        "message_event",
        "principal",
        "refusal",
        "response_complete",
        "route",
        "span",
        "started",
        "whole",
    )

    def __init__(self, connection: Connection, route: Route, started: float, keep_alive: bool) -> None:
        self.connection = connection
        self.route = route
        self.started = started
        self.keep_alive = keep_alive
        self.headers = connection.headers
        self.body: bytes | bytearray = b""
        """What was read of it and not handed over."""
        self.held = 0
        """Bytes of the body that count as held for the request, from their coming to its answer."""
        self.refusal: Problem | None = None
        """Why the body is not looked at."""
        self.identity = b""
        """Of the request, in logs and answers."""
        self.principal: str | None = None
        self.asking: asyncio.Task[None] | None = None
        """Finds out who sends the request, where that takes more than a look."""
        self.whole = False
        """Whether the body was read to its end."""
        self.span: Span | None = None
        """Of the request's trace, where it is traced."""
        self.disconnected = False
        self.response_complete = False
        self.message_event = _SILENT

    def keep(self, part: bytes) -> None:
        """Add a part of the body; in one piece, because small parts take many times their size."""
        if not self.body:
            self.body = part
            return
        if isinstance(self.body, bytes):
            self.body = bytearray(self.body)
        self.body += part

    def hand_over(self) -> bytes:
        """All of the body, which the connection, where it stays idle, does not hold any longer."""
        body, self.body = self.body, b""
        return bytes(body)
