"""A process that outlives the one that started Ray and ends what that leaves: processes and a folder.

Ray's own processes watch each other, but some take minutes to notice that the one who started them was
killed. The guard notices at once, as a pipe ends. It ends only processes that carry the mark of this Ray in
their environment. It is run by its path and imports nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "PILOTAGE_RAY_FOLDER"
"""Environment variable of a Ray's processes: its folder."""
_PROCESSES = Path("/proc")
_ROUNDS = 20
_PAUSE_SECONDS = 0.1


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """While the block runs, a guard waits for this process to end; after it, for all of Ray to be gone."""
    guard = subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, "-I", "-S", __file__, str(folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if name != MARK},
    )
    try:
        yield
    finally:
        if guard.stdin is not None:
            guard.stdin.close()
        guard.wait()


def end(folder: Path) -> None:
    """Kill each process with the mark of `folder`, until there is none, and remove the folder."""
    for _ in range(_ROUNDS):
        found = list(_marked(folder))
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            break
        time.sleep(_PAUSE_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


def _marked(folder: Path) -> Iterator[int]:
    mark = f"{MARK}={folder}".encode()
    for place in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError):
            marked = mark in (place / "environ").read_bytes().split(b"\0")
            state = (place / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if marked and state != b"Z" and int(place.name) != os.getpid():
                yield int(place.name)


def main(folder: str) -> None:
    """Wait for the end of standard input, then clear up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, to all of its processes
    sys.stdin.buffer.read()
    end(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1])
