"""Where a pilot asks for more than it uses, or for too little: replicas, CPU and memory of its servers.

Judged by the busiest of the windows that the monitor closed, against what `serve` in pilot.yaml asks
for; each advice says what was seen, by which threshold, and the fragment of pilot.yaml to write.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pilotage.console.operations.listings import Model
from pilotage.core.specs import PilotSpec

LEAST_WINDOWS = 3
"""Fewer say too little of the traffic to come."""
BUSY = 0.5
"""Share of its CPU that a replica is planned to be busy with in the busiest window: p99 grows beyond."""
IDLE = 0.25
"""A replica that uses less of its CPU than this in its busiest window asked for too much."""
CROWDED = 0.8
"""One that uses more than this asked for too little."""
ROOMY = 0.5
"""A server that never takes more than this share of its memory asked for too much."""
FULL = 0.9
_HEADROOM = 1.3
_CPU_STEP, _MEMORY_STEP = 0.05, 64 << 20
_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_QUANTITY = re.compile(r"([0-9.]+)([A-Za-z]*)")


@dataclass(frozen=True)
class Served:
    """What one window says of its servers."""

    start: datetime
    end: datetime
    rows: int
    requests: int
    cpu_seconds: float | None
    peak_memory_bytes: int | None


class Advice(Model):
    """One thing to change."""

    what: str
    """`replicas`, `cpu` or `memory`."""
    saves: bool
    """False where more is needed."""
    seen: str
    """What was seen, and by which threshold it matters."""
    fragment: str
    """What to write in pilot.yaml."""


def find(spec: PilotSpec, windows: Sequence[Served]) -> tuple[Advice, ...]:
    """What to change in `serve`; nothing where windows say too little."""
    told = [window for window in windows if window.cpu_seconds is not None]
    starts = {window.start for window in told}
    if len(starts) < LEAST_WINDOWS:
        return ()
    busiest = _busiest(told)
    found = [_replicas(spec, busiest, len(starts)), _memory(spec, told, len(starts))]
    if found[0] is None:
        found.append(_cpu(spec, busiest, len(starts)))
    return tuple(advice for advice in found if advice is not None)


def _busiest(windows: Sequence[Served]) -> float:
    """CPUs that all servers together kept busy in the busiest window, of all versions at that time."""
    used: dict[datetime, float] = defaultdict(float)
    for window in windows:
        used[window.start] += (window.cpu_seconds or 0.0) / (window.end - window.start).total_seconds()
    return max(used.values())


def _replicas(spec: PilotSpec, busiest: float, count: int) -> Advice | None:
    each, least = cpus(spec.serve.cpu), spec.serve.replicas.min
    needed = max(1, math.ceil(busiest / (each * BUSY))) if each else least
    if needed >= least:
        return None
    return Advice(
        what="replicas",
        saves=True,
        seen=f"In the busiest of {count} windows all servers kept {busiest:.3g} CPUs busy, which "
        f"{_replicas_in_words(needed)} at {BUSY:.0%} of `cpu: {spec.serve.cpu}`; {least} always run. "
        "Keep 2 where the end of a node must not be noticed.",
        fragment=f"serve:\n  replicas: {{min: {needed}, max: {spec.serve.replicas.max}}}\n",
    )


def _replicas_in_words(needed: int) -> str:
    return "one replica can do" if needed == 1 else f"{needed} replicas can do"


def _cpu(spec: PilotSpec, busiest: float, count: int) -> Advice | None:
    asked, replicas = cpus(spec.serve.cpu), spec.serve.replicas.min
    each = busiest / replicas
    share = each / asked if asked else 0.0
    wanted = max(_CPU_STEP, math.ceil(each / BUSY / _CPU_STEP) * _CPU_STEP)
    if IDLE <= share <= CROWDED or (share < IDLE and wanted >= asked):
        return None
    limit = f"less than {IDLE:.0%}" if share < IDLE else f"more than {CROWDED:.0%}"
    return Advice(
        what="cpu",
        saves=share < IDLE,
        seen=f"In the busiest of {count} windows a replica used {share:.1%} of `cpu: {spec.serve.cpu}`, "
        f"{limit}.",
        fragment=f"serve:\n  cpu: {round(wanted * 1000)}m\n",
    )


def _memory(spec: PilotSpec, windows: Sequence[Served], count: int) -> Advice | None:
    peak, asked = max(window.peak_memory_bytes or 0 for window in windows), memory_bytes(spec.serve.memory)
    share = peak / asked if asked else 0.0
    wanted = math.ceil(peak * _HEADROOM / _MEMORY_STEP) * _MEMORY_STEP
    if not peak or ROOMY <= share <= FULL or (share < ROOMY and wanted >= asked):
        return None
    limit = f"less than {ROOMY:.0%}" if share < ROOMY else f"more than {FULL:.0%}"
    return Advice(
        what="memory",
        saves=share < ROOMY,
        seen=f"In {count} windows no server process took more than {peak / 2**20:.0f} MiB, {share:.0%} of "
        f"`memory: {spec.serve.memory}`, {limit}. A replica with several processes needs as much for each.",
        fragment=f"serve:\n  memory: {wanted >> 20}Mi\n",
    )


def cpus(quantity: str) -> float:
    """CPUs of a quantity as Kubernetes writes it."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def memory_bytes(quantity: str) -> float:
    """Bytes of a quantity as Kubernetes writes it."""
    found = _QUANTITY.fullmatch(quantity)
    return float(found[1]) * _UNITS[found[2]] if found else 0.0
