"""Server-sent events that cost next to nothing while nothing happens: no thread a viewer, few queries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from pilotage.console.access import doors
from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import run_files
from pilotage.console.operations.execution.run_files import LogPart

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_LOOK_SECONDS = 0.5
"""Between two looks at a log's size."""
_ASK_SECONDS = 5.0
"""Between two looks at the database for the end of a step whose log rests."""
_ALIVE_SECONDS = 15.0
"""After which a line is sent in any case, so that a connection that is gone is noticed."""

_WHO_SECONDS = 15.0
"""Between two looks whether whoever listens may still."""


def event(name: str, data: object, identity: str) -> bytes:
    """One event; its data is one line of JSON, whatever characters it holds."""
    return f"event: {name}\nid: {identity}\ndata: {json.dumps(data)}\n\n".encode()


async def follow_log(request: Request, desk: Desk, actor: Actor, first: LogPart) -> AsyncIterator[bytes]:
    """What a step wrote, from `first` on, until it ends, nobody listens, or whoever does no longer may."""
    part, size, rested, told = first, -1, 0.0, 0.0
    clock = asyncio.get_running_loop().time
    asked = clock()
    while not await request.is_disconnected():
        if clock() - asked >= _WHO_SECONDS:
            if not await run_in_threadpool(doors.is_still, request, actor):
                return
            asked = clock()
        if part.text:
            yield event("log", part.model_dump(mode="json"), str(part.next))
            told = 0.0
        if part.complete:
            yield event("end", {"run": part.run, "step": part.step}, str(part.next))
            return
        if not part.text:
            await asyncio.sleep(_LOOK_SECONDS)
            rested, told = rested + _LOOK_SECONDS, told + _LOOK_SECONDS
            if told >= _ALIVE_SECONDS:
                yield b": alive\n\n"
                told = 0.0
            grown = run_files.log_bytes(desk, part)
            if grown == size and rested < _ASK_SECONDS:
                continue
            size, rested = grown, 0.0
        part = await run_in_threadpool(run_files.read_log, desk, actor, part.run, part.step, offset=part.next)
