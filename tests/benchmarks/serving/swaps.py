"""A hundred changes of the champion under load: what fails, and what each change leaves behind."""

from __future__ import annotations

import time
from typing import Any

import orjson
from tests.benchmarks.serving import fleets, loads, stages
from tests.benchmarks.serving.contenders import BY_NAME, OURS
from tests.benchmarks.serving.paces import Pace
from tests.benchmarks.serving.processes import Server, running
from tests.benchmarks.serving.stages import Stage

from pilotage.core import settings
from pilotage.core.registry import Registry

RATE = 300.0
"""Requests a second meanwhile."""
POLL_SECONDS = 0.1
_SWAP_SECONDS, _MOST_SECONDS = 30.0, 1200.0
_SETTLING = 4
"""Swaps before the first weighing: the first few load what every later one shares."""


def measure(stage: Stage, pace: Pace) -> dict[str, Any]:
    """Promote two versions in turn while one-row requests come at `RATE`."""
    second = stages.second_version(stage)
    registry = Registry(settings.load(home=stage.home))
    ours = BY_NAME[OURS]
    payload = fleets.payload(stage, ours, 1)
    with running(ours.start(stage, PILOTAGE_POLL_SECONDS=str(POLL_SECONDS))) as server:
        process = loads.begin_open(server, payload, RATE, _MOST_SECONDS)
        _swap(registry, server, payload.first, second, _SETTLING)
        before = _weigh(server)
        began = time.perf_counter()
        took = _swap(registry, server, payload.first, second, pace.swaps)
        elapsed = time.perf_counter() - began
        after = _weigh(server)
        process.terminate()
        load = loads.end_open(process)
    registry.promote(stages.NAME, 1)
    return {
        "swaps": pace.swaps,
        "seconds": round(elapsed, 1),
        "slowest_swap_seconds": round(max(took), 2),
        "rate": RATE,
        "answered": sum(found["count"] for found in load["statuses"].values()),
        "failed": loads.failures(load),
        "p99_ms": loads.p99_ms(load),
        "before": before,
        "after": after,
    }


def _swap(registry: Registry, server: Server, body: bytes, second: int, swaps: int) -> list[float]:
    """Promote the other version `swaps` times, each time until it answers; seconds each took."""
    took = []
    version = _version(server, body)
    for _ in range(swaps):
        version = 1 if version == second else second
        began = time.perf_counter()
        registry.promote(stages.NAME, version)
        while _version(server, body) != version:
            assert time.perf_counter() - began < _SWAP_SECONDS, f"version {version} never answered"
            time.sleep(0.02)
        took.append(time.perf_counter() - began)
    return took


def _version(server: Server, body: bytes) -> int:
    status, answer = server.ask(body)
    assert status == 200, f"a request during a swap was answered {status}: {answer[:500]!r}"
    return int(orjson.loads(answer)["version"])


def _weigh(server: Server) -> dict[str, float]:
    time.sleep(1.0)
    return {
        "memory_mb": round(server.memory_mb(), 1),
        "threads": server.threads(),
        "descriptors": server.descriptors(),
    }
