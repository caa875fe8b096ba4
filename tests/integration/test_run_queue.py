"""Runs that wait in line, carried out by a real scheduler in real processes: stopped, killed, carried on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.integration.test_pipelines_runs import write_pilot

from pilotage.core import pilots, settings
from pilotage.core.settings import Settings
from pilotage.pipelines import schedulers, tables
from pilotage.pipelines.journals import catalogues
from pilotage.pipelines.journals.records import Records, RunRecord
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import environments
from pilotage.pipelines.queue import dispatches, requests
from pilotage.pipelines.queue.parameters import Parameters
from pilotage.pipelines.queue.requests import Request


@dataclass
class Queue:
    """An installation with one pilot, and a scheduler in this process."""

    settings: Settings
    folder: Path

    def __post_init__(self) -> None:
        self.engine = tables.connect(self.settings)
        self.records = Records(self.engine)
        self.scheduler = schedulers.Scheduler(self.settings)

    def ask(self, **values: Any) -> str:
        found = pilots.load(self.folder)
        with self.engine.begin() as connection:
            catalogues.put(connection, found.spec, found.folder)
            return requests.ask(connection, Request(found.spec, found.folder, "ann", **values))

    def until(self, done: Callable[[], bool], seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, [(item.id, item.state) for item in self.records.runs()]
            self.scheduler.tick()
            time.sleep(0.05)

    def resign(self) -> None:
        """Let another lead, once the processes that were started here are gone."""
        for process in self.scheduler._launched:
            process.wait(60)
        self.scheduler.resign()

    def run(self, run: str) -> RunRecord:
        return self.records.run(run)

    def ended(self, run: str) -> RunRecord:
        self.until(lambda: self.run(run).ended_at is not None)
        return self.run(run)

    def begun(self, run: str, step: str = "ingest") -> RunRecord:
        self.until(
            lambda: any(one.name == step and one.state != "pending" for one in self.records.steps(run))
        )
        return self.run(run)

    def states(self, run: str) -> list[str]:
        return [step.state.value for step in self.records.steps(run)]


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    folder = tmp_path_factory.mktemp("queue")
    found = Queue(settings.load(home=folder / "home", runs_at_once=2), write_pilot(folder / "pilot"))
    yield found
    for record in found.records.runs():
        if record.process is not None and record.state is State.RUNNING:
            os.kill(record.process.pid, signal.SIGKILL)
    found.resign()


@pytest.mark.slow
def test_a_run_goes_on_after_an_interruption_with_its_finished_steps(queue: Queue) -> None:
    run = queue.ask(why="to see")
    queue.begun(run, "train")
    assert dispatches.interrupt(queue.engine, queue.settings, 20.0) == [run]
    waiting = queue.run(run)
    assert (waiting.state, waiting.process, waiting.started_at) == (State.PENDING, None, None)
    assert waiting.why == "to see; interrupted in order, carried on later"
    assert queue.states(run) == ["pending"] * 5
    ended = queue.ended(run)
    assert ended.state is State.SUCCEEDED
    assert queue.states(run)[:2] == ["cached", "cached"]
    assert queue.states(run)[2:] == ["succeeded"] * 3
    assert ended.result is not None
    assert ended.result["promoted"]


@pytest.mark.slow
def test_a_run_is_cancelled_from_anywhere_and_retried_with_its_finished_steps(queue: Queue) -> None:
    run = queue.ask(parameters=Parameters(overrides={"train.seed": 11}))
    record = queue.begun(run, "train")
    requests.cancel(queue.engine, run, "bob", "no need")
    ended = queue.ended(run)
    assert (ended.state, ended.cancel_asked_by, ended.exit_code) == (State.CANCELLED, "bob", 1)
    assert "stopped by `bob`" in (ended.error or {})["message"]
    assert ended.cancel_asked_at is not None
    assert ended.ended_at is not None
    assert (ended.ended_at - ended.cancel_asked_at).total_seconds() < 5.0
    assert queue.states(run)[2:] == ["cancelled", "skipped", "skipped"]
    assert record.process is not None
    again = queue.ended(requests.retry(queue.engine, run, "bob"))
    assert (again.state, again.retry_of) == (State.SUCCEEDED, run)
    assert queue.states(again.id)[:2] == ["cached", "cached"]
    assert again.spec["train"]["seed"] == 11


def test_a_run_whose_process_was_killed_has_died(queue: Queue) -> None:
    run = queue.ask()
    queue.until(lambda: queue.run(run).process is not None)
    process = queue.run(run).process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    assert queue.ended(run).state is State.DIED


@pytest.mark.slow
def test_a_killed_scheduler_touches_no_run_and_the_next_one_carries_on(queue: Queue) -> None:
    code = (
        "from pilotage.core import settings; from pilotage.pipelines import schedulers;"
        "import threading; schedulers.follow(settings.load(), threading.Event().wait)"
    )
    queue.resign()
    environment = {**os.environ, **environments.variables(queue.settings)}
    run, following = queue.ask(), queue.ask()
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as other:
        deadline = time.monotonic() + 60
        while queue.run(run).state is not State.RUNNING:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        other.kill()
    assert queue.run(following).state is State.PENDING
    queue.scheduler = schedulers.Scheduler(queue.settings)
    with queue.engine.begin() as connection:  # not to wait for its end here: see test_schedulers
        connection.execute(tables.leases.update().values(expires_at=tables.now()))
    assert queue.ended(run).state is State.SUCCEEDED
    assert queue.ended(following).state is State.SUCCEEDED
    with queue.engine.connect() as connection:
        began = connection.execute(
            select(tables.runs.c.started_at, tables.runs.c.ended_at).where(
                tables.runs.c.id.in_([run, following])
            )
        ).all()
    one, two = sorted(began)
    assert one.ended_at <= two.started_at


def test_a_run_on_the_command_line_holds_up_one_that_waits(queue: Queue) -> None:
    environment = {**os.environ, **environments.variables(queue.settings)}
    words = [sys.executable, "-m", "pilotage.pipelines", "run", str(queue.folder), "--no-cache"]
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as own:
        queue.until(lambda: any(item.state is State.RUNNING for item in queue.records.runs()))
        run = queue.ask()
        refused = subprocess.run(
            [*words[:-2], "--run", run], env=environment, capture_output=True, text=True, timeout=60
        )
        assert refused.returncode == 1
        assert "already has a run in progress" in refused.stderr
        assert queue.run(run).state is State.PENDING
        own.terminate()
    assert queue.ended(run).state is State.SUCCEEDED
