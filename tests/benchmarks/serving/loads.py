"""Load on a server: wrk as fast as it answers, or arrivals at a rate of their own.

wrk sends the next request when the last one is answered, so it finds how much a server does and cannot
say what users feel when it does not keep up; `arrivals` can.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import environments
from tests.benchmarks.serving import stages
from tests.benchmarks.serving.processes import Server

HERE = Path(__file__).parent
OK = "200"


@dataclass(frozen=True)
class Payload:
    """A folder of numbered bodies."""

    folder: Path
    rows: int

    @property
    def first(self) -> bytes:
        """One of the bodies."""
        return (self.folder / "000.json").read_bytes()


@dataclass(frozen=True)
class Closed:
    """What wrk measured."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    """Answers of 400 and more."""
    broken: int
    """Connections that failed, and answers that never came."""

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (self.requests - self.refused) / self.seconds

    @property
    def errors(self) -> int:
        """Requests without a good answer."""
        return self.refused + self.broken


def write(folder: Path, rows: int, bodies: list[bytes]) -> Payload:
    """Keep the bodies for the generators."""
    assert len(bodies) == stages.BODIES
    folder.mkdir(parents=True)
    for number, body in enumerate(bodies):
        (folder / f"{number:03}.json").write_bytes(body)
    return Payload(folder, rows)


def has_wrk() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def wrk_version() -> str:
    """As wrk tells it."""
    told = subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout
    return told.partition(" Copyright")[0].strip()


def closed(server: Server, payload: Payload, connections: int, seconds: float) -> Closed:
    """Ask over `connections` connections, each as soon as it has its answer.

    wrk leaves when its time is over; what a server still works on then is waited for.
    """
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{max(1, math.ceil(seconds))}s", "--timeout", "30s",
        "-s", str(HERE / "wrk.lua"), f"http://127.0.0.1:{server.port}{server.path}",
    ]  # fmt: skip
    variables = environments.variables(BENCH_PAYLOAD=str(payload.folder), BENCH_BODIES=str(stages.BODIES))
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode != 0:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stderr}{done.stdout}")
    server.ask(payload.first, timeout=120)
    return Closed(**json.loads(done.stdout.splitlines()[-1]))


def begin_open(
    server: Server, payload: Payload, rate: float, seconds: float, connections: int = 256
) -> subprocess.Popen[str]:
    """Begin to ask `rate` times a second, whether answers come or not."""
    request = {
        "port": server.port, "path": server.path, "payload": str(payload.folder), "rate": rate,
        "seconds": seconds, "connections": connections,
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, str(HERE / "arrivals.py"), json.dumps(request)],
        env=environments.variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def end_open(process: subprocess.Popen[str], timeout: float = 180.0) -> dict[str, Any]:
    """What `arrivals` measured, when it is done."""
    output, complaint = process.communicate(timeout=timeout)
    if process.returncode != 0:
        raise RuntimeError(f"The generator ended with {process.returncode}: {complaint[-2000:]}")
    found: dict[str, Any] = json.loads(output)
    return found


def at_rate(
    server: Server, payload: Payload, rate: float, seconds: float, connections: int = 256
) -> dict[str, Any]:
    """Ask `rate` times a second and wait for the end."""
    return end_open(begin_open(server, payload, rate, seconds, connections), timeout=seconds + 120)


def p99_ms(measured: dict[str, Any]) -> float:
    """Of good answers, counted from when each was due; infinite when there was none."""
    good = measured["statuses"].get(OK)
    return float(good["p99_ms"]) if good else float("inf")


def failures(measured: dict[str, Any]) -> int:
    """Requests of an open load that did not get a good answer."""
    others = [found["count"] for status, found in measured["statuses"].items() if status != OK]
    return int(sum(others) + measured["unanswered"])
