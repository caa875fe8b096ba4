"""What there is to run, and one service through its states: started, ready, ended, started again.

starting ──→ running ──→ stopped
   ↑  └─ ended ─┘ by itself
   └── waiting ←┘
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pilotage.console.supervision import ports
from pilotage.console.supervision.backoffs import Backoff
from pilotage.console.supervision.children import Child
from pilotage.console.supervision.registers import Entry
from pilotage.console.supervision.states import ServiceKind, ServiceState
from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines import tables

logger = logging.getLogger(__name__)

_WELL_SECONDS = 60.0
"""Who ran so long ran well: its next end is as good as the first."""


@dataclass(frozen=True)
class Definition:
    """One thing to run."""

    name: str
    kind: ServiceKind
    command: Callable[[int, Path], Sequence[str]]
    """Arguments of Python, given a port and the file to write when it is ready."""
    pilot: str | None = None
    host: str = "127.0.0.1"
    first_port: int | None = None
    """Where a free port is looked for; None where it listens to none."""
    grace_seconds: float = 10.0
    """How long it may take to stop."""


class Service:
    """One service and its process, if it has one now."""

    def __init__(
        self,
        definition: Definition,
        settings: Settings,
        environment: Mapping[str, str],
        port: int | None,
        taken: set[int],
    ) -> None:
        self.definition = definition
        self._environment = environment
        file = definition.name.replace("/", "-")
        self._log = settings.logs / f"{file}.log"
        self._ready_file = settings.home / "services" / f"{file}.json"
        self._port = port
        self._taken = taken
        self._promised: int | None = None
        self._backoff = Backoff()
        self._child: Child | None = None
        self._state = ServiceState.STOPPED
        self._since = tables.now()
        self._began = self._again = 0.0
        self._restarts = 0
        self._detail = ""
        self.url: str | None = None
        """Where it listens, or will when it is ready."""

    @property
    def state(self) -> ServiceState:
        """Its state when it was last looked at."""
        return self._state

    @property
    def entry(self) -> Entry:
        """What is known of it."""
        pid = self._child.pid if self._child is not None else None
        of = self.definition
        return Entry(
            of.name, of.kind, of.pilot, self._state, self.url, pid, self._restarts, self._since, self._detail
        )

    def start(self) -> None:
        """Start its process.

        Raises:
            SettingsError: there is no port for it.
        """
        of = self.definition
        if of.first_port is not None:
            if self._promised is not None:
                self._taken.discard(self._promised)
                self._promised = None
            self._port = self._promised = ports.choose(of.host, self._port, of.first_port, self._taken)
            self._taken.add(self._port)
            self.url = f"http://{ports.written(of.host)}:{self._port}"
        self._ready_file.parent.mkdir(parents=True, exist_ok=True)
        self._ready_file.unlink(missing_ok=True)
        self._child = Child(of.command(self._port or 0, self._ready_file), self._log, self._environment)
        self._began = time.monotonic()
        self._enter(ServiceState.STARTING, "")

    def start_or_wait(self) -> None:
        """Start its process, or try again later where that cannot be now."""
        try:
            self.start()
        except (errors.PilotageError, OSError) as error:
            self._wait(f"cannot be started: {error}")

    def look(self) -> bool:
        """See how it is, and start it again when it is time; whether its state changed."""
        before = self._state
        if self._state is ServiceState.WAITING:
            if time.monotonic() >= self._again:
                self._restarts += 1
                self.start_or_wait()
        elif self._child is not None and self._child.code is not None:
            self._ended(self._child)
        elif self._state is ServiceState.STARTING and self._ready_file.is_file():
            self._enter(ServiceState.RUNNING, "")
        return self._state is not before

    def terminate(self) -> None:
        """Ask it to stop."""
        if self._child is not None:
            self._child.terminate()

    def finish(self, seconds: float) -> None:
        """Wait for its end; it is not started again."""
        detail = ""
        if self._child is not None:
            if not self._child.finish(seconds):
                detail = "killed, for it did not stop in time"
                logger.warning("%s was %s", self.definition.name, detail)
            self._child = None
        self._enter(ServiceState.STOPPED, detail)

    def _ended(self, child: Child) -> None:
        code = child.code
        child.terminate()
        child.finish(0.0)
        self._child = None
        if time.monotonic() - self._began > _WELL_SECONDS:
            self._backoff.reset()
        self._wait(f"ended with exit code {code}; see {self._log}")

    def _wait(self, why: str) -> None:
        wait = self._backoff.next()
        self._again = time.monotonic() + wait
        self._enter(ServiceState.WAITING, why)
        logger.warning("%s %s; starting it again in %.1f s", self.definition.name, self._detail, wait)

    def _enter(self, state: ServiceState, detail: str) -> None:
        self._state, self._detail, self._since = state, detail or self._detail, tables.now()
        if state is ServiceState.RUNNING:
            self._detail = ""
