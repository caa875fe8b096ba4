"""What steps' pods write, brought into the logs of the run while it goes on.

Kubeflow's API gives a pod's whole log at a time, while the pod is there or its
archive has it. A log that cannot be had is said to be missing in its place and
never fails a run.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from pilotage.components import outcomes
from pilotage.core import errors
from pilotage.core.storage import Storage
from pilotage.pipelines.journals.events import Journal
from pilotage.pipelines.kubeflow.clients import Client

logger = logging.getLogger(__name__)

MOST_BYTES = 16 << 20
"""Of one attempt of a step."""
_LOOKS_APART = 2
"""Polls of a run between two looks at a log that grows."""


@dataclass
class _Log:
    path: Path
    pod: str | None = None
    offset: int = 0
    """Bytes of the pod's log that are here."""
    rest: bytes = b""
    """The beginning of a line whose end has not come."""
    due: float = 0.0
    missing: str = ""
    """Why the last look brought nothing."""
    earlier: bool = True
    """Whether what is here was brought by a process before this one."""


class Logs:
    """The logs of one run's steps."""

    def __init__(self, client: Client, storage: Storage, journal: Journal, folder: Path, run: str) -> None:
        self._client = client
        self._storage = storage
        self._journal = journal
        self._folder = folder
        self._run = run
        self._logs: dict[str, _Log] = {}

    def path(self, step: str) -> Path:
        """Where the log of `step` is here."""
        return self._log(step).path

    def note(self, step: str, line: str) -> None:
        """Write a line of our own."""
        log = self._log(step)
        self._flush(step, log)
        with log.path.open("ab") as stream:
            stream.write(f"pilotage: {line}\n".encode())

    def look(self, step: str, pod: str | None, every_seconds: float) -> None:
        """Bring what is new, unless that was done a moment ago."""
        log = self._log(step)
        if pod is None or (pod == log.pod and time.monotonic() < log.due):
            return
        if pod != log.pod:
            self._flush(step, log)
            log.pod, log.offset, log.missing = pod, 0, ""
        log.due = time.monotonic() + every_seconds * _LOOKS_APART
        if log.offset >= MOST_BYTES:
            return
        try:
            data = self._client.log(self._run, pod, log.offset, MOST_BYTES - log.offset)
        except errors.PilotageError as error:
            log.missing = error.message
            return
        if log.earlier:
            log.path.write_bytes(b"")  # all of it is brought anew
        log.missing, log.earlier = "", False
        log.offset += len(data)
        self._write(step, log, data)

    def close(self, step: str, pod: str | None) -> None:
        """Bring the rest of a step that has ended, and keep the log where other consoles find it."""
        log = self._log(step)
        log.due = 0.0
        self.look(step, pod, 0.0)
        self._flush(step, log)
        if pod is None:
            self.note(step, "Kubeflow names no pod of this step, so there is no log of it")
        elif log.missing:
            self.note(step, f"the log, or its end, cannot be had: {log.missing}")
        elif log.offset >= MOST_BYTES:
            self.note(step, f"the log goes on in Kubeflow; {MOST_BYTES >> 20} MB of it are here")
        try:
            place = outcomes.place(self._journal.run, step)
            self._storage.write(f"{place}/{outcomes.LOG}", log.path.read_bytes())
        except Exception as error:  # whatever the driver of the store raises; the log is here
            logger.warning("the log of %s is not kept in the storage: %s", step, error)

    def _log(self, step: str) -> _Log:
        if step not in self._logs:
            path = self._folder / f"{step}.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._logs[step] = _Log(path)
        return self._logs[step]

    def _write(self, step: str, log: _Log, data: bytes) -> None:
        with log.path.open("ab") as stream:
            stream.write(data)
        *lines, log.rest = (log.rest + data).split(b"\n")
        for line in lines:
            self._journal.line(step, line.decode(errors="replace"))

    def _flush(self, step: str, log: _Log) -> None:
        if log.rest:
            self._write(step, log, b"\n")
