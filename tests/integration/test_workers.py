"""Several serving processes on one port: even shares, deaths, replacement, and ends that nobody notices."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.unit.serving import small_models

from pilotage.core import settings, window_files, windows
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.core.windows import Window

pytestmark = pytest.mark.usefixtures("uncovered")

SCRIPT = """
import logging, sys
from pathlib import Path
from pilotage.core import errors, pilots, settings
from pilotage.serving import limits, servers
logging.basicConfig(level=logging.INFO)
folder, url_file, workers = sys.argv[1:]
try:
    servers.run(
        pilots.load(Path(folder)),
        settings.load(),
        port=0,
        workers=int(workers),
        on_ready=Path(url_file).write_text,
        limits=limits.Limits(drain_seconds=10),
    )
except errors.PilotageError as error:
    sys.exit(f"{int(error.exit_code)}: {error}")
"""
ROWS = {"rows": small_models.rows(3)}


@dataclass
class Server:
    """A server, and what it wrote."""

    process: subprocess.Popen[bytes]
    url: str
    settings: Settings
    log: Path

    def workers(self) -> list[int]:
        """Process ids of the workers that live."""
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in tasks.split()]

    def windows(self) -> list[Window]:
        storage = Storage(self.settings.storage)
        names = [name for name in storage.names("windows/flights") if name.endswith(windows.WINDOW_SUFFIX)]
        return [window_files.decode(storage.read(name)).window() for name in names]

    def metric(self, name: str) -> float:
        text = httpx.get(f"{self.url}/metrics").text
        found = re.search(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", text, re.MULTILINE)
        assert found, text
        return float(found[1])

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def wait_for(claim: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def sockets(pid: int) -> int:
    """How many sockets a process has open."""
    links = [entry for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()]
    return sum(str(link.readlink()).startswith("socket:") for link in links)


def lives(pid: int) -> bool:
    """Whether a process runs, not as a zombie."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion."""
    home = tmp_path_factory.mktemp("template")
    found = settings.load(home=home)
    small_models.register(found, small_models.predictor(seed=1))
    Registry(found).promote(small_models.NAME, 1)
    return home


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path, home: Path, template: Path) -> Iterator[Start]:
    """Starts servers, and ends those that the test left."""
    shutil.copytree(template, home)
    small_models.pilot(tmp_path / "pilot")
    started: list[Server] = []

    def begin(workers: int, **variables: str) -> Server:
        url_file, log = tmp_path / f"url-{len(started)}", tmp_path / f"log-{len(started)}"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(tmp_path / "pilot"), str(url_file), str(workers)],
                env={**os.environ, "PILOTAGE_FLUSH_SECONDS": "0.3", **variables},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        server = Server(process, "", settings.load(home=home), log)
        started.append(server)
        wait_for(lambda: process.poll() is not None or (url_file.exists() and url_file.read_text()), 60)
        assert process.poll() is None, log.read_text()
        server.url = url_file.read_text()
        return server

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@dataclass
class Load:
    """Clients that keep their connections and send request after request."""

    pick: Callable[[], str]
    """The URL for the next request."""
    answered: int = 0

    def __post_init__(self) -> None:
        self.failures: list[object] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(6)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(f"{self.pick()}/predict", json=ROWS)
                except httpx.HTTPError as error:
                    self.failures.append(error)
                    continue
                self.answered += 1
                if answer.status_code != 200:
                    self.failures.append((answer.status_code, answer.text))
                time.sleep(0.005)

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_connections_spread_evenly_and_counts_are_of_all_workers(start: Start) -> None:
    server = start(2)
    workers = server.workers()
    assert len(workers) == 2
    before = {pid: sockets(pid) for pid in workers}
    with ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=30)) for _ in range(16)]
        for client in clients:
            assert client.post("/predict", json=ROWS).status_code == 200
        shares = [sockets(pid) - before[pid] for pid in workers]
        assert sum(shares) == 16
        assert max(shares) - min(shares) <= 2, shares
        for client in clients:
            assert client.post("/predict", json=ROWS).status_code == 200
    wait_for(lambda: server.metric("pilotage_rows_total") == 2 * 16 * 3, 5)
    assert server.stop() == 0
    found = server.windows()
    assert len(found) > 1
    assert windows.merge(found).rows == 2 * 16 * 3
    assert "Traceback" not in server.log.read_text()


def test_a_worker_that_is_killed_is_replaced_and_loses_only_what_was_not_flushed(start: Start) -> None:
    server = start(2)
    for _ in range(40):
        assert httpx.post(f"{server.url}/predict", json=ROWS).status_code == 200
    wait_for(lambda: server.windows() and windows.merge(server.windows()).rows == 120)
    victim = server.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: not lives(victim))
    for _ in range(40):
        assert httpx.post(f"{server.url}/predict", json=ROWS).status_code == 200
    wait_for(lambda: len(server.workers()) == 2)
    wait_for(lambda: "was killed by SIGKILL, starting another" in server.log.read_text())
    assert server.metric("pilotage_rows_total") >= 120
    assert server.stop() == 0
    assert windows.merge(server.windows()).rows == 240


def test_replacing_the_workers_under_load_fails_no_request(start: Start) -> None:
    server = start(2)
    before = set(server.workers())
    load = Load(lambda: server.url)
    try:
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(server.workers()) == 2 and not before & set(server.workers()), 60)
        answered = load.answered
        wait_for(lambda: load.answered > answered + 50)
    finally:
        load.end()
    assert load.failures == []
    assert server.stop() == 0
    assert windows.merge(server.windows()).rows == 3 * load.answered


def test_stopping_one_of_two_servers_behind_a_balancer_fails_no_request(start: Start) -> None:
    servers = [start(1, PILOTAGE_DRAIN_DELAY_SECONDS="1.5"), start(1)]
    ready = [server.url for server in servers]
    stop = threading.Event()

    def look() -> None:
        """What a balancer does: ask each server whether it is ready, and leave out those that are not."""
        while not stop.wait(0.1):
            for url in list(ready):
                try:
                    if httpx.get(f"{url}/health/ready").status_code == 200:
                        continue
                except httpx.HTTPError:
                    pass
                ready.remove(url)

    watcher = threading.Thread(target=look)
    watcher.start()
    turn = iter(range(10**9))
    load = Load(lambda: ready[next(turn) % len(ready)])
    try:
        wait_for(lambda: load.answered > 50)
        assert servers[0].stop() == 0
        answered = load.answered
        wait_for(lambda: load.answered > answered + 50)
    finally:
        load.end()
        stop.set()
        watcher.join()
    assert load.failures == []
    assert ready == [servers[1].url]


def test_a_server_that_drains_is_not_ready_at_once_and_answers_still(start: Start) -> None:
    server = start(2, PILOTAGE_DRAIN_DELAY_SECONDS="1.5")
    server.process.send_signal(signal.SIGTERM)
    with httpx.Client(base_url=server.url) as client:
        wait_for(lambda: client.get("/health/ready").status_code == 503, 1)
        answer = client.get("/health/ready")
        assert "draining" in answer.json()["detail"]
        assert client.get("/health/live").status_code == 200
        assert client.post("/predict", json=ROWS).status_code == 200
    assert server.process.wait(20) == 0


def test_workers_end_in_order_when_their_supervisor_is_killed(start: Start) -> None:
    server = start(2, PILOTAGE_FLUSH_SECONDS="600")
    workers = server.workers()
    assert httpx.post(f"{server.url}/predict", json=ROWS).status_code == 200
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not any(lives(pid) for pid in workers))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health/live")
    assert windows.merge(server.windows()).rows == 3


def test_what_no_worker_can_serve_ends_the_server_with_the_reason(start: Start, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"2: .*nosuch"):
        start(2, PILOTAGE_STORAGE_URL="nosuch://bucket")
