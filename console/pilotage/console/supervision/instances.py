"""One `pilotage up` a home: a lock that the kernel frees, beside what its holder tells of itself."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from pilotage.core import errors
from pilotage.core.settings import Settings

Tell = Callable[[dict[str, Any]], None]


@contextmanager
def only_one(settings: Settings) -> Iterator[Tell]:
    """Be the only one in this home while the block runs; gives a function that tells others of it.

    Raises:
        Failure: one runs already; `details` says what it told.
    """
    path = settings.home / "locks" / "up.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _running(settings, stream) from error

        def tell(document: dict[str, Any]) -> None:
            stream.seek(0)
            stream.truncate()
            own = {"pid": os.getpid(), "host": socket.gethostname()}
            stream.write(json.dumps({**own, **document}))
            stream.flush()

        tell({"console": None})
        yield tell


def _running(settings: Settings, stream: IO[str]) -> errors.Failure:
    stream.seek(0)
    try:
        told: dict[str, Any] = json.loads(stream.read())
    except ValueError:
        told = {}
    place = f"the console is at {told['console']}" if told.get("console") else "it is just starting"
    return errors.Failure(
        f"`pilotage up` already runs in {settings.home}: process {told.get('pid', '?')}"
        f" on {told.get('host', '?')}; {place}.",
        remedy="Stop that one first (Ctrl-C there), or name another folder with `--home`.",
        **told,
    )
