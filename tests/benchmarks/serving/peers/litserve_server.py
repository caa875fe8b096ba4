"""The flights as a LitServe API with its batching on; the port is the only argument."""

from __future__ import annotations

import sys
from typing import Any

import litserve
from flights import Flights

Rows = list[dict[str, Any]]


class FlightsAPI(litserve.LitAPI):
    """Requests that wait together are one call of the model."""

    def setup(self, device: str) -> None:
        """Load the model in the worker."""
        self.flights = Flights()

    def decode_request(self, request) -> Rows:
        """The rows of one request, whose annotation LitServe would read and take for a query parameter."""
        rows: Rows = request["rows"]
        return rows

    def batch(self, inputs: list[Rows]) -> tuple[Rows, list[int]]:
        """The rows of all requests, and how many each has."""
        return [row for rows in inputs for row in rows], [len(rows) for rows in inputs]

    def predict(self, x: tuple[Rows, list[int]]) -> tuple[list[float], list[int]]:
        """One call of the model."""
        rows, counts = x
        return self.flights.probabilities(rows), counts

    def unbatch(self, output: tuple[list[float], list[int]]) -> list[list[float]]:
        """Each request's share of the answer."""
        found, counts = output
        ends = [sum(counts[: position + 1]) for position in range(len(counts))]
        return [found[end - count : end] for end, count in zip(ends, counts, strict=True)]

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        """One request's answer."""
        return {"predictions": output}


if __name__ == "__main__":
    api = FlightsAPI(max_batch_size=64, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
