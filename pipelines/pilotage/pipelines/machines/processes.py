"""Processes told apart for certain, and how much memory a family of them holds.

A pid alone is reused; with the start time and the machine's boot it is not. On
Linux the start is counted from the boot, so that a clock that is put right, by
hand or by NTP, makes no process another one. Nothing here starts or ends a process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STAT = Path("/proc/self/stat")
_START_FIELD = 19
"""Of `/proc/PID/stat`, behind the name in brackets: clock ticks from the boot to the start."""
_SAME_START_SECONDS = 0.05
"""Start times are kept in clock ticks; two readings of one process differ by less than this."""


@dataclass(frozen=True)
class Identity:
    """One process of one boot of one machine."""

    host: str
    boot: str
    pid: int
    started: float
    """Seconds since the boot on Linux, since the epoch elsewhere."""


def current() -> Identity:
    """This process."""
    own = psutil.Process()
    return Identity(host=socket.gethostname(), boot=_boot(), pid=own.pid, started=_started(own))


def of(pid: int) -> Identity | None:
    """The process that has `pid` now, or None."""
    try:
        started = _started(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return None
    return Identity(host=socket.gethostname(), boot=_boot(), pid=pid, started=started)


def same(one: Identity, other: Identity) -> bool:
    """Whether both are readings of the same process."""
    if (one.host, one.boot, one.pid) != (other.host, other.boot, other.pid):
        return False
    return abs(one.started - other.started) < _SAME_START_SECONDS


def alive(identity: Identity) -> bool:
    """Whether the process runs; one on another machine is taken to run, since it cannot be seen from here."""
    if identity.host != socket.gethostname():
        return True
    if identity.boot != _boot():
        return False
    try:
        process = psutil.Process(identity.pid)
        same = abs(_started(process) - identity.started) < _SAME_START_SECONDS
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def running(pid: int) -> bool:
    """Whether some process has this pid."""
    return bool(psutil.pid_exists(pid))


def family(pid: int) -> list[psutil.Process]:
    """A process and all its descendants; nobody when it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def resident_bytes(family: Sequence[psutil.Process]) -> int:
    """Resident memory of processes together; those that are gone have none."""
    return sum(_resident(member) for member in family)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process without its children's; 0 when it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def machine_bytes() -> int:
    """Memory of this machine."""
    return int(psutil.virtual_memory().total)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _started(process: psutil.Process) -> float:
    """When the process began.

    Raises:
        NoSuchProcess: it is gone.
    """
    if not _STAT.is_file():
        return float(process.create_time())
    try:
        content = _STAT.parents[1].joinpath(str(process.pid), "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(process.pid) from error
    ticks = int(content.rpartition(b")")[2].split()[_START_FIELD])
    return ticks / os.sysconf("SC_CLK_TCK")


def _boot() -> str:
    if _BOOT_ID.is_file():
        return _BOOT_ID.read_text().strip()
    return str(int(psutil.boot_time()))
