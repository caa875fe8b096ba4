"""What a process uses of its machine, read from the kernel.

CPU time is that of the process and of children that have ended and were waited for; a
child that was killed without that is not counted. Nothing is kept here.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from functools import cache
from pathlib import Path

from pilotage.core.artifacts import Usage
from pilotage.core.costs import gpus

_CPUINFO = Path("/proc/cpuinfo")


class Clock:
    """What this process and its ended children have used since the clock was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._cpu = cpu_seconds()

    def read(self) -> Usage:
        """Until now; GPUs that the process holds are taken to have been held all the time."""
        return measured(time.monotonic() - self._began, cpu_seconds() - self._cpu, held=gpus.held())


def of_process() -> Usage:
    """Since this process began."""
    import psutil

    began = psutil.Process().create_time()
    return measured(max(0.0, time.time() - began), cpu_seconds(), held=gpus.held())


def measured(
    wall_seconds: float,
    cpu: float,
    *,
    held: frozenset[str] = frozenset(),
    peak_bytes: int | None = None,
    joules: float | None = None,
) -> Usage:
    """Numbers of this machine as a usage; the peak is that of this process where it is left out."""
    return Usage(
        wall_seconds=max(0.0, wall_seconds),
        cpu_seconds=max(0.0, cpu),
        gpu_seconds=len(held) * max(0.0, wall_seconds),
        gpu=gpus.model() if held else "",
        peak_memory_bytes=peak_memory_bytes() if peak_bytes is None else peak_bytes,
        processor=processor(),
        processors=os.cpu_count() or 1,
        joules=joules,
    )


def cpu_seconds() -> float:
    """Of this process and its ended children since it began."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def peak_memory_bytes() -> int:
    """Most resident memory that this process ever had."""
    return resident_bytes(resource.getrusage(resource.RUSAGE_SELF))


def resident_bytes(used: resource.struct_rusage) -> int:
    """Most resident memory of what `used` is about."""
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@cache
def processor() -> str:
    """Model of this machine's CPU."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
