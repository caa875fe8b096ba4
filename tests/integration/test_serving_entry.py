"""`python -m pilotage.serving`, as a container runs it: pinned versions, MLflow over HTTP, orderly ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.unit.serving import small_models

from pilotage.core import logs, settings
from pilotage.core.registry import Registry
from pilotage.serving import __main__ as entry

pytestmark = pytest.mark.usefixtures("uncovered")

ROWS = {"rows": small_models.rows(3)}


@dataclass
class Server:
    """A server that was started, and where it says that it is ready."""

    process: subprocess.Popen[bytes]
    ready_file: Path
    log: Path

    def url(self) -> str:
        wait_for(lambda: self.process.poll() is not None or self.ready_file.exists(), 60)
        assert self.process.poll() is None, self.log.read_text()
        return str(json.loads(self.ready_file.read_text())["url"])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def wait_for(claim: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def status(url: str) -> int:
    return httpx.get(url).status_code


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two versions, of which the second is champion."""
    home = tmp_path_factory.mktemp("template")
    found = settings.load(home=home)
    for seed in (1, 2):
        small_models.register(found, small_models.predictor(seed=seed))
    Registry(found).promote(small_models.NAME, 2)
    return home


@pytest.fixture
def promoted(home: Path, template: Path, tmp_path: Path) -> Path:
    """The pilot.yaml of the pilot with two versions."""
    shutil.copytree(template, home)
    small_models.pilot(tmp_path / "pilot")
    return tmp_path / "pilot" / "pilot.yaml"


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers, and ends those that the test left."""
    started: list[Server] = []

    def begin(*words: str, **variables: str) -> Server:
        ready, log = tmp_path / f"ready-{len(started)}", tmp_path / f"log-{len(started)}"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "pilotage.serving", *words, "--port", "0", "--ready-file", str(ready)],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        started.append(Server(process, ready, log))
        return started[-1]

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_pinned_version_serves_beside_another_champion_and_ends_in_order(
    promoted: Path, start: Start, workers: str
) -> None:
    server = start(str(promoted), "--pin", "flights=1", "--grpc-port", "0", "--workers", workers)
    url = server.url()
    assert ":" in json.loads(server.ready_file.read_text())["grpc"]
    wait_for(lambda: status(f"{url}/health/ready") == 200)
    assert httpx.post(f"{url}/predict", json=ROWS).json()["version"] == 1
    Registry(settings.load()).promote(small_models.NAME, 2)
    time.sleep(1.5)
    assert httpx.post(f"{url}/predict", json=ROWS).json()["version"] == 1
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert any(line["message"] == "version 1 of flights is live" for line in lines)


def test_without_a_pin_the_champion_is_followed(promoted: Path, start: Start) -> None:
    url = start(str(promoted)).url()
    assert httpx.post(f"{url}/predict", json=ROWS).json()["version"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pin", "flights=9"), "no version 9; it has 1, 2"),
        (("--pin", "fares=1"), "`fares` is pinned, which is not served; served are: flights"),
        (("--pin", "flights"), "`--pin flights` names no version"),
        (("--workers", "0"), "0 workers are asked for"),
        (("--grpc-port", "70000"), "`70000` is no port"),
    ],
    ids=["no such version", "not served", "no version", "no workers", "no port"],
)
def test_what_cannot_be_served_ends_with_exit_code_2(
    promoted: Path,
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)
    try:
        code = entry.main([str(promoted), "--port", "0", *words])
    except SystemExit as ended:  # as argparse does
        code = int(str(ended.code))
    assert (code, said in capsys.readouterr().err) == (2, True)


def test_workers_that_know_no_such_version_end_the_server(promoted: Path, start: Start) -> None:
    server = start(str(promoted), "--pin", "flights=9", "--workers", "2")
    assert server.process.wait(60) == 2
    assert "no version 9; it has 1, 2" in server.log.read_text()


@pytest.mark.slow
def test_a_server_waits_live_and_not_ready_for_mlflow_and_then_does_without_it(
    promoted: Path, home: Path, start: Start, tmp_path: Path
) -> None:
    """A pod that starts before MLflow, on a home of its own, and outlives it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    tracking = f"http://127.0.0.1:{port}"
    server = start(
        str(promoted),
        "--pin",
        "flights=1",
        MLFLOW_TRACKING_URI=tracking,
        PILOTAGE_HOME=str(tmp_path / "pod"),
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    url = server.url()
    assert (status(f"{url}/health/live"), status(f"{url}/health/ready")) == (200, 503)
    assert httpx.get(f"{url}/health/ready").json()["detail"].startswith("The registry cannot be read")
    with MlflowServer(home, port):
        wait_for(lambda: status(f"{url}/health/ready") == 200)
    answer = httpx.post(f"{url}/predict", json=ROWS)
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert status(f"{url}/health/ready") == 200
    assert server.stop() == 0


class MlflowServer:
    """MLflow's own server of a home, until the end of the block."""

    def __init__(self, home: Path, port: int) -> None:
        self._words = ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"]
        self._words += ["--artifacts-destination", str(home / "artifacts"), "--serve-artifacts"]
        self._words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]

    def __enter__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *self._words],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
