"""`pilotage up` with real processes: started, watched, killed, stopped; one a home, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.integration.test_pipelines_runs import write_pilot

from pilotage.console.access.actors import ALL, Actor, Grant, Role
from pilotage.console.operations.access import tokens
from pilotage.console.operations.desks import Desk
from pilotage.core import settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State

READY_SECONDS = 120.0


@dataclass
class Up:
    """`pilotage up` in a process of its own."""

    home: Path
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PILOTAGE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pilotage.console", "up", "--home", str(self.home), "--json", *self.words],
            env=kept,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> dict[str, Any]:
        """The document with the addresses."""
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        assert lines, self.process.communicate()
        found: dict[str, Any] = json.loads("".join(lines))
        self.console, self.document = found["console"], found
        desk = Desk(self.settings)
        who = Actor("local", frozenset({Grant(ALL, Role.ADMIN)}))
        self.token = tokens.make_token(desk, who, "test", who.grants, 1).secret
        return found

    def stop(self, number: int = signal.SIGINT) -> None:
        """Tell it to stop, and wait for it."""
        self.process.send_signal(number)
        self.process.communicate(timeout=90)

    @property
    def settings(self) -> Any:
        return settings.load(home=self.home)

    def ask(self, path: str, content: Any = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.console}/api/v1{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def services(self) -> dict[str, dict[str, Any]]:
        return {item["name"]: item for item in self.ask("/services")["items"]}


def until(done: Callable[[], Any], seconds: float = READY_SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = done()
        except (urllib.error.URLError, ConnectionError):
            found = None
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.1)


def descendants(pid: int) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    return found


def alive(found: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Up]:
    found = Up(folder / "home", [str(write_pilot(folder / "pilot"))])
    found.ready()
    yield found
    if found.process.poll() is None:
        found.stop()


def test_everything_runs_and_tells_so(up: Up) -> None:
    found = up.services()
    assert set(found) == {"console", "scheduler", "monitors", "mlflow"}
    assert {item["state"] for name, item in found.items() if name != "mlflow"} == {"running"}
    assert all(psutil.pid_exists(item["pid"]) for item in found.values())
    assert [item["name"] for item in up.ask("/pilots")["items"]] == ["small"]
    for name in ("console", "scheduler", "monitors", "mlflow"):
        assert (up.home / "logs" / f"{name}.log").is_file()


def test_the_link_signs_in_once_and_nobody_comes_in_without(up: Up) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    page = opener.open(up.document["sign_in"], timeout=30)
    assert page.status == 200
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{up.console}/api/v1/runs", timeout=30)


def test_a_second_one_says_which_runs_where(up: Up) -> None:
    words = [sys.executable, "-m", "pilotage.console", "up", "--home", str(up.home), "--json"]
    second = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    message = json.loads(second.stdout)["error"]["message"]
    assert f"process {up.process.pid} on {socket.gethostname()}" in message
    assert up.console in message


@pytest.mark.slow
def test_what_ends_by_itself_is_started_again_where_it_was(up: Up) -> None:
    before = up.services()
    for name in ("console", "scheduler"):
        os.kill(before[name]["pid"], signal.SIGKILL)
    after = until(
        lambda: (
            found
            if (found := up.services())["console"]["restarts"] == 1
            and found["scheduler"]["restarts"] == 1
            and found["scheduler"]["state"] == "running"
            else None
        )
    )
    assert after["console"]["url"] == before["console"]["url"]
    assert after["console"]["pid"] != before["console"]["pid"]
    assert after["monitors"]["pid"] == before["monitors"]["pid"]


@pytest.mark.slow
def test_the_first_champion_gets_a_model_server_and_a_stop_leaves_nothing(up: Up) -> None:
    run = up.ask("/pilots/small/runs", {"why": "first"})["id"]
    until(lambda: up.ask(f"/runs/{run}")["state"] not in ("pending", "running"), 180)
    assert up.ask(f"/runs/{run}")["promoted"], up.ask(f"/runs/{run}")
    server = until(
        lambda: (found := up.services().get("server/small")) and found["state"] == "running" and found
    )
    answer = urllib.request.urlopen(f"{server['url']}/v2/models/small", timeout=10)
    assert json.load(answer)["name"] == "small"
    until(lambda: up.services()["mlflow"]["state"] == "running")
    with urllib.request.urlopen(f"{up.services()['mlflow']['url']}/health", timeout=10) as health:
        assert health.status == 200
    going = up.ask("/pilots/small/runs", {"why": "to stop", "parameters": {"cache": False}})["id"]
    until(lambda: up.ask(f"/runs/{going}")["state"] == "running")
    process = Records(tables.connect(up.settings)).run(going).process
    assert process is not None
    family = [psutil.Process(process.pid), *descendants(up.process.pid)]
    assert len(family) > 6
    up.stop(signal.SIGTERM)
    assert up.process.returncode == 0
    assert alive(family) == []
    record = Records(tables.connect(up.settings)).run(going)
    assert (record.state, record.process) == (State.PENDING, None)
    assert "requeue" in [line.action for line in audits.read(tables.connect(up.settings))]
    again = Up(up.home, ["--port", "8410"])
    document = again.ready()
    assert document["servers"] == {"small": server["url"]}
    assert int(document["console"].rsplit(":", 1)[1]) >= 8410
    until(lambda: again.ask(f"/runs/{going}")["state"] == "succeeded", 180)
    everything = descendants(again.process.pid)
    again.process.kill()
    again.process.communicate()
    until(lambda: not alive(everything), 30)


def test_other_machines_are_not_let_in_without_accounts(tmp_path: Path) -> None:
    refused = Up(tmp_path / "home", ["--host", "0.0.0.0"])
    out, _ = refused.process.communicate(timeout=60)
    assert refused.process.returncode == 2
    assert "0.0.0.0" in json.loads(out)["error"]["message"]
