"""An open load: requests fall due at a constant rate, and each latency counts from when it was due.

A closed loop waits for a slow server and so forgets the requests that users would have sent meanwhile
("coordinated omission"); this one sends them on further connections, and what has to wait for a
connection waits on the server's account. Runs as a process of its own, with a JSON object as its only
argument, and prints one.
"""

from __future__ import annotations

import asyncio
import collections
import json
import math
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, cast

import uvloop

GRACE_SECONDS = 15.0
"""How long answers are waited for after the last request fell due."""
OPENED_AHEAD = 64
"""Connections that are open before the first request."""


class Connection(asyncio.Protocol):
    """One kept connection, with at most one request in progress."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._due = self._sent = 0.0
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._load.free(self)

    def send(self, due: float, request: bytes) -> None:
        """Send a request that was due at `due`."""
        assert self._transport is not None
        self._due, self._sent, self._busy = due, time.perf_counter(), True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        lowered = head.lower()
        at = lowered.find(b"\r\ncontent-length:")
        length = int(lowered[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else -1
        if len(rest) < length or (length < 0 and not rest.endswith(b"0\r\n\r\n")):
            return
        self._received, self._busy = b"", False
        self._load.answered(head[9:12].decode(), self._due, self._sent)
        if b"\r\nconnection: close" in lowered:
            assert self._transport is not None
            self._transport.close()
        else:
            self._load.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy:
            self._load.answered("lost", self._due, self._sent)
        self._load.lost(self)


class Load:
    """The requests of one run."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._port, self._rate = int(request["port"]), float(request["rate"])
        self._seconds, self._most = float(request["seconds"]), int(request["connections"])
        head = f"POST {request['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self._requests = [
            f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
            for body in (path.read_bytes() for path in sorted(Path(request["payload"]).glob("*.json")))
        ]
        self._idle: list[Connection] = []
        self._waiting: collections.deque[float] = collections.deque()
        self._open = self._opening = self._sent = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._began = 0.0
        self._due = 0
        self._ended = False
        self.answers: list[tuple[str, float, float, float]] = []
        """Status, when due and sent and answered."""

    def free(self, connection: Connection) -> None:
        """Take a connection back, or give it what waits."""
        if self._waiting:
            self._dispatch(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def answered(self, status: str, due: float, sent: float) -> None:
        """Note an answer."""
        self.answers.append((status, due, sent, time.perf_counter()))

    def lost(self, connection: Connection) -> None:
        """Forget a connection that ended."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)

    async def run(self) -> dict[str, Any]:
        """Send everything, wait for the answers, sum up."""
        for _ in range(min(OPENED_AHEAD, self._most)):
            self._connect()
        await asyncio.gather(*self._tasks)
        if not self._idle:
            raise ConnectionError(f"Nothing takes connections on port {self._port}.")
        self._began = time.perf_counter()
        total = int(self._rate * self._seconds)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        while self._due < total and not self._ended:
            reached = min(total, int((time.perf_counter() - self._began) * self._rate) + 1)
            for number in range(self._due, reached):
                self._fall_due(self._began + number / self._rate)
            self._due = reached
            await asyncio.sleep(min(0.001, 0.5 / self._rate))
        total = self._due
        until = time.perf_counter() + GRACE_SECONDS
        while len(self.answers) < total and time.perf_counter() < until:
            await asyncio.sleep(0.01)
        return self._summary(total)

    def _end(self) -> None:
        """Offer nothing more: SIGTERM is how a load whose length nobody knew ahead ends."""
        self._ended = True
        self._seconds = time.perf_counter() - self._began

    def _fall_due(self, due: float) -> None:
        if self._idle:
            self._dispatch(self._idle.pop(), due)
            return
        self._waiting.append(due)
        if self._open + self._opening < self._most and self._opening < len(self._waiting):
            self._connect()

    def _dispatch(self, connection: Connection, due: float) -> None:
        connection.send(due, self._requests[self._sent % len(self._requests)])
        self._sent += 1

    def _connect(self) -> None:
        self._opening += 1
        task = asyncio.get_running_loop().create_task(self._connected())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self) -> None:
        try:
            self._open += 1
            await asyncio.get_running_loop().create_connection(
                lambda: Connection(self), "127.0.0.1", self._port
            )
        except OSError:
            self._open -= 1
        finally:
            self._opening -= 1

    def _summary(self, total: int) -> dict[str, Any]:
        statuses = {
            status: _percentiles([answer for answer in self.answers if answer[0] == status])
            for status in sorted({answer[0] for answer in self.answers})
        }
        lags = sorted((sent - due) * 1e3 for _, due, sent, _ in self.answers)
        return {
            "rate": self._rate,
            "seconds": self._seconds,
            "offered": total,
            "unanswered": total - len(self.answers),
            "statuses": statuses,
            "sent_late_p99_ms": _percentile(lags, 99),
            "timeline": [self._second(number) for number in range(math.ceil(self._seconds))],
        }

    def _second(self, number: int) -> dict[str, Any]:
        """What became of the requests that fell due in one second."""
        begin = self._began + number
        answers = [answer for answer in self.answers if begin <= answer[1] < begin + 1]
        good = sorted((answer[3] - answer[1]) * 1e3 for answer in answers if answer[0] == "200")
        return {"good": len(good), "other": len(answers) - len(good), "p99_ms": _percentile(good, 99)}


def _percentiles(answers: list[tuple[str, float, float, float]]) -> dict[str, float]:
    """Latencies from when a request was due, and for comparison from when it was sent."""
    due = sorted((answer[3] - answer[1]) * 1e3 for answer in answers)
    sent = sorted((answer[3] - answer[2]) * 1e3 for answer in answers)
    return {
        "count": len(answers),
        "p50_ms": _percentile(due, 50),
        "p99_ms": _percentile(due, 99),
        "max_ms": due[-1],
        "sent_p50_ms": _percentile(sent, 50),
        "sent_p99_ms": _percentile(sent, 99),
    }


def _percentile(ordered: list[float], percent: float) -> float:
    """The nearest rank; 0 of nothing."""
    if not ordered:
        return 0.0
    return round(ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)], 3)


def main() -> None:
    """Run the load that the first argument describes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = uvloop.run(Load(json.loads(sys.argv[1])).run())
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
