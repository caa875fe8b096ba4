"""The parts of the serving benchmark whose mistakes would look like good figures."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.benchmarks.serving import goals, loads

ANSWER_SECONDS = 0.05


@contextmanager
def serving(status: Callable[[int], int]) -> Iterator[int]:
    """A server that answers one request at a time, each in `ANSWER_SECONDS`; yields its port."""
    asked: list[int] = []
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with turn:
                asked.append(1)
                time.sleep(ANSWER_SECONDS)
                found = status(len(asked))
            self.send_response(found)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def offer(folder: Path, port: int, rate: float, seconds: float) -> dict[str, Any]:
    """An open load on a server."""
    (folder / "000.json").write_bytes(b"{}")
    request = {"port": port, "path": "/", "payload": str(folder), "rate": rate, "seconds": seconds}
    command = [sys.executable, str(loads.HERE / "arrivals.py"), json.dumps(request | {"connections": 4})]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def test_what_waits_for_a_slow_server_counts_as_latency(tmp_path: Path):
    """20 answers a second are possible and 60 asked for: the last one waits for all before it."""
    with serving(lambda number: 200) as port:
        found = offer(tmp_path, port, rate=60, seconds=1)
    assert found["offered"] == found["statuses"]["200"]["count"] == 60
    assert found["unanswered"] == 0
    assert loads.p99_ms(found) > 1000


def test_refusals_are_no_answers(tmp_path: Path):
    with serving(lambda number: 200 if number % 2 else 503) as port:
        found = offer(tmp_path, port, rate=10, seconds=1)
    assert {status: kind["count"] for status, kind in found["statuses"].items()} == {"200": 5, "503": 5}
    assert loads.failures(found) == 5


def throughput(**rates: float) -> dict[str, Any]:
    cells = [
        {"contender": name.replace("_", "-"), "rows": 1, "connections": 64, "rate": rate, "errors": 0}
        for name, rate in rates.items()
    ]
    return {"throughput": {"cells": cells}}


def test_a_goal_is_missed_just_below_it():
    exact = throughput(pilotage=15_000.0, mlflow=150.0, litserve_batching=1_000.0, bare_uvicorn=25_000.0)
    assert [str(goal) for goal in goals.judge(exact) if not goal.met] == []
    below = throughput(pilotage=14_999.0, mlflow=150.0, litserve_batching=1_000.0, bare_uvicorn=25_000.0)
    assert [goal.met for goal in goals.judge(below)] == [False, False, False, True]


def test_a_bare_parser_is_no_peer():
    found = goals.rates(throughput(pilotage=9.0, bare_uvicorn=100.0, kserve=1.0)["throughput"], 1, 64)
    assert goals.best_peer(found) == "kserve"


def test_an_overload_that_refuses_nothing_or_late_misses_its_goal():
    def load(p99: float, refused: dict[str, Any]) -> dict[str, Any]:
        return {"statuses": {"200": {"count": 1, "p99_ms": p99}, **refused}, "unanswered": 0}

    def missed(refused: dict[str, Any]) -> int:
        found = {"half": load(10.0, {}), "twice": load(20.0, refused), "memory_mb": [100.0, 100.0]}
        return sum(
            not goal.met for goal in goals.judge({"overload": found | {"after": 9.9, "saturation": 10.0}})
        )

    assert missed({"503": {"count": 1, "sent_p99_ms": 10.0}}) == 0
    assert missed({"503": {"count": 1, "sent_p99_ms": 10.1}}) == 1
    assert missed({}) == 1
