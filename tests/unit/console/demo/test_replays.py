"""Replaying rows against a real HTTP server on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from pilotage.console.demo.replays import Pace, Replay
from pilotage.core import errors


class Model(BaseHTTPRequestHandler):
    """Answers as a model server does; a row whose `a` is 13 breaks it."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Model.seen.append((self.path, body))
        if self.path == "/labels":
            self.answer(200 if body["ids"][0] != "bad" else 422, {})
        elif any(row["a"] == 13 for row in body["rows"]):
            self.answer(500, {})
        else:
            shares = [[1 - row["a"] / 100, row["a"] / 100] for row in body["rows"]]
            self.answer(200, {"version": 2, "probabilities": shares, "classes": [False, True]})

    def answer(self, status: int, document: Any) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """A running server."""
    Model.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


TRAFFIC = pl.DataFrame(
    {"id": [f"r{n}" for n in range(20)], "a": range(20), "late": [n % 2 == 0 for n in range(20)]}
)


@pytest.fixture
def replay(url: str) -> Iterator[Replay]:
    """A replay of twenty rows."""
    made = Replay(url, TRAFFIC, "id", "late", Pace(20.0))
    yield made
    made.close()


def test_every_span_is_sent_in_order_and_its_scores_are_kept(replay: Replay) -> None:
    spans = [(0, 5), (5, 6), (6, 12)]
    assert [(item.first, item.rows) for item in replay.send(spans)] == [(0, 5), (5, 1), (6, 6)]
    assert {item.status for item in replay.exchanges} == {200}
    assert {item.version for item in replay.exchanges} == {2}
    assert replay.scores[:12] == pytest.approx(np.arange(12) / 100)
    assert np.isnan(replay.scores[12:]).all()
    assert all("late" not in row for _, body in Model.seen for row in body["rows"])


def test_an_answer_other_than_200_is_a_failed_request(replay: Replay) -> None:
    failed = [item.status for item in replay.send([(12, 13), (13, 14), (14, 15)])]
    assert failed == [200, 500, 200]
    assert np.isnan(replay.scores[13])


def test_no_answer_is_a_failed_request() -> None:
    replay = Replay("http://127.0.0.1:9", TRAFFIC, "id", "late", Pace(20.0))
    [item] = replay.send([(0, 2)])
    assert (item.status, item.version) == (0, 0)
    replay.close()


def test_labels_are_sent_with_their_ids(replay: Replay) -> None:
    assert replay.send_labels(2, 4) == 2
    assert Model.seen[-1] == ("/labels", {"ids": ["r2", "r3"], "labels": [True, False]})


def test_labels_that_are_not_taken_are_an_error(url: str) -> None:
    replay = Replay(url, TRAFFIC.with_columns(id=pl.lit("bad")), "id", "late", Pace(20.0))
    with pytest.raises(errors.Failure, match="422"):
        replay.send_labels(0, 1)
    replay.close()


def test_a_slow_pace_holds_requests_back_until_it_ends(replay: Replay) -> None:
    pace = replay._pace
    pace.slow.set()
    began = time.monotonic()
    list(replay.send([(n, n + 1) for n in range(7)]))
    assert time.monotonic() - began >= 6 / 20
    assert not pace.slow.is_set()
