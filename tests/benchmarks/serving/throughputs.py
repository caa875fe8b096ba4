"""How many requests each contender answers, how fast, in how much memory, and how soon after its start."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tests.benchmarks.serving import loads
from tests.benchmarks.serving.contenders import Contender
from tests.benchmarks.serving.fleets import Fleet
from tests.benchmarks.serving.paces import Pace
from tests.benchmarks.serving.processes import running
from tests.benchmarks.serving.stages import Stage

Results = dict[str, Any]


def closed_loops(fleet: Fleet, pace: Pace) -> Results:
    """Every payload and number of connections, contenders in turn, so that all share the machine's moods."""
    cells: dict[tuple[str, int, int], list[loads.Closed]] = {}
    seconds: dict[tuple[str, int, int], float] = {}
    for turn in range(pace.rounds):
        for rows in pace.row_counts:
            for connections in pace.connection_counts:
                for name in fleet.servers:
                    cell, payload = (name, rows, connections), fleet.payload(name, rows)
                    with fleet.only(name) as server:
                        if turn == 0:
                            warm = loads.closed(server, payload, connections, pace.warm_seconds)
                            seconds[cell] = _seconds(warm, connections, pace)
                        found = loads.closed(server, payload, connections, seconds[cell])
                    cells.setdefault(cell, []).append(found)
    memory = {}
    for name in fleet.servers:
        with fleet.only(name) as server:
            memory[name] = round(server.memory_mb(), 1)
    return {
        "rounds": pace.rounds,
        "seconds": pace.seconds,
        "cells": [_cell(*key, measured) for key, measured in cells.items()],
        "memory_mb": memory,
    }


def _seconds(warm: loads.Closed, connections: int, pace: Pace) -> float:
    """Long enough that every connection is answered several times, by the slowest server too."""
    return min(pace.most_seconds, max(pace.seconds, 4 * connections / max(warm.rate, 1.0)))


def _cell(name: str, rows: int, connections: int, measured: list[loads.Closed]) -> Results:
    return {
        "contender": name,
        "rows": rows,
        "connections": connections,
        "rate": round(statistics.median(one.rate for one in measured), 1),
        "p50_ms": round(statistics.median(one.p50_ms for one in measured), 2),
        "p99_ms": round(statistics.median(one.p99_ms for one in measured), 2),
        "errors": sum(one.errors for one in measured),
        "rounds": [asdict(one) for one in measured],
    }


def cold_starts(stage: Stage, chosen: Sequence[Contender], pace: Pace) -> Results:
    """Seconds from the start of each process to its first right answer, contenders in turn."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in chosen}
    for _ in range(pace.cold_starts):
        for contender in chosen:
            with running(contender.start(stage)) as server:
                seconds[contender.name].append(round(server.cold_seconds, 3))
    return {
        "starts": pace.cold_starts,
        "seconds": {
            name: {"median": statistics.median(all_), "each": all_} for name, all_ in seconds.items()
        },
    }
