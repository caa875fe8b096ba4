"""The flights as a model of KServe's Python server; its own arguments choose port and workers."""

from __future__ import annotations

from typing import Any

import kserve
from flights import Flights


class FlightsModel(kserve.Model):
    """Version 1 of the protocol, rows as `instances`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.flights = Flights()
        self.ready = True

    def predict(
        self, payload: dict[str, Any], headers: Any = None, response_headers: Any = None
    ) -> dict[str, list[float]]:
        """Probabilities of the instances."""
        return {"predictions": self.flights.probabilities(payload["instances"])}


if __name__ == "__main__":
    arguments = kserve.model_server.parser.parse_args()
    kserve.ModelServer(
        http_port=arguments.http_port, workers=1, enable_grpc=False, enable_latency_logging=False
    ).start([FlightsModel("flight-delay")])
