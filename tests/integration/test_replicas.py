"""Two consoles on one PostgreSQL, as a cluster runs them: who migrates, who leads, what either answers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from tests.databases import Server

from pilotage.console.access.actors import ALL, Grant, Role, at_this_machine
from pilotage.console.operations.access import users
from pilotage.console.operations.desks import Desk
from pilotage.core import settings

PILOTAGE = (sys.executable, "-m", "pilotage.console")
PASSWORD = "correct horse battery"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Replica:
    """One console: a process with a home of its own, as a pod has."""

    home: Path
    url_of_database: str
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a pod's manifest sets."""
        return {
            **os.environ,
            "PILOTAGE_HOME": str(self.home),
            "PILOTAGE_DATABASE_URL": self.url_of_database,
            "PILOTAGE_MIGRATE": "false",
            "PILOTAGE_DRAIN_DELAY_SECONDS": "2",
        }

    def start(self) -> None:
        """Start it."""
        words = ["console", "--port", str(self.port), "--metrics-port", str(self.metrics_port)]
        self.process = subprocess.Popen([*PILOTAGE, *words], env=self.environment)

    def status(self, path: str) -> int:
        """What it answers; 0 where it does not."""
        try:
            return httpx.get(self.url + path, timeout=5).status_code
        except httpx.TransportError:
            return 0

    def leads(self) -> bool:
        """Whether the lease is its, and was not given back."""
        engine = create_engine(self.url_of_database, poolclass=NullPool)
        query = "SELECT holder FROM leases WHERE expires_at > clock_timestamp()"
        with engine.connect() as connection:
            holder = connection.execute(text(query)).scalar()
        assert self.process is not None
        return holder is not None and holder.split("/")[1] == str(self.process.pid)

    def metrics(self) -> str:
        """What Prometheus reads."""
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def end(self, number: int) -> int:
        """Send it a signal; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=40)


def wait_for(what: Callable[[], bool], seconds: float = 180.0) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


@pytest.fixture
def database(postgresql: Server) -> Iterator[str]:
    """The URL of an empty database."""
    url = postgresql.create(empty=True)
    yield url
    postgresql.drop(url)


@pytest.fixture
def replicas(database: str, tmp_path: Path) -> Iterator[tuple[Replica, Replica]]:
    """Two, not started."""
    made = Replica(tmp_path / "one", database), Replica(tmp_path / "two", database)
    yield made
    for replica in made:
        if replica.process is not None and replica.process.poll() is None:
            replica.process.kill()
            replica.process.wait()


def revision(url: str, to: str | None = None) -> str:
    """The database's revision; what it is set to if `to` is given."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        if to is not None:
            connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": to})
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


@contextmanager
def signed_in(url: str) -> Iterator[httpx.Client]:
    """A browser that somebody signed in with at one replica."""
    with httpx.Client(base_url=url) as client:
        answer = client.post("/sign-in", data={"name": "ada", "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        yield client


@pytest.mark.slow
@pytest.mark.usefixtures("uncovered")
def test_two_replicas_share_everything_and_one_leads(
    replicas: tuple[Replica, Replica], database: str
) -> None:
    one, two = replicas
    alone = subprocess.run(
        [*PILOTAGE, "console", "--port", str(one.port)], env=one.environment, capture_output=True, text=True
    )
    assert alone.returncode == 1
    assert "pilotage migrate" in alone.stderr

    racing = [
        subprocess.Popen([*PILOTAGE, "migrate", "--wait", "20s"], env=one.environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=120)[0].decode() for process in racing]
    assert [process.returncode for process in racing] == [0, 0], told
    assert revision(database) == "0001"

    one.start()
    two.start()
    wait_for(lambda: one.status("/health/ready") == two.status("/health/ready") == 200)
    wait_for(lambda: one.leads() != two.leads())
    leader, other = (one, two) if one.leads() else (two, one)
    assert all("\npilotage_leader 1.0\n" in replica.metrics() for replica in (one, two))

    desk = Desk(settings.load(home=one.home, database_url=database, migrate=False))
    users.add_user(desk, at_this_machine(), "ada", password=PASSWORD, grants=[Grant(ALL, Role.ADMIN)])
    _answers_at_either(leader, other)
    _limits_attempts_together(leader, other)
    _stands_back_from_a_newer_database((leader, other), database)
    _hands_over(leader, other)
    desk.engine.dispose()


def _answers_at_either(leader: Replica, other: Replica) -> None:
    """A session of one holds at the other, with its CSRF token; a repeat at the other is no second change."""
    with signed_in(leader.url) as browser:
        cookie = {f"pilotage-{other.port}": browser.cookies[f"pilotage-{leader.port}"]}
        with httpx.Client(base_url=other.url, cookies=cookie) as elsewhere:
            _use_both(browser, elsewhere)


def _use_both(browser: httpx.Client, elsewhere: httpx.Client) -> None:
    token = elsewhere.get("/api/v1/me").json()["csrf"]
    assert token == browser.get("/api/v1/me").json()["csrf"]
    new = {"name": "nightly", "grants": ["viewer"], "days": 1}
    assert elsewhere.post("/api/v1/tokens", json=new).status_code == 403
    headers = {"X-CSRF-Token": token, "Idempotency-Key": "once"}
    user = {"name": "bob", "password": PASSWORD}
    made = [client.post("/api/v1/users", json=user, headers=headers) for client in (elsewhere, browser)]
    assert [answer.status_code for answer in made] == [201, 201], [answer.text for answer in made]
    assert made[1].headers["idempotent-replayed"] == "true"
    services = browser.get("/api/v1/services").json()["items"]
    assert "console" in {service["kind"] for service in services}
    browser.post("/sign-out", data={"csrf": token})
    assert elsewhere.get("/api/v1/me").status_code == 401


def _limits_attempts_together(leader: Replica, other: Replica) -> None:
    """Failures to sign in count wherever they were."""
    wrong = {"name": "mallory", "password": "a wrong password"}
    found = [httpx.post(f"{url}/sign-in", data=wrong).status_code for url in (leader.url, other.url) * 4]
    assert found[:4] == [401] * 4
    assert 429 in found


def _stands_back_from_a_newer_database(both: tuple[Replica, Replica], database: str) -> None:
    """A console that a newer version's migration overtook is sent nobody, and leads nothing."""
    revision(database, "9999")
    wait_for(lambda: [replica.status("/health/ready") for replica in both] == [503, 503])
    wait_for(lambda: not any(replica.leads() for replica in both))
    assert [replica.status("/health/live") for replica in both] == [200, 200]
    revision(database, "0001")
    wait_for(lambda: [replica.status("/health/ready") for replica in both] == [200, 200])
    wait_for(lambda: any(replica.leads() for replica in both))


def _hands_over(leader: Replica, other: Replica) -> None:
    """A leader that is stopped drains, and gives its lease back: the other leads at once."""
    stopping, staying = (leader, other) if leader.leads() else (other, leader)
    assert stopping.process is not None
    stopping.process.send_signal(signal.SIGTERM)
    wait_for(lambda: stopping.status("/health/ready") == 503, 20)
    assert stopping.status("/static/app.js") == 200, "while it drains it answers"
    assert stopping.process.wait(timeout=40) == 0
    assert not stopping.leads(), "its lease was given back, and need not come to its end"
    wait_for(staying.leads, 30)
    assert staying.status("/health/ready") == 200
    assert staying.end(signal.SIGTERM) == 0
