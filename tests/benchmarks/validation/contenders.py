"""Who validates: Pilotage, the two peers, a query written by hand, and a plain pass over the bytes.

Each runs in a process of its own; pandera in an environment of its own, made from pinned versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import environments

PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Contender:
    """One way to validate."""

    name: str
    title: str
    script: str
    environment: str | None = None
    """Name of its file of pinned versions; None for this environment."""

    def python(self) -> str:
        """The interpreter that runs it."""
        return str(make(self.environment) / "bin" / "python") if self.environment else sys.executable


OURS = Contender("pilotage", "Pilotage", "pilotage_run.py")
EXPECTATIONS = Contender("great_expectations", "Great Expectations (pandas)", "great_expectations_run.py")
PANDERA = Contender("pandera", "pandera (Polars)", "pandera_run.py", "pandera")
BY_HAND = Contender("polars", "one Polars query by hand", "polars_run.py")
LIMIT = Contender("reading", "reading the columns (the limit)", "reading_run.py")
CONTENDERS = (OURS, EXPECTATIONS, PANDERA, BY_HAND, LIMIT)


def make(peer: str) -> Path:
    """The folder of a peer's environment; made when it is not there yet."""
    requirements = PEERS / f"{peer}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = environments.CACHE / f"{peer}-{digest}"
    if not (folder / "complete").is_file():
        uv = str(Path(sys.executable).with_name("uv"))
        python = str(folder / "bin" / "python")
        packages = ("--compile-bytecode", "--python", python, "-r", str(requirements))
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True
        )
        subprocess.run([uv, "pip", "install", "--quiet", *packages], check=True)
        (folder / "complete").touch()
    return folder


@dataclass(frozen=True)
class Process:
    """One process from start to end."""

    seconds: float
    processor_seconds: float
    peak_mb: float
    output: str
    code: int


def run(command: list[str]) -> Process:
    """Run a command to its end; what it says on stderr is kept from the terminal."""
    began = time.perf_counter()
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environments.variables(), text=True
    )
    assert started.stdout is not None
    peaks: list[float] = []
    watching = threading.Thread(target=_watch, args=(started.pid, peaks), daemon=True)
    watching.start()
    with started.stdout:
        output = started.stdout.read()
    _, status, used = os.wait4(started.pid, 0)
    seconds = time.perf_counter() - began
    started.returncode = os.waitstatus_to_exitcode(status)
    watching.join()
    return Process(
        seconds, used.ru_utime + used.ru_stime, max(peaks, default=0.0), output,
        started.returncode,
    )  # fmt: skip


def _watch(pid: int, peaks: list[float]) -> None:
    """Note the high-water mark of a process's memory, MiB, until it ends.

    What the kernel tells of ended children begins with the size of the process that started them.
    """
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        if not marks:
            return
        peaks.append(int(marks[0]) / 1024)
        time.sleep(0.02)


def repeat(one: Contender, table: Path, suite: Path, times: int) -> dict[str, Any]:
    """In one process, validate so often; times by the clock and of the processor, and verdicts."""
    done = run([one.python(), str(PEERS / one.script), str(table), str(suite), str(times)])
    assert done.code == 0, f"{one.title} ended with {done.code}"
    return dict(json.loads(done.output.splitlines()[-1]))


def once(one: Contender, table: Path, suite: Path) -> Process:
    """A whole process that validates once: Pilotage's command, the others' scripts."""
    if one is OURS:
        command = [sys.executable, "-m", "pilotage.console", "validate", str(table), str(suite), "--json"]
    else:
        command = [one.python(), str(PEERS / one.script), str(table), str(suite), "1"]
    done = run(command)
    assert done.code in (0, 3), f"{one.title} ended with {done.code}"
    return done
