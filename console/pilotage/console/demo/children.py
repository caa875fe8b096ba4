"""Processes that the demo starts, and ends whatever happens to it.

A child is told to stop, then killed with everything it started; should the demo
itself be killed, the kernel tells the child to stop.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from pilotage.console.supervision.children import dying_with_parent, family
from pilotage.core import errors

_GRACE_SECONDS = 25.0
_SHOWN_LINES = 15


class Child:
    """One `pilotage` command in a process of its own; use as a context manager."""

    def __init__(
        self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            self._process = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
                [sys.executable, "-m", "pilotage.console", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C is for the demo, which ends its children in order
                preexec_fn=dying_with_parent(),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def check(self) -> None:
        """Raises:
        Failure: the process has ended by itself.
        """
        code = self._process.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
            raise errors.Failure(
                f"The {self.name} ended with exit code {code}:\n{tail}",
                remedy=f"Its whole log is {self.log}.",
            )

    def wait_for(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until `ready`.

        Raises:
            Failure: the process ended before, or it took longer than `timeout_seconds`.
        """
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise errors.Failure(
                    f"The {self.name} was not ready within {timeout_seconds:g} s.", remedy=f"See {self.log}."
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """End the process and what it started."""
        started = family(self._process.pid)
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for member in started:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
