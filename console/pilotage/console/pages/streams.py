"""Live pages: what changed is read once a process and topic, and sent to everybody who looks at it.

The database is the only thing that processes share, so any of them answers any
viewer. One task asks it, twice a second and at next to no cost, whether
anything was written; only then are the topics that somebody looks at compared,
and only what differs is rendered, once, however many look. Nothing is kept of
a viewer but how far they have come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from fastapi import Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from pilotage.console.access import doors
from pilotage.console.pages import events, pulses
from pilotage.console.pages.pulses import Pulse
from pilotage.console.pages.tails import Tail

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
BEAT_SECONDS = 15.0
"""At least as often it is asked whether a viewer still may look."""
LIFETIME_SECONDS = 300.0
"""A stream ends then and the browser asks for the next."""
_ANYWAY_SECONDS = 15.0
"""Topics are compared this often also when nothing was written: some facts change as time passes."""


@dataclass(frozen=True)
class Reading:
    """What a topic is now."""

    parts: Mapping[str, str]
    """HTML by the part's name."""
    logs: Mapping[str, Path] = field(default_factory=dict)
    """Files that grow, by the part they are appended to."""
    ended: bool = False
    """Whether nothing will change any more."""

    @property
    def marks(self) -> dict[str, str]:
        """Digests of the parts."""
        return {name: events.mark_of(html) for name, html in self.parts.items()}


class Source(Protocol):
    """What people look at; its methods are called in a thread."""

    @property
    def key(self) -> Hashable:
        """Equal for viewers who see the same."""

    def fingerprint(self) -> Hashable:
        """Differs when `read` would; cheap."""

    def read(self) -> Reading:
        """What is to be seen now."""


Allowed = Callable[[], Awaitable[bool]]
"""Whether a viewer still may look."""


class Topic:
    """A source that somebody looks at, as it was read last."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.viewers = 0
        self.parts: Mapping[str, str] = {}
        self.marks: dict[str, str] = {}
        self.tails: dict[str, Tail] = {}
        self.ended = False
        self.moved = asyncio.Event()
        self._fingerprint: Hashable = object()

    @property
    def is_fresh(self) -> bool:
        """Whether it was never read."""
        return not self.marks

    def differing(self) -> tuple[Hashable, Reading] | None:
        """What the source is now, if its fingerprint says that it differs; called in a thread."""
        found = self.source.fingerprint()
        return None if found == self._fingerprint else (found, self.source.read())

    def take(self, fingerprint: Hashable, reading: Reading) -> bool:
        """Keep what was read; whether anything is to be told."""
        before = self.marks, self.ended
        for name, path in reading.logs.items():
            self.tails.setdefault(name, Tail(path))
        self._fingerprint = fingerprint
        self.parts, self.marks, self.ended = reading.parts, reading.marks, reading.ended
        return before != (self.marks, self.ended)

    def follow(self) -> bool:
        """Look for what was appended to the logs; whether anything was."""
        looked = [tail.look() for tail in self.tails.values()]
        return any(looked)

    def wake(self) -> None:
        """Let everybody who waits go on."""
        self.moved.set()
        self.moved = asyncio.Event()

    def news(self, known: dict[str, str]) -> list[bytes]:
        """Events for a viewer who knows so much; `known` is brought up to date."""
        found = []
        for name, mark in self.marks.items():
            if known.get(name) != mark:
                known[name] = mark
                found.append(events.encode(name, self.parts[name], events.position_of(known)))
        for name, tail in self.tails.items():
            begin = int(known[name]) if known.get(name, "").isdecimal() else 0
            content, end = tail.since(begin, whole=not self.ended)
            if content:
                known[name] = str(end)
                found.append(events.encode(name, content, events.position_of(known)))
        return found


class Hub:
    """All topics of one process, and the task that asks the database; the task lives while somebody looks."""

    def __init__(self, pulse: Pulse, poll_seconds: float = POLL_SECONDS) -> None:
        self._pulse = pulse
        self._poll_seconds = poll_seconds
        self._topics: dict[Hashable, Topic] = {}
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self.closing = False

    @property
    def viewers(self) -> int:
        """How many look."""
        return sum(topic.viewers for topic in self._topics.values())

    def close(self) -> None:
        """End every stream, for the process is about to stop; browsers connect again elsewhere."""
        self.closing = True
        for topic in self._topics.values():
            topic.wake()

    async def follow(
        self, source: Source, position: str, allowed: Allowed | None = None
    ) -> AsyncIterator[bytes]:
        """What a viewer at `position` is sent, until they leave, or are no longer `allowed` to look."""
        topic = self._topics.setdefault(source.key, Topic(source))
        topic.viewers += 1
        self._wanted.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            async for event in self._tell(topic, events.marks_of(position), allowed):
                yield event
        finally:
            topic.viewers -= 1
            if not topic.viewers and self._topics.get(source.key) is topic:
                del self._topics[source.key]

    async def _tell(
        self, topic: Topic, known: dict[str, str], allowed: Allowed | None
    ) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        asked, end = clock(), clock() + LIFETIME_SECONDS
        yield events.RETRY
        while not self.closing and clock() < end:
            if allowed is not None and clock() - asked >= BEAT_SECONDS:
                if not await allowed():
                    return
                asked = clock()
            moved = topic.moved
            news = topic.news(known)
            for event in news:
                yield event
            if news:
                continue
            if topic.ended:
                yield events.END
                return
            try:
                await asyncio.wait_for(moved.wait(), BEAT_SECONDS)
            except TimeoutError:
                yield events.BEAT

    async def _run(self) -> None:
        try:
            await self._watch()
        finally:
            self._pulse.close()

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        seen: object = None
        compared = 0.0
        while self._topics and not self.closing:
            try:
                beat = await self._pulse.beat()
                everything = beat != seen or clock() - compared > _ANYWAY_SECONDS
                if everything:
                    seen, compared = beat, clock()
                looked = [
                    await self._look_or_fail(topic, everything) for topic in list(self._topics.values())
                ]
            except Exception:
                logger.exception("live pages could not be brought up to date; trying again")
                looked = [False]
            if not all(looked):
                seen = None
                await asyncio.sleep(4 * self._poll_seconds)
            self._wanted.clear()
            try:
                await asyncio.wait_for(self._wanted.wait(), self._poll_seconds)
            except TimeoutError:
                continue

    async def _look_or_fail(self, topic: Topic, everything: bool) -> bool:
        """Look at one topic; whether that could be done. Others do not wait for it."""
        try:
            await self._look(topic, everything)
        except Exception:
            logger.exception("%s could not be brought up to date; trying again", topic.source.key)
            return False
        return True

    async def _look(self, topic: Topic, everything: bool) -> None:
        if topic.ended:
            return
        moved = False
        if everything or topic.is_fresh:
            found = await asyncio.to_thread(topic.differing)
            moved = found is not None and topic.take(*found)
        if topic.tails:
            moved = topic.follow() or moved
        if moved:
            topic.wake()


def respond(request: Request, source: Source, after: str = "") -> StreamingResponse:
    """The stream of `source`, from where the viewer has come to."""
    hub: Hub = request.app.state.streams
    allowed = partial(run_in_threadpool, doors.is_still, request, request.state.actor)
    position = request.headers.get("last-event-id", "") or after
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        hub.follow(source, position, allowed), media_type=events.MEDIA_TYPE, headers=headers
    )


def of(engine: Engine) -> Hub:
    """A hub on a database."""
    return Hub(pulses.of(engine))
