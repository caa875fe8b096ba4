"""Twice as much as the server can do, for a minute: who is admitted, who is refused, what it leaves behind.

The payload is heavy, so that a generator in Python, which shares the machine with the server, can
offer twice the load; how late it sent is reported beside the rest.
"""

from __future__ import annotations

import time
from typing import Any

from tests.benchmarks.serving import fleets, loads
from tests.benchmarks.serving.contenders import BY_NAME, OURS
from tests.benchmarks.serving.paces import Pace
from tests.benchmarks.serving.processes import Server, running
from tests.benchmarks.serving.stages import Stage

ROWS = 100
CONNECTIONS = 64
OFFERED_CONNECTIONS = 1024
REFUSED = "503"


def measure(stage: Stage, pace: Pace) -> dict[str, Any]:
    """Saturation, half of it, twice of it, and the seconds after."""
    ours = BY_NAME[OURS]
    payload = fleets.payload(stage, ours, ROWS)
    with running(ours.start(stage)) as server:
        loads.closed(server, payload, CONNECTIONS, 2)
        saturation = loads.closed(server, payload, CONNECTIONS, 4 if pace.swaps < 100 else 8).rate
        loads.at_rate(server, payload, saturation * 2, 3, OFFERED_CONNECTIONS)
        half = loads.at_rate(server, payload, saturation / 2, pace.overload_seconds / 4, OFFERED_CONNECTIONS)
        twice, memory = _twice(server, payload, saturation, pace.overload_seconds)
        time.sleep(1.0)
        after = loads.closed(server, payload, CONNECTIONS, 2).rate
    return {
        "rows": ROWS,
        "seconds": pace.overload_seconds,
        "saturation": round(saturation, 1),
        "half": half,
        "twice": twice,
        "memory_mb": [round(value, 1) for value in memory],
        "after": round(after, 1),
    }


def _twice(
    server: Server, payload: loads.Payload, saturation: float, seconds: float
) -> tuple[dict[str, Any], list[float]]:
    """What the generator saw, and the server's memory once a tenth of the time."""
    process = loads.begin_open(server, payload, saturation * 2, seconds, OFFERED_CONNECTIONS)
    memory = []
    for _ in range(10):
        time.sleep(seconds / 10)
        memory.append(server.memory_mb())
    return loads.end_open(process), memory


def admitted_p99_ms(load: dict[str, Any]) -> float:
    """Of the answers with a prediction."""
    return loads.p99_ms(load)


def refused_p99_ms(load: dict[str, Any]) -> float:
    """Of the refusals, from when the request was sent: the generator's own queue is not the server's."""
    found = load["statuses"].get(REFUSED)
    return float(found["sent_p99_ms"]) if found else 0.0


def lost(load: dict[str, Any]) -> int:
    """Requests that got neither a prediction nor a refusal."""
    others = [
        found["count"] for status, found in load["statuses"].items() if status not in (loads.OK, REFUSED)
    ]
    return int(sum(others) + load["unanswered"])
