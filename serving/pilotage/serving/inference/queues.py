"""The line of prediction requests between the event loop and the one thread that predicts.

The thread takes what waits, up to a number of rows' worth of bytes, and has it
answered together: nothing waits for a batch to fill, yet under load the cost of
a call to the model is shared. Bodies and models are not known here.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from pilotage.serving import problems
from pilotage.serving.inference.planes import DataPlane, Reply, Request

MOST_TOGETHER = 64
"""Requests answered together."""
MOST_BYTES_TOGETHER = 256 * 1024
"""Bytes of the bodies answered together; a larger one is answered alone."""

_Waiting = tuple[Request, "asyncio.Future[Reply]"]


class Line:
    """Requests that wait for the predicting thread."""

    def __init__(self, plane: DataPlane, most_pending: int) -> None:
        self._plane = plane
        self._most_pending = most_pending
        self._pending = 0
        self._waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._busy = False
        self._thread = ThreadPoolExecutor(1, "predict")

    async def answer(self, request: Request) -> Reply:
        """The answer to `request`, which waits its turn.

        Raises:
            Problem: too many wait, or see `DataPlane.infer`.
            RequestError: a row cannot be taken.
        """
        if self._pending >= self._most_pending:
            raise problems.overloaded(self._pending)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._pending += 1
        try:
            with self._lock:
                self._waiting.append((request, future))
                begin, self._busy = not self._busy, True
            if begin:
                self._thread.submit(self._work, loop)
            return await future
        finally:
            self._pending -= 1

    def close(self) -> None:
        """Return when all that waits is answered."""
        self._thread.shutdown()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer, in the thread, until nothing waits."""
        while batch := self._take():
            try:
                outcomes = self._plane.infer_together([request for request, _ in batch])
            except BaseException as error:
                failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
                outcomes = [failure] * len(batch)
            loop.call_soon_threadsafe(_deliver, batch, outcomes)

    def _take(self) -> list[_Waiting]:
        """What is answered together next; empty, and the thread idle, when nothing waits."""
        with self._lock:
            batch: list[_Waiting] = []
            size = 0
            while self._waiting and len(batch) < MOST_TOGETHER:
                size += len(self._waiting[0][0].body)
                if batch and size > MOST_BYTES_TOGETHER:
                    break
                batch.append(self._waiting.popleft())
            self._busy = bool(batch)
            return batch


def _deliver(batch: list[_Waiting], outcomes: list[Reply | Exception]) -> None:
    """Give each request its outcome, on the event loop; those whose client left are passed over."""
    for (_, future), outcome in zip(batch, outcomes, strict=True):
        if future.done():
            continue
        if isinstance(outcome, StopIteration):  # which no future takes
            future.set_exception(RuntimeError(repr(outcome)))
        elif isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
