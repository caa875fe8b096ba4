"""One process of a service: started so that it ends with its parent, its output kept in a log that rotates.

When it is to be started again, and in which order several end, is decided by
`supervisors`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

import psutil

from pilotage.console.supervision.rotations import RotatingLog

logger = logging.getLogger(__name__)

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_DRAIN_SECONDS = 2.0


def dying_with_parent() -> Callable[[], None] | None:
    """What a process that this one starts does first, so that it stops when this one is gone; on Linux."""
    return partial(_die_with, os.getpid()) if sys.platform == "linux" else None


def _die_with(parent: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it went before the kernel was asked
        os._exit(1)


def family(pid: int) -> list[psutil.Process]:
    """What a process started, and what these started."""
    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return found


class Child:
    """A process of this Python; start it in a thread that lives as long as it shall."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = RotatingLog(log)
        self._process = subprocess.Popen(  # noqa: S603 - our own modules in our own interpreter
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C is for the supervisor, which ends its children in order
            preexec_fn=dying_with_parent(),
        )
        self._pump = threading.Thread(target=self._copy, args=(self._process.stdout,), daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to stop."""
        if self.code is None:
            self._process.terminate()

    def finish(self, seconds: float) -> bool:
        """Wait for its end, kill it where it takes longer, and all it left; whether it stopped in time."""
        in_order = True
        try:
            self._process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            in_order = False
            self._process.kill()
            self._process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what it left; a run is of a session of its own, and stays
        self._pump.join(_DRAIN_SECONDS)
        self._log.close()
        return in_order

    def _copy(self, stream: IO[bytes]) -> None:
        with stream:
            try:
                for line in stream:
                    self._log.write(line)
            except (OSError, ValueError) as error:
                logger.warning("the log %s cannot be written: %s", self._log.path, error)
                for _ in stream:  # a full pipe would hold the process up
                    continue
