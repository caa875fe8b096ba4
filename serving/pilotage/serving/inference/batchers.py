"""Adaptive micro-batching: which requests are answered together, when, and in which thread.

What is read while the event loop looks around its sockets once is answered by one
call of the model, so an idle server adds no wait. While requests keep coming the
loop looks again, at most for as long as one call costs by what was learned
(`costs`): waiting longer could not pay. A batch takes no more rows than the model
answers in a small part of the pilot's p99 target.

Three lanes keep requests from stalling each other: batches that take less than
`INLINE_SECONDS` are answered on the event loop, where handing over to a thread would
cost more than the work; those of a slow model by a thread; and large requests by
another thread, in slices, so that neither they nor the small ones wait for each other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import partial

from pilotage.core import errors
from pilotage.serving import problems
from pilotage.serving.inference import reports
from pilotage.serving.inference.admissions import Admission
from pilotage.serving.inference.costs import Costs
from pilotage.serving.inference.planes import DataPlane, Outcome, Reply
from pilotage.serving.inference.works import Request, Work
from pilotage.serving.problems import Problem
from pilotage.serving.telemetry.meters import Meters

logger = logging.getLogger(__name__)

INLINE_SECONDS = 0.002
"""A batch that is expected to take longer is answered by a thread."""
LARGE_BYTES = 128 * 1024
"""A body beyond this is read by the thread for large requests."""
LARGE_PENDING = 16
"""Large requests in progress or waiting; more are turned away."""
SLICE_ROWS = 2048
"""Rows of a large request that one call of the model answers."""
MOST_ROWS = 4096
"""Rows of a batch."""
_TARGET_SHARE = 0.25
"""Of the p99 target that a batch may take."""

Done = Callable[[Outcome], None]
_Waiting = tuple[Work, Done, float]
"""A work, who waits for it, and when it came."""


class Release(StrEnum):
    """Why a batch was answered when it was."""

    IDLE = "idle"
    """Nothing else came."""
    GATHERED = "gathered"
    """Requests still came, but more waiting could not pay."""
    FULL = "full"
    """It had all the rows that fit the target."""
    TURN = "turn"
    """The batch before it was done."""
    ALONE = "alone"
    """A large request."""


class Batcher:
    """Answers the requests of one pilot. All methods are called on the event loop."""

    def __init__(self, plane: DataPlane, meters: Meters, p99_seconds: float, most_pending: int) -> None:
        self.costs = Costs()
        self.admission = Admission(self.costs, p99_seconds, most_pending)
        self._plane = plane
        self._meters = meters
        self._budget = _TARGET_SHARE * p99_seconds
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._seen = 0
        self._began = 0.0
        self._scheduled = False
        self._busy = False
        self._large = 0
        self._thread = ThreadPoolExecutor(1, "predict")
        self._large_thread = ThreadPoolExecutor(1, "predict-large")

    @property
    def depth(self) -> int:
        """Requests that wait to be answered, or are being answered."""
        return self.admission.requests + self._large

    async def answer(self, request: Request) -> Reply:
        """The answer to `request`, which waits its turn.

        Raises:
            Problem: too many wait, its deadline passed, or see `DataPlane.read`.
            RequestError: a row cannot be taken.
        """
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.submit(request, partial(_settle, future))
        try:
            return await future
        finally:
            del future  # an error's traceback has this frame: a cycle that would keep the body for long

    def submit(self, request: Request, done: Done) -> None:
        """Take a request; `done` is called on the event loop with its answer or error."""
        if not self.admission.admits():
            self._meters.shed("overloaded")
            done(problems.overloaded())
            return
        if isinstance(request.body, bytes) and len(request.body) > LARGE_BYTES:
            self._submit_large(request, done)
            return
        try:
            work = self._plane.read(request)
        except Exception as error:
            done(error)
            return
        if work.rows > 1 and work.rows * self.costs.each > INLINE_SECONDS:
            self._submit_large(work, done)
            return
        now = time.perf_counter()
        if request.span is not None:
            request.span.part("read", request.started, now)
        self.admission.requests += 1
        self._waiting.append((work, done, now))
        self._rows += work.rows
        if not self._scheduled and not self._busy:
            self._scheduled = True
            self._seen = 0
            self._began = now
            asyncio.get_running_loop().call_soon(self._look)

    def close(self) -> None:
        """Return when what the threads have begun is answered."""
        self._thread.shutdown()
        self._large_thread.shutdown()

    # -- batches ------------------------------------------------------------

    def _look(self) -> None:
        """Answer what waits, unless more keeps coming and waiting for it can pay."""
        self._scheduled = False
        waiting = len(self._waiting)
        if not waiting:
            return
        most = self._most_rows()
        if self._rows >= most:
            self._release(Release.FULL, most)
            return
        came = waiting - self._seen
        gathering = came > 0 and self._seen > 0
        if came > 1 or gathering:
            if time.perf_counter() - self._began < min(self.costs.fixed, self._budget):
                self._seen = waiting
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._look)
                return
            self._release(Release.GATHERED, most)
            return
        self._release(Release.IDLE, most)

    def _most_rows(self) -> int:
        inline = self.costs.fixed < INLINE_SECONDS
        return self.costs.rows_within(
            min(INLINE_SECONDS, self._budget) if inline else self._budget, MOST_ROWS
        )

    def _release(self, reason: Release, most: int) -> None:
        taken = self._take(most)
        if taken:
            rows = sum(work.rows for work, _, _ in taken)
            if self.costs.seconds(rows) <= INLINE_SECONDS:
                self._finish(taken, self._timed(taken, reason))
            else:
                self._busy = True
                loop = asyncio.get_running_loop()
                self._thread.submit(self._work, loop, taken, reason)
        if self._waiting and not self._busy and not self._scheduled:
            self._scheduled = True
            self._seen = len(self._waiting)
            self._began = time.perf_counter()
            asyncio.get_running_loop().call_soon(self._look)

    def _take(self, most: int) -> list[_Waiting]:
        """The next batch: what waits, up to `most` rows, without what nobody waits for any more."""
        taken: list[_Waiting] = []
        rows = 0
        now = time.perf_counter()
        while self._waiting:
            entry = self._waiting[0]
            work = entry[0]
            if taken and rows + work.rows > most:
                break
            self._waiting.popleft()
            self._rows -= work.rows
            deadline = work.request.deadline
            if deadline is not None and deadline < now:
                self._expire(entry)
                continue
            taken.append(entry)
            rows += work.rows
        return taken

    def _expire(self, entry: _Waiting) -> None:
        self.admission.requests -= 1
        self._meters.shed("deadline")
        entry[1](problems.too_late())

    def _work(self, loop: asyncio.AbstractEventLoop, taken: Sequence[_Waiting], reason: Release) -> None:
        """Answer a batch in the thread."""
        outcomes = self._timed(taken, reason)
        loop.call_soon_threadsafe(self._turn, taken, outcomes)

    def _turn(self, taken: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        self._busy = False
        self._finish(taken, outcomes)
        if self._waiting and not self._busy and not self._scheduled:
            self._release(Release.TURN, self._most_rows())

    def _timed(self, taken: Sequence[_Waiting], reason: Release) -> list[Outcome]:
        """The batch's outcomes; what it took is learned and told."""
        # on the event loop nothing competes for the interpreter, and the thread's own clock is dear
        clock = time.thread_time if self._busy else None
        started, begun = time.perf_counter(), clock() if clock else 0.0
        works = [work for work, _, _ in taken]
        try:
            outcomes = self._plane.answer(works)
        except BaseException as error:
            logger.exception("a batch of %d requests failed", len(works))
            failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
            outcomes = [failure] * len(works)
        took = time.perf_counter() - started
        rows = sum(work.rows for work in works)
        self.costs.note(rows, took, clock() - begun if clock else None)
        waited = started - taken[0][2]
        self.admission.note(len(works), rows, waited if reason is not Release.TURN else 0.0)
        try:
            reports.report(self._meters, self._plane.name, taken, outcomes, reason, started, took)
        except Exception:
            logger.exception("a batch of %d requests could not be counted", len(works))
        return outcomes

    def _finish(self, taken: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        self.admission.requests -= len(taken)
        for (_, done, _), outcome in zip(taken, outcomes, strict=True):
            try:
                done(outcome)
            except Exception:  # must not keep the others' answers from them
                logger.exception("an answer could not be delivered")

    # -- large requests -----------------------------------------------------

    def _submit_large(self, given: Request | Work, done: Done) -> None:
        if self._large >= LARGE_PENDING:
            self._meters.shed("overloaded")
            done(problems.overloaded())
            return
        self._large += 1
        loop = asyncio.get_running_loop()
        self._large_thread.submit(self._work_large, loop, given, done, time.perf_counter())

    def _work_large(
        self, loop: asyncio.AbstractEventLoop, given: Request | Work, done: Done, came: float
    ) -> None:
        """Read, where that is still to do, and answer one large request in its thread."""
        started = time.perf_counter()
        try:
            outcome = self._large_outcome(given, started)
        except BaseException as error:
            outcome = error if isinstance(error, Exception) else RuntimeError(repr(error))
        took = time.perf_counter() - started
        name = self._plane.name
        try:
            reports.report_large(self._meters, name, given, outcome, Release.ALONE, came, started, took)
        except Exception:
            logger.exception("a large request could not be counted")
        loop.call_soon_threadsafe(self._finish_large, outcome, done)
        del outcome  # an error's traceback has this frame: a cycle that would keep the body for long

    def _large_outcome(self, given: Request | Work, now: float) -> Outcome:
        request = given.request if isinstance(given, Work) else given
        if request.deadline is not None and request.deadline < now:
            self._meters.shed("deadline")
            return problems.too_late()
        work = given if isinstance(given, Work) else self._plane.read(given)
        return self._plane.answer([work], SLICE_ROWS)[0]

    def _finish_large(self, outcome: Outcome, done: Done) -> None:
        self._large -= 1
        done(outcome)


def _settle(future: asyncio.Future[Reply], outcome: Outcome) -> None:
    """Give an outcome to who waits for it, unless they are gone."""
    if future.done():
        return
    if isinstance(outcome, StopIteration):  # which no future takes
        future.set_exception(RuntimeError(repr(outcome)))
    elif isinstance(outcome, (Problem, errors.RequestError)):
        outcome.__context__ = outcome.__cause__ = None  # nobody reads where it was raised, but its frames
        future.set_exception(outcome.with_traceback(None))  # have the future: a cycle, as in `answer`
    elif isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
