"""The flights as a BentoML service; BENCH_BATCHING chooses whether its adaptive batching is on."""

from __future__ import annotations

import os
from typing import Any

import bentoml
from flights import Flights

BATCHING = os.environ.get("BENCH_BATCHING") == "1"


@bentoml.service(workers=1)
class Service:
    """One endpoint, `/predict`."""

    def __init__(self) -> None:
        self.flights = Flights()

    @bentoml.api(batchable=BATCHING, max_batch_size=1000, max_latency_ms=10_000)
    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """Probabilities of the rows, which may be those of several requests."""
        return self.flights.probabilities(rows)
