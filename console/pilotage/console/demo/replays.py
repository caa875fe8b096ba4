"""Replays rows as HTTP requests in order of time and keeps what came back.

A request that is not answered with 200 has failed; none is repeated. When a
retraining runs, the replay slows down, so that hardly more than a week of the
data's time goes by meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import orjson
import polars as pl

from pilotage.core import errors

CONNECTIONS = 2
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    first: int
    """Row of the traffic with which it began."""
    rows: int
    milliseconds: float
    status: int
    """0 where no answer came."""
    version: int = 0


@dataclass
class Pace:
    """At most so many requests a second while `slow` is set."""

    requests_per_second: float
    slow: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next: float = 0.0

    def wait(self) -> None:
        """Wait for the turn of one request."""
        if not self.slow.is_set():
            return
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + 1.0 / self.requests_per_second
        while (left := turn - time.monotonic()) > 0 and self.slow.is_set():
            time.sleep(min(left, 0.05))


class Replay:
    """Sends rows of `traffic` to a model server."""

    def __init__(self, url: str, traffic: pl.DataFrame, key: str, target: str, pace: Pace) -> None:
        self._client = httpx.Client(
            base_url=url,
            timeout=_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=CONNECTIONS + 1),
            headers={"content-type": "application/json"},
            trust_env=False,
        )
        self._rows = traffic.drop(target)
        self._ids = traffic[key]
        self._labels = traffic[target]
        self._pace = pace
        self.exchanges: list[Exchange] = []
        self.scores = np.full(traffic.height, np.nan)
        """Probability that a flight is late, as it was served."""

    def send(self, spans: Iterable[tuple[int, int]]) -> Iterator[Exchange]:
        """Send a request for each span of rows, in order, and give each exchange once it is over."""
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="replay") as pool:
            try:
                for exchange in pool.map(self._exchange, spans):
                    self.exchanges.append(exchange)
                    yield exchange
            finally:
                self._pace.slow.clear()
                pool.shutdown(cancel_futures=True)

    def send_labels(self, first: int, last: int) -> int:
        """Send the labels of rows `first` to `last`; returns how many.

        Raises:
            Failure: the server did not take them.
        """
        body = {"ids": self._ids[first:last].to_list(), "labels": self._labels[first:last].to_list()}
        answer = self._client.post("/labels", content=orjson.dumps(body))
        if answer.status_code != 200:
            raise errors.Failure(
                f"The server answered {answer.status_code} to {last - first} labels: {answer.text[:300]}"
            )
        return last - first

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _exchange(self, span: tuple[int, int]) -> Exchange:
        first, last = span
        body = f'{{"rows":{self._rows[first:last].write_json()}}}'
        self._pace.wait()
        began = time.perf_counter()
        try:
            answer = self._client.post("/predict", content=body)
        except httpx.HTTPError:
            return Exchange(first, last - first, (time.perf_counter() - began) * 1000, 0)
        milliseconds = (time.perf_counter() - began) * 1000
        if answer.status_code != 200:
            return Exchange(first, last - first, milliseconds, answer.status_code)
        document: dict[str, Any] = orjson.loads(answer.content)
        late = document["classes"].index(True)
        self.scores[first:last] = [shares[late] for shares in document["probabilities"]]
        return Exchange(first, last - first, milliseconds, 200, int(document["version"]))
