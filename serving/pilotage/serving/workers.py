"""Several serving processes on one port: starting them, replacing those that die, ending them in order.

The supervisor holds the listening socket and serves nothing itself. A worker is a
fresh process that gets the socket and its plan, tells when it is ready, and ends when
its supervisor is gone, however that died. SIGHUP replaces the workers one by one: each
successor is ready before its predecessor stops. What a worker does is in `pilotage.serving.processes`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilotage.core import errors
from pilotage.serving.listeners import Board
from pilotage.serving.plans import BOARD, Place, Plan

logger = logging.getLogger(__name__)

_TICK_SECONDS = 0.1
_HEALTHY_SECONDS = 10.0
"""A worker that served this long was well; one that ends sooner counts as a failed start."""
_MOST_FAILURES = 5
"""Failed starts in a row at one place after which the server gives up."""
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
_MARGIN_SECONDS = 3.0
"""How much longer than its drain a worker may take to end before it is killed."""


@dataclass(eq=False)
class _Worker:
    """One process."""

    process: subprocess.Popen[bytes]
    number: int
    """Its place on the board."""
    told: int
    """Descriptor of what it tells."""
    started: float = field(default_factory=time.monotonic)
    ready: bool = False
    grpc: int | None = None
    message: str = ""
    """Why it could not serve, in its own words."""
    remedy: str = ""
    heard: bytes = b""

    @property
    def was_well(self) -> bool:
        return self.ready and time.monotonic() - self.started >= _HEALTHY_SECONDS


@dataclass(eq=False)
class _Slot:
    """One of the N workers that there should be."""

    name: str
    worker: _Worker | None = None
    successor: _Worker | None = None
    failures: int = 0
    """Failed starts in a row."""
    start_at: float = 0.0
    """By `time.monotonic()`."""


class Supervisor:
    """Keeps `workers` processes serving `plan` on `listener`."""

    def __init__(
        self,
        plan: Plan,
        listener: socket.socket,
        workers: int,
        on_ready: Callable[[int | None], None],
    ) -> None:
        self._plan = plan
        self._listener = listener
        self._on_ready = on_ready
        self._slots = [_Slot(str(number + 1)) for number in range(workers)]
        self._leaving: list[_Worker] = []
        self._renewals: deque[_Slot] = deque()
        self._selector = selectors.DefaultSelector()
        self._announced = False
        self._asked = 0
        """How often somebody asked to stop."""
        self._renew = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then end all workers in order.

        Raises:
            SettingsError: the workers cannot serve what the settings say.
            Failure: a worker died again and again.
        """
        with tempfile.TemporaryDirectory(prefix="pilotage-serve-") as folder, self._signals():
            self._folder = Path(folder)
            self._places = 2 * len(self._slots)  # a successor stands beside its predecessor
            self._board = Board(self._folder / BOARD, self._places)
            try:
                while not self._asked:
                    self._turn()
            finally:
                self._end()

    # -- one turn -----------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.worker is None and slot.successor is None and now >= slot.start_at:
                slot.worker = self._start(slot)
        self._go_on_renewing()
        for key, _ in self._selector.select(_TICK_SECONDS):
            self._hear(key.data)
        for slot in self._slots:
            for worker in (slot.worker, slot.successor):
                if worker is not None and worker.process.poll() is not None:
                    self._hear(worker)
                    self._ended(slot, worker)
        for worker in [worker for worker in self._leaving if worker.process.poll() is not None]:
            self._leaving.remove(worker)
            self._forget(worker)
        self._promote()

    def _go_on_renewing(self) -> None:
        """Start the next successor, one at a time, while all is well."""
        if self._renew:
            self._renew = False
            self._renewals = deque(self._slots)
            logger.info("replacing %d workers one by one", len(self._slots))
        settled = all(slot.worker is not None and slot.successor is None for slot in self._slots)
        if self._renewals and settled and not self._leaving:
            slot = self._renewals.popleft()
            slot.successor = self._start(slot)

    def _promote(self) -> None:
        """Let ready successors take over, and say once that all workers are ready."""
        for slot in self._slots:
            if slot.successor is not None and slot.successor.ready:
                if slot.worker is not None:
                    slot.worker.process.terminate()
                    self._leaving.append(slot.worker)
                slot.worker, slot.successor = slot.successor, None
        workers = [slot.worker for slot in self._slots]
        if not self._announced and all(worker is not None and worker.ready for worker in workers):
            self._announced = True
            self._on_ready(next((worker.grpc for worker in workers if worker is not None), None))

    def _ended(self, slot: _Slot, worker: _Worker) -> None:
        """Note the end of a worker that nobody asked to end, and when to start another."""
        self._forget(worker)
        how = _how(worker.process.returncode)
        if worker is slot.successor:
            slot.successor = None
            self._renewals.clear()
            logger.error("a new worker %s %s; the old ones go on: %s", slot.name, how, worker.message)
            return
        slot.worker = None
        if worker.process.returncode == errors.ExitCode.WRONG_INPUT and not self._announced:
            raise errors.SettingsError(worker.message, remedy=worker.remedy)
        slot.failures = 0 if worker.was_well else slot.failures + 1
        if slot.failures >= _MOST_FAILURES:
            raise errors.Failure(
                f"Worker {slot.name} ended {slot.failures} times in a row soon after its start; the last "
                f"one {how}{f': {worker.message}' if worker.message else '.'}",
                remedy=worker.remedy or "The log says why; more memory may help one that was killed.",
            )
        wait = _FIRST_WAIT_SECONDS * 2.0 ** (slot.failures - 1) if slot.failures else 0.0
        wait = min(wait, _LONGEST_WAIT_SECONDS)
        slot.start_at = time.monotonic() + wait
        logger.error(
            "worker %s (process %d) %s, starting another in %.1f s%s",
            slot.name,
            worker.process.pid,
            how,
            wait,
            f": {worker.message}" if worker.message else "",
        )

    # -- one worker ---------------------------------------------------------

    def _start(self, slot: _Slot) -> _Worker:
        taken = {worker.number for worker in self._all()}
        number = min(set(range(self._places)) - taken)
        place = Place(
            folder=self._folder,
            number=number,
            places=self._places,
            name=slot.name,
            workers=len(self._slots),
        )
        plan = self._plan.model_copy(update={"place": place, "logging": _logging()})
        told, tell = os.pipe()
        os.set_blocking(told, False)
        shared = self._listener.fileno()
        process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
            [sys.executable, "-P", "-m", "pilotage.serving.children", str(shared), str(tell)],
            stdin=subprocess.PIPE,
            pass_fds=(shared, tell),
            start_new_session=True,  # Ctrl-C is for the supervisor, which then ends its workers in order
        )
        os.close(tell)
        worker = _Worker(process, number, told)
        self._selector.register(told, selectors.EVENT_READ, worker)
        assert process.stdin is not None  # noqa: S101 - asked for above
        with contextlib.suppress(BrokenPipeError):  # it died; the next turn sees that
            process.stdin.write(plan.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        return worker

    def _all(self) -> list[_Worker]:
        found = [worker for slot in self._slots for worker in (slot.worker, slot.successor)]
        return [worker for worker in found if worker is not None] + self._leaving

    def _hear(self, worker: _Worker) -> None:
        """Read what a worker tells."""
        while worker.told >= 0:
            try:
                data = os.read(worker.told, 4096)
            except BlockingIOError:
                break
            if not data:
                self._selector.unregister(worker.told)
                os.close(worker.told)
                worker.told = -1
            worker.heard += data
        *lines, worker.heard = worker.heard.split(b"\n")
        for line in lines:
            document = json.loads(line)
            worker.ready = bool(document.get("ready", False))
            worker.grpc = document.get("grpc")
            worker.message, worker.remedy = document.get("error", ""), document.get("remedy", "")

    def _forget(self, worker: _Worker) -> None:
        """Let go of all that a process that ended had."""
        self._board.leave(worker.number)
        if worker.told >= 0:
            self._selector.unregister(worker.told)
            os.close(worker.told)
            worker.told = -1
        if worker.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                worker.process.stdin.close()

    # -- the end ------------------------------------------------------------

    def _end(self) -> None:
        """Stop all workers: in order, and by force those that take too long or when asked once more."""
        workers = self._all()
        for worker in workers:
            worker.process.terminate()
        self._listener.close()
        drain = self._plan.settings.drain_delay_seconds + self._plan.limits.drain_seconds
        deadline = time.monotonic() + drain + _MARGIN_SECONDS
        asked = self._asked
        while any(worker.process.poll() is None for worker in workers):
            late = time.monotonic() >= deadline
            if late or self._asked > max(asked, 1):
                for worker in [worker for worker in workers if worker.process.poll() is None]:
                    logger.warning("killing process %d, which does not end", worker.process.pid)
                    worker.process.kill()
                    worker.process.wait()
            time.sleep(_TICK_SECONDS / 2)
        for worker in workers:
            self._forget(worker)
        self._selector.close()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Hear SIGTERM and SIGINT, and SIGHUP unless it means that the terminal is gone."""
        heard: dict[int, Any] = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop}
        if sys.stdin is None or not sys.stdin.isatty():
            heard[signal.SIGHUP] = self._replace
        try:
            before = {number: signal.signal(number, handler) for number, handler in heard.items()}
        except ValueError:  # not the main thread, where signals do not arrive
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, *_: object) -> None:
        self._asked += 1

    def _replace(self, *_: object) -> None:
        self._renew = True


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"


def _logging() -> dict[str, Any]:
    """How this process logs, for `logging.config.dictConfig` in another one."""
    root = logging.getLogger()
    handler = root.handlers[0] if root.handlers else logging.StreamHandler()
    formatter = handler.formatter or logging.Formatter(logging.BASIC_FORMAT)
    ours = [name for name in ("pilotage", "py.warnings") if logging.getLogger(name).level]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "same": {
                "()": _dotted(type(formatter)),
                "fmt": formatter._fmt,
                "datefmt": formatter.datefmt,
            }
        },
        "handlers": {"same": {"class": "logging.StreamHandler", "formatter": "same"}},
        "loggers": {name: {"level": logging.getLogger(name).level} for name in ours},
        "root": {"level": root.level, "handlers": ["same"]},
    }


def _dotted(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
