"""One active run a pilot: a lock on a file that the kernel frees when its process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

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
