"""Warm processes for steps: starts zygotes, asks them for children, watches these.

The other side is `pilotage.pipelines.steps.zygote`. A step that crashes, hangs or eats
memory ends here as an `Ending` with a reason; the caller lives on. Nothing here
knows what a step does, retries it or records it.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pilotage.components.imports import IMPORTS
from pilotage.core.artifacts import Usage
from pilotage.core.costs import counters, gpus, usages
from pilotage.core.settings import Settings
from pilotage.pipelines.machines import environments, processes

logger = logging.getLogger(__name__)

_TICK_SECONDS = 0.05
_MEMORY_SECONDS = 0.25
"""How often a step's memory is read."""


@dataclass(frozen=True)
class Group:
    """Steps that share a zygote, and what that imports before the first of them."""

    name: str
    steps: tuple[str, ...]
    lazy: tuple[str, ...] = ()
    """Modules that these libraries import and our use of them does not need."""
    first: tuple[str, ...] = ()
    """Modules that some of these libraries look for in all that is loaded."""

    extra: tuple[str, ...] = ()
    """Modules to import besides those that the steps' shells do before their clock starts."""

    @property
    def modules(self) -> tuple[str, ...]:
        """All that the zygote imports, in order."""
        heavy = {module: None for step in self.steps for module in IMPORTS.get(step, ())}
        return (*(("kfp.dsl.executor", "pilotage.components.shells", *heavy) if heavy else ()), *self.extra)


GROUPS = (
    Group("ingest", ("ingest",)),
    Group("validate", ("validate",), lazy=("altair", "scipy.stats")),
    Group(
        "model",
        ("train", "evaluate", "register"),
        lazy=("mlflow.gateway", "pytest"),
        first=("numpy", "scipy.special"),
    ),
)
"""Three, so that one group's imports hide behind another group's work."""
SCORING = (Group("score", ("score",)),)
"""Of a run that scores a table."""


@dataclass(frozen=True)
class Limits:
    """What one attempt of a step may use."""

    timeout_seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class Job:
    """One attempt at a compiled component."""

    step: str
    source: str
    """Python source of the component."""
    function: str
    executor_input: dict[str, Any]
    environment: dict[str, str]
    log: Path
    error: Path
    """Where the child describes the exception that ended it, as JSON."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended: an exit code, negative for a signal, and why it was killed if it was."""

    code: int
    killed_because: str = ""
    peak_bytes: int = 0
    seconds: float = 0.0
    """From the fork to the end."""
    cpu_seconds: float = 0.0
    """Of the step's process and the children that it waited for."""
    gpus: frozenset[str] = frozenset()
    """GPUs that it held at some time."""
    joules: float | None = None
    """Its share of the machine's energy, where that can be measured."""

    @property
    def usage(self) -> Usage:
        """The same as it is kept."""
        return usages.measured(
            self.seconds, self.cpu_seconds, held=self.gpus, peak_bytes=self.peak_bytes, joules=self.joules
        )


class ZygoteDied(Exception):
    """The zygote went away, so what became of its child cannot be known."""


class Worker:
    """One zygote process and the connection to it."""

    def __init__(self, group: Group, log: Path, environment: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        with log.open("ab") as output, theirs:
            flags = [f"--lazy={name}" for name in group.lazy] + [f"--first={name}" for name in group.first]
            words = [*flags, str(theirs.fileno()), str(os.getpid()), *group.modules]
            self.process = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
                [sys.executable, "-m", "pilotage.pipelines.steps.zygote", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self._connection = ours
        self._buffer = b""
        self._number = 0
        self.told_seconds = 0.0
        """CPU time of its children that was told with how each of them ended."""

    def run(self, job: Job, limits: Limits, on_line: Callable[[str], None]) -> Ending:
        """Run `job` in a forked child and wait for its end.

        Raises:
            ZygoteDied: the zygote was killed or crashed.
        """
        self._number += 1
        request = {
            "id": self._number,
            "source": job.source,
            "function": job.function,
            "executor_input": job.executor_input,
            "environment": job.environment,
            "log": str(job.log),
            "error": str(job.error),
        }
        with _Tail(job.log, on_line) as tail:
            try:
                self._connection.sendall(json.dumps(request).encode() + b"\n")
            except OSError as error:
                raise ZygoteDied from error
            watch = _Watch(limits)
            try:
                for message in self._messages():
                    if message and message.get("id") == self._number:
                        if message["event"] == "started":
                            watch.begin(message["pid"])
                        elif message["event"] == "exited":
                            self.told_seconds += message["cpu"]
                            return watch.ending(message["code"], message["cpu"], message["peak"])
                    tail.read()
                    watch.look()
            finally:
                watch.kill()
        raise ZygoteDied

    def ask_to_stop(self) -> None:
        """Tell the zygote to end, without waiting until it has."""
        self._connection.close()
        if self.process.poll() is None:
            self.process.terminate()

    def stop(self) -> None:
        """End the zygote and whatever it forked."""
        self.ask_to_stop()
        try:
            self.process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _messages(self) -> Iterator[dict[str, Any] | None]:
        """Messages as they come, None at each tick without one; ends when the zygote does."""
        while True:
            *lines, self._buffer = self._buffer.split(b"\n")
            yield from (json.loads(line) for line in lines)
            readable, _, _ = select.select([self._connection], [], [], _TICK_SECONDS)
            if not readable:
                yield None
                continue
            try:
                data = self._connection.recv(1 << 16)
            except ConnectionResetError:
                return
            if not data:
                return
            self._buffer += data


class Workers:
    """The zygotes of one run: none until `start`, then one a group."""

    def __init__(
        self, logs: Path, environment: Mapping[str, str], groups: tuple[Group, ...] = GROUPS
    ) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._groups = groups
        self._workers: dict[str, Worker] = {}
        self._told_by_the_dead = 0.0

    @classmethod
    def of(cls, settings: Settings, run: str, groups: tuple[Group, ...] = GROUPS) -> Workers:
        """Those of `run`, which find the settings in their environment."""
        return cls(settings.logs / run, environments.variables(settings), groups)

    def start(self) -> None:
        """Begin importing in every group at once; nothing happens when they run already."""
        for group in self._groups:
            self._worker(group)

    def run(self, job: Job, limits: Limits, on_line: Callable[[str], None]) -> Ending:
        """Run `job` in the group of its step; a zygote that died is replaced once for the next attempt."""
        self.start()
        group = next((group for group in self._groups if job.step in group.steps), self._groups[0])
        try:
            return self._worker(group).run(job, limits, on_line)
        except ZygoteDied:
            worker = self._workers.pop(group.name)
            worker.stop()
            self._told_by_the_dead += worker.told_seconds
            code = worker.process.returncode
            log = self._log(group)
            return Ending(1, f"the process that forks `{job.step}` ended with code {code}; see {log}")

    def cpu_seconds(self) -> float:
        """What the zygotes used themselves, mostly for imports, to be added to what this process used.

        The kernel counts those that died, with all their children, as used by this process: what was told of
        these children is taken off.
        """
        used = sum(processes.cpu_seconds(worker.process.pid) for worker in self._workers.values())
        return used - self._told_by_the_dead

    def stop(self) -> None:
        """End all zygotes with their children."""
        for worker in self._workers.values():
            worker.ask_to_stop()
        for worker in self._workers.values():
            worker.stop()
        self._workers.clear()
        for group in self._groups:
            log = self._log(group)
            if log.is_file() and log.stat().st_size == 0:
                log.unlink()

    def _worker(self, group: Group) -> Worker:
        if group.name not in self._workers:
            self._workers[group.name] = Worker(group, self._log(group), self._environment)
        return self._workers[group.name]

    def _log(self, group: Group) -> Path:
        return self._logs / f"zygote-{group.name}.log"


class _Watch:
    """Kills a child that exceeds its limits and remembers why."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pid: int | None = None
        self._began = time.monotonic()
        self._deadline = float("inf")
        self._next_look = 0.0
        self._energy: counters.Mark | None = None
        self._gpus: frozenset[str] = frozenset()
        self.reason = ""
        self.peak_bytes = 0

    def begin(self, pid: int) -> None:
        self._pid = pid
        self._began = time.monotonic()
        self._energy = counters.mark()
        self._deadline = self._began + self._limits.timeout_seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def look(self) -> None:
        now = time.monotonic()
        if self._pid is None or self.reason:
            return
        if now > self._deadline:
            self._end(f"it ran longer than its timeout of {self._limits.timeout_seconds:g} s")
        elif now >= self._next_look:
            self._next_look = now + _MEMORY_SECONDS
            family = processes.family(self._pid)
            used = processes.resident_bytes(family)
            self._gpus |= gpus.held(member.pid for member in family)
            self.peak_bytes = max(self.peak_bytes, used)
            if used > self._limits.memory_bytes:
                used_mb, limit_mb = used >> 20, self._limits.memory_bytes >> 20
                self._end(f"it held {used_mb} MB of memory, its limit is {limit_mb} MB")

    def ending(self, code: int, cpu_seconds: float, peak_bytes: int) -> Ending:
        """What became of the child; its peak is the kernel's, or what was seen of its family."""
        return Ending(
            code,
            self.reason,
            max(self.peak_bytes, peak_bytes),
            self.seconds,
            cpu_seconds,
            self._gpus,
            counters.since(self._energy, cpu_seconds),
        )

    def kill(self) -> None:
        """End the child's whole process group, if there is one still."""
        if self._pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)

    def _end(self, reason: str) -> None:
        self.reason = reason
        self.kill()


class _Tail:
    """Passes on the lines that are added to a log while the block runs."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self._stream: IO[bytes] = path.open("rb")
        self._stream.seek(0, os.SEEK_END)

    def __enter__(self) -> _Tail:
        return self

    def __exit__(self, *_: object) -> None:
        self.read()
        if self._rest:
            self._on_line(self._rest.decode(errors="replace"))
        self._stream.close()

    def read(self) -> None:
        *lines, self._rest = (self._rest + self._stream.read()).split(b"\n")
        for line in lines:
            self._on_line(line.decode(errors="replace"))
