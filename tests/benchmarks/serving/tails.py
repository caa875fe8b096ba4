"""The slowest answers of each peer and of Pilotage at the same offered load, which the peer can carry."""

from __future__ import annotations

import statistics
from typing import Any

from tests.benchmarks.serving import loads
from tests.benchmarks.serving.contenders import BY_NAME, OURS
from tests.benchmarks.serving.fleets import Fleet
from tests.benchmarks.serving.paces import Pace

SHARE = 0.6
"""Of what the slower of the two does at most."""
LEAST = 5.0
"""Requests a second, where a server does next to nothing."""
_WARM_SECONDS = 1.0


def same_load(fleet: Fleet, pace: Pace, throughput: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry for each peer and payload."""
    connections = max(pace.connection_counts)
    most = {
        (cell["contender"], cell["rows"]): cell["rate"]
        for cell in throughput["cells"]
        if cell["connections"] == connections
    }
    return [
        _pair(fleet, pace, name, rows, max(LEAST, SHARE * min(most[name, rows], most[OURS, rows])))
        for rows in pace.tail_row_counts
        for name in fleet.servers
        if BY_NAME[name].is_peer
    ]


def _pair(fleet: Fleet, pace: Pace, peer: str, rows: int, rate: float) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {peer: [], OURS: []}
    for _ in range(pace.tail_rounds):
        for name, measured in found.items():
            payload = fleet.payload(name, rows)
            with fleet.only(name) as server:
                loads.at_rate(server, payload, rate, _WARM_SECONDS)
                measured.append(loads.at_rate(server, payload, rate, pace.tail_seconds))
    return {
        "peer": peer,
        "rows": rows,
        "rate": round(rate, 1),
        "peer_p99_ms": _p99(found[peer]),
        "ours_p99_ms": _p99(found[OURS]),
        "peer_failures": sum(map(loads.failures, found[peer])),
        "ours_failures": sum(map(loads.failures, found[OURS])),
    }


def _p99(measured: list[dict[str, Any]]) -> float:
    return round(statistics.median(loads.p99_ms(one) for one in measured), 2)
