"""Several schedulers against one database: one leads, a dead one is replaced, nothing is doubled or lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, Row, select, update

from pilotage.core import pilots, settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import environments, leases
from pilotage.pipelines.retraining import schedules

FOLLOW = """
import sys, time
from pilotage.core import settings
from pilotage.pipelines import schedulers
from pilotage.pipelines.queue import dispatches
dispatches.dispatch = lambda *_: []  # what is due is asked for; nothing is carried out
scheduler = schedulers.Scheduler(settings.load(), ttl_seconds=float(sys.argv[1]))
while True:
    scheduler.tick()
    time.sleep(0.05)
"""
SPEC = "version: 1\npilot: small\ndata: {source: rows.csv, target: y}\ngoal: {metric: roc_auc}\n"


class Schedulers:
    """Schedulers of one installation, each a process."""

    def __init__(self, home: Path, ttl_seconds: float) -> None:
        self.settings = settings.load(home=home)
        self.engine: Engine = tables.connect(self.settings)
        self._ttl_seconds = ttl_seconds
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        environment = {**os.environ, **environments.variables(self.settings)}
        words = [sys.executable, "-c", FOLLOW, str(self._ttl_seconds)]
        self.processes.append(subprocess.Popen(words, env=environment))

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def lease(self) -> Row | None:
        with self.engine.begin() as connection:
            return connection.execute(select(tables.leases)).first()

    def leader(self, term: int = 0) -> subprocess.Popen[bytes]:
        """The process that leads in a term after `term`."""
        deadline = time.monotonic() + 60
        while (row := self.lease()) is None or row.term <= term:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        pid = int(row.holder.split("/")[1])
        return next(process for process in self.processes if process.pid == pid)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[list[Schedulers]]:
    """Those that are stopped after the test."""
    made: list[Schedulers] = []
    yield made
    for schedulers in made:
        schedulers.stop()


@pytest.mark.slow
@pytest.mark.databases
def test_leaders_that_are_killed_lose_no_moment_and_double_none(
    tmp_path: Path, start: list[Schedulers]
) -> None:
    found = Schedulers(tmp_path / "home", ttl_seconds=1.0)
    start.append(found)
    with found.engine.begin() as connection:
        catalogues.put(connection, pilots.parse(SPEC), tmp_path)
    made = schedules.add(found.engine, "small", "* * * * * *", "UTC", "ann")  # every second
    for _ in range(3):
        found.start()
    term = 0
    for _ in range(3):
        leader = found.leader(term)
        row = found.lease()
        assert row is not None
        term = row.term
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            with found.engine.begin() as connection:
                pending = tables.runs.c.state == State.PENDING
                connection.execute(update(tables.runs).where(pending).values(state=State.SUCCEEDED))
            time.sleep(0.1)
        leader.kill()
        leader.wait()
        found.start()
    found.leader(term)
    time.sleep(1.0)
    found.stop()
    with found.engine.begin() as connection:
        moments = list(connection.scalars(select(tables.runs.c.due_at).order_by(tables.runs.c.due_at)))
        schedule = connection.execute(select(tables.schedules).where(tables.schedules.c.id == made)).one()
    assert len(moments) == len(set(moments)) > 4
    began = schedule.created_at.replace(microsecond=0)
    assert len(moments) + schedule.missed == (schedule.last_due_at - began) // timedelta(seconds=1)
    assert schedule.next_at == schedule.last_due_at + timedelta(seconds=1)


@pytest.mark.slow
@pytest.mark.databases
def test_a_dead_leader_is_replaced_when_its_lease_has_ended(tmp_path: Path, start: list[Schedulers]) -> None:
    found = Schedulers(tmp_path / "home", leases.TTL_SECONDS)
    start.append(found)
    found.start()
    found.start()
    leader = found.leader()
    leader.kill()
    leader.wait()
    began = time.monotonic()
    assert found.leader(1) is not leader
    assert time.monotonic() - began > 5
