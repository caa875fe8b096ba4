"""How a run in progress is told to stop: by a signal, or by a wish that somebody wrote in the database.

    SIGINT, SIGTERM   the run is cancelled; a second one acts as it did before
    cancel_asked_at   the same, asked from anywhere; noticed within a second by a thread of the run's process
    SIGUSR1           the run is interrupted: it goes back in line, to be carried on later

Whatever told it, `Stopped` is raised once in the main thread. What becomes of the
run then is not decided here.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import FrameType

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from pilotage.pipelines import tables

logger = logging.getLogger(__name__)

INTERRUPT = signal.SIGUSR1
_ASKED = signal.SIGUSR2
"""What the watching thread sends to the main one."""
_EVERY_SECONDS = 0.5


class Reason(StrEnum):
    """Why a run was stopped."""

    SIGNAL = "signal"
    ASKED = "asked"
    INTERRUPTED = "interrupted"


_REASONS = {
    signal.SIGINT: Reason.SIGNAL,
    signal.SIGTERM: Reason.SIGNAL,
    _ASKED: Reason.ASKED,
    INTERRUPT: Reason.INTERRUPTED,
}


class Stopped(BaseException):
    """The run was told to stop."""

    def __init__(self, reason: Reason, told: str) -> None:
        super().__init__(told)
        self.reason = reason


@contextmanager
def stoppable(engine: Engine, run: str) -> Iterator[None]:
    """Raise `Stopped` in the block, once, when `run` is told to stop; only in the main thread.

    Raises:
        Stopped: it was told so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _REASONS}
    asked_by: list[str] = []
    over = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        reason = _REASONS[signal.Signals(number)]
        if over.is_set():
            return
        over.set()
        for known in (signal.SIGINT, signal.SIGTERM):
            signal.signal(known, before[known])
        by = f"`{asked_by[0]}`" if reason is Reason.ASKED else signal.Signals(number).name
        raise Stopped(reason, by)

    for number in _REASONS:
        signal.signal(number, stop)
    watcher = threading.Thread(target=_watch, args=(engine, run, asked_by, over), name="stops", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(engine: Engine, run: str, asked_by: list[str], over: threading.Event) -> None:
    """Tell the main thread once that somebody asked for an end."""
    query = select(tables.runs.c.cancel_asked_by).where(tables.runs.c.id == run)
    main = threading.main_thread().ident
    while not over.wait(_EVERY_SECONDS):
        try:
            with tables.reading(engine) as connection:
                who = connection.scalar(query)
        except SQLAlchemyError as error:
            logger.warning("whether run %s is to be cancelled cannot be seen now: %s", run, error)
            continue
        if who is not None and main is not None:
            asked_by.append(who)
            signal.pthread_kill(main, _ASKED)
            return
