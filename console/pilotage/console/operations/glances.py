"""Answers of outside systems that are kept for seconds, and that nobody waits for longer than they want.

Many people look at the same page at once, and a git server that is away takes a minute to be given up. One
thread asks for each answer; who does not want to wait so long is told so, and the answer is there
when they look again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from typing import Any, TypeVar

from pilotage.core import errors

KEPT_SECONDS = 10.0
_MOST = 500
FoundT = TypeVar("FoundT")


class Glances:
    """Answers by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[Future[Any], float]] = {}

    def get(self, key: tuple[str, ...], ask: Callable[[], FoundT], wait_seconds: float) -> FoundT:
        """What `ask` says now, or said or failed with a moment ago.

        Raises:
            Unavailable: it has not answered yet.
            Exception: what `ask` raises.
        """
        try:
            found: FoundT = self._asked(key, ask).result(wait_seconds)
            return found
        except Late as error:
            raise errors.Unavailable(
                "It has been asked, and has not answered yet.", remedy="Look again in a moment."
            ) from error

    def forget(self) -> None:
        """Ask anew: something was changed from here."""
        with self._lock:
            self._kept.clear()

    def _asked(self, key: tuple[str, ...], ask: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            held = self._kept.get(key)
            if held is not None and (not held[0].done() or time.monotonic() - held[1] < KEPT_SECONDS):
                return held[0]
            if len(self._kept) >= _MOST:
                self._kept.clear()
            made: Future[Any] = Future()
            self._kept[key] = made, time.monotonic()
        threading.Thread(target=_carry_out, args=(made, ask), name="glance", daemon=True).start()
        return made


def _carry_out(made: Future[Any], ask: Callable[[], Any]) -> None:
    try:
        made.set_result(ask())
    except BaseException as error:  # whoever asked gets it, in their own thread
        made.set_exception(error)
