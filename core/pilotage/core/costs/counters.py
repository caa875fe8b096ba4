"""Counters of energy that processors keep (RAPL), where the system lets them be read.

They count a whole processor; a piece of work is given the share of them that its CPU time
has in all CPU time of the machine meanwhile. Virtual machines and most containers have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

_FOLDER = Path("/sys/class/powercap")
_COUNTED = ("package", "dram")


@dataclass(frozen=True)
class Mark:
    """What the counters said at some time."""

    joules: dict[Path, float]
    busy_seconds: float
    """CPU time of the whole machine."""


def mark(folder: Path = _FOLDER) -> Mark | None:
    """The counters now; None where there are none that may be read."""
    found = {}
    for domain in folder.glob("intel-rapl:*"):
        try:
            if (domain / "name").read_text().strip().startswith(_COUNTED):
                found[domain] = int((domain / "energy_uj").read_text()) / 1e6
        except (OSError, ValueError):
            continue
    return Mark(found, _busy_seconds()) if found else None


def since(begin: Mark | None, cpu_seconds: float, folder: Path = _FOLDER) -> float | None:
    """Joules since `begin` that fall to `cpu_seconds` of work; None where they cannot be told."""
    end = mark(folder) if begin is not None else None
    if begin is None or end is None or begin.joules.keys() != end.joules.keys():
        return None
    total = sum(_difference(domain, begin.joules[domain], end.joules[domain]) for domain in end.joules)
    busy = max(end.busy_seconds - begin.busy_seconds, cpu_seconds)
    return total * cpu_seconds / busy if busy > 0 else None


def _difference(domain: Path, before: float, after: float) -> float:
    """A counter that is full begins again at 0."""
    if after >= before:
        return after - before
    try:
        return after - before + int((domain / "max_energy_range_uj").read_text()) / 1e6
    except (OSError, ValueError):
        return 0.0


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))
