"""One active run and one controller a pilot: locks on files that the kernel frees when their process ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from pilotage.core import errors
from pilotage.core.settings import Settings


@contextmanager
def run_lock(settings: Settings, pilot: str, run: str) -> Iterator[None]:
    """Hold the pilot's lock while `run` goes on.

    Raises:
        RunActive: another run of the pilot holds it; `details["run"]` names it.
    """
    path = settings.home / "locks" / f"{pilot}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            active = stream.read().strip()
            raise errors.RunActive(
                f"Pilot `{pilot}` already has a run in progress: {active or 'just starting'}.",
                remedy="Wait for it to end, or stop its process.",
                run=active,
            ) from error
        stream.seek(0)
        stream.truncate()
        stream.write(run)
        stream.flush()
        os.fsync(stream.fileno())
        yield


@contextmanager
def held(settings: Settings, name: str, wait_seconds: float = 0.0) -> Iterator[bool]:
    """Whether the lock `name` could be taken within `wait_seconds`; it is then held."""
    path = settings.home / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        deadline = time.monotonic() + wait_seconds
        while not (taken := _taken(stream)) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield taken


def _taken(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
