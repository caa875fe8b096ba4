"""A real model server and a real console, with something to tell of everything, scraped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, insert, select, update
from tests import populations
from tests.unit.serving import small_models
from tests.unit.serving.security.certificates import certify

from pilotage.core import settings
from pilotage.core.registry import Registry
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.machines import leases

PILOT = small_models.NAME


@dataclass(frozen=True)
class Scraped:
    """Where both tell their metrics, and what they told once."""

    server: str
    console: str
    labels: dict[str, frozenset[str]]
    """Labels by the name of a sample."""
    series: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.1)


@pytest.fixture(scope="package")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """A server that was asked, and a console on a database in which something is of every kind."""
    folder = tmp_path_factory.mktemp("observability")
    home = folder / "home"
    installation = settings.load(home=home)
    small_models.register(installation, small_models.predictor(seed=1))
    Registry(installation).promote(PILOT, 1)
    small_models.pilot(folder / "pilot")
    engine = tables.connect(installation)
    populations.fill(engine, populations.Size(pilots=4, runs=40))
    with engine.begin() as connection:
        _enrich(connection)
    leases.acquire(engine, leases.LEADER, "a scheduler", 600)
    engine.dispose()
    pair = certify(folder, "server")
    metrics = free_port()
    environment = {
        **os.environ,
        "PILOTAGE_HOME": str(home),
        "PILOTAGE_METRICS_PORT": str(metrics),
        "PILOTAGE_WEBHOOKS_FILE": str(folder / "webhooks.yaml"),
    }
    (folder / "webhooks.yaml").write_text("[]\n")
    secure = {"PILOTAGE_TLS_CERT_FILE": str(pair.cert), "PILOTAGE_TLS_KEY_FILE": str(pair.key)}
    server = _start(
        [*("-m", "pilotage.console", "serve", str(folder / "pilot"), "--port", "0")],
        folder / "server",
        {**environment, **secure},
    )
    console = _start(
        [*("-m", "pilotage.console.supervision", "console", "--port", str(free_port()))],
        folder / "console",
        environment,
    )
    try:
        url = _url(server, folder / "server")
        pages = _url(console, folder / "console")
        assert httpx.get(f"{pages}/api/v1/pilots", timeout=30).status_code == 401
        wait_for(lambda: _is_ready(url), server, folder / "server.log")
        yield _scrape(url, f"http://127.0.0.1:{metrics}/metrics")
    finally:
        for process in (server, console):
            process.terminate()
        for process in (server, console):
            process.wait(30)


def _start(arguments: list[str], name: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with name.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *arguments, "--ready-file", str(name.with_suffix(".ready"))],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _url(process: subprocess.Popen[bytes], name: Path) -> str:
    ready = name.with_suffix(".ready")
    wait_for(ready.is_file, process, name.with_suffix(".log"))
    found: dict[str, Any] = httpx.Response(200, content=ready.read_bytes()).json()
    url: str = found["url"]
    return url


def _is_ready(server: str) -> bool:
    return httpx.get(f"{server}/health/ready", verify=False, timeout=30).status_code == 200


def _scrape(server: str, console: str) -> Scraped:
    with httpx.Client(verify=False, timeout=30) as client:
        for _ in range(3):
            rows = {"rows": small_models.rows(2)}
            assert client.post(f"{server}/predict", json=rows).status_code == 200
        client.post(f"{server}/predict", content=b"{", headers={"content-type": "application/json"})
        texts = [client.get(f"{server}/metrics").text, client.get(console).text]
    labels: dict[str, frozenset[str]] = {}
    series = 0
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series += 1
                labels[sample.name] = labels.get(sample.name, frozenset()) | sample.labels.keys()
    return Scraped(f"{server}/metrics", console, labels, series)


def _enrich(connection: Connection) -> None:
    """Give one pilot the server's name, and something of each kind that a population lacks."""
    now = tables.now()
    for table in (tables.runs, tables.windows, tables.days, tables.alarms, tables.triggers, tables.schedules):
        connection.execute(update(table).where(table.c.pilot == "pilot-000"), {"pilot": PILOT})
    connection.execute(update(tables.pilots).where(tables.pilots.c.name == "pilot-000"), {"name": PILOT})
    spec = dict(connection.scalar(select(tables.pilots.c.spec).where(tables.pilots.c.name == PILOT)) or {})
    connection.execute(
        update(tables.pilots).where(tables.pilots.c.name == PILOT), {"spec": {**spec, "pilot": PILOT}}
    )
    audits.write(connection, "promoted", PILOT, "pilotage", "every gate passed", version=1, replaced=None)
    audits.write(
        connection, "promoted", "pilot-001", "pilotage", "every gate passed", version=1, replaced=None
    )
    drifted = {"distance": {"effect": 0.4, "drifted": True}, "carrier": {"effect": 0.01}}
    connection.execute(update(tables.windows).where(tables.windows.c.pilot == PILOT), {"features": drifted})
    earlier = now - timedelta(hours=3)
    runs = connection.execute(select(tables.runs).where(tables.runs.c.pilot == PILOT)).mappings().all()
    for state, at in (("pending", earlier), ("running", earlier), ("died", now), ("failed", now)):
        ended = None if state in ("pending", "running") else at
        row = {**runs[0], "id": f"{state}-{PILOT}", "state": state, "asked_at": earlier, "ended_at": ended}
        connection.execute(insert(tables.runs), row)
    trigger = connection.execute(select(tables.triggers)).mappings().first()
    assert trigger is not None
    done = {**trigger, "id": "done", "alarm": "earlier", "state": "done", "ended_at": now}
    connection.execute(insert(tables.triggers), done)
    snooze = {"pilot": PILOT, "until": now + timedelta(days=1), "who": "ann", "why": "a holiday", "at": now}
    connection.execute(insert(tables.snoozes), snooze)
    waiting = {"pilot": PILOT, "version": 3, "state": "pending", "run": None, "asked_at": earlier}
    connection.execute(insert(tables.approvals), waiting)
    for state in ("pending", "dead"):
        event = {"event": state, "type": "t", "pilot": PILOT, "subject": "s", "at": now, "data": {}}
        connection.execute(insert(tables.outbox), {**event, "relayed_at": now})
        told = {"event": state, "endpoint": "on-call", "state": state, "attempts": 1}
        connection.execute(insert(tables.deliveries), {**told, "since": now, "next_at": now})
    for stage, ended in (("committed", None), ("done", earlier), ("reverted", now)):
        one = {"id": stage, "pilot": PILOT, "version": 2, "environment": "prod", "action": "promoted"}
        said = {"who": "pilotage", "why": "", "stage": stage, "asked_at": earlier, "next_at": now}
        connection.execute(insert(tables.transitions), {**one, **said, "ended_at": ended})
    lost = now - timedelta(hours=1)
    gone = {"name": "console", "host": "h", "kind": "console", "state": "running", "restarts": 0}
    connection.execute(insert(tables.services), {**gone, "since": lost, "seen_at": lost, "detail": ""})
