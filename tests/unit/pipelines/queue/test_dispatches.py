"""Starting what waits: one at a time a pilot, so many at once, and again what died before it began."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import leases, processes
from pilotage.pipelines.queue import dispatches, requests
from pilotage.pipelines.queue.requests import Request

pytestmark = pytest.mark.databases

SLEEP = "import signal, time; signal.signal(signal.SIGUSR1, signal.SIG_DFL); time.sleep(60)"


class Launcher:
    """Starts processes that sleep in place of runs."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.started: list[subprocess.Popen[bytes]] = []

    def __call__(self, run: str, code: str = SLEEP) -> subprocess.Popen[Any]:
        self.runs.append(run)
        self.started.append(subprocess.Popen([sys.executable, "-S", "-c", code]))
        return self.started[-1]

    def kill(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    found = Launcher()
    yield found
    found.kill()


@pytest.fixture
def engine(installation: Settings) -> Engine:
    return tables.connect(installation)


def ask(engine: Engine, spec: PilotSpec, pilot: str = "small") -> str:
    with engine.begin() as connection:
        own = spec.model_copy(update={"pilot": pilot})
        return requests.ask(connection, Request(own, Path("/pilot"), "ann"))


def claimed(engine: Engine, run: str, identity: processes.Identity) -> None:
    """As if the process had taken the run."""
    values = {key: value for key, value in asdict(identity).items() if key != "started"}
    with engine.begin() as connection:
        connection.execute(
            update(tables.runs).where(tables.runs.c.id == run),
            {**values, "process_started": identity.started, "state": State.RUNNING},
        )


def identity(process: subprocess.Popen[Any]) -> processes.Identity:
    found = processes.of(process.pid)
    assert found is not None
    return found


def test_one_run_a_pilot_goes_on_in_the_order_they_were_asked_for(
    engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher
):
    one, two, other = ask(engine, spec), ask(engine, spec), ask(engine, spec, "other")
    roomy = installation.model_copy(update={"runs_at_once": 5})
    for _ in range(3):
        dispatches.dispatch(engine, roomy, None, launcher)
    assert launcher.runs == [one, other]
    claimed(engine, one, identity(launcher.started[0]))
    dispatches.dispatch(engine, roomy, None, launcher)
    assert launcher.runs == [one, other]
    Records(engine).end_run(one, State.FAILED, 1)
    dispatches.dispatch(engine, roomy, None, launcher)
    assert launcher.runs == [one, other, two]


def test_so_many_go_on_at_once(engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher):
    runs = [ask(engine, spec, f"pilot-{number}") for number in range(5)]
    narrow = installation.model_copy(update={"runs_at_once": 2})
    dispatches.dispatch(engine, narrow, None, launcher)
    claimed(engine, runs[0], identity(launcher.started[0]))
    dispatches.dispatch(engine, narrow, None, launcher)
    assert launcher.runs == runs[:2]
    Records(engine).end_run(runs[0], State.SUCCEEDED, 0)
    dispatches.dispatch(engine, narrow, None, launcher)
    assert launcher.runs == runs[:3]


def test_a_process_that_died_before_it_began_is_replaced_and_in_the_end_given_up(
    engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher
):
    run = ask(engine, spec)
    for number in range(1, dispatches.MOST_LAUNCHES + 1):
        dispatches.dispatch(engine, installation, None, launcher)
        dispatches.dispatch(engine, installation, None, launcher)
        assert launcher.runs == [run] * number
        launcher.kill()
    dispatches.dispatch(engine, installation, None, launcher)
    record = Records(engine).run(run)
    assert launcher.runs == [run] * dispatches.MOST_LAUNCHES
    assert record.state is State.DIED
    assert "3 processes were started" in (record.error or {})["message"]
    assert {step.state for step in Records(engine).steps(run)} == {State.SKIPPED}


def test_a_process_that_had_to_wait_is_no_death(
    engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher
):
    run = ask(engine, spec)
    for _ in range(dispatches.MOST_LAUNCHES + 2):
        dispatches.dispatch(engine, installation, None, launcher)
        launcher.kill()
        requests.release(engine, run)
    assert Records(engine).run(run).state is State.PENDING


def test_a_process_that_never_begins_is_replaced(
    engine: Engine,
    installation: Settings,
    spec: PilotSpec,
    launcher: Launcher,
    monkeypatch: pytest.MonkeyPatch,
):
    run = ask(engine, spec)
    dispatches.dispatch(engine, installation, None, launcher)
    later = tables.now() + timedelta(minutes=5)
    monkeypatch.setattr(tables, "now", lambda: later)
    dispatches.dispatch(engine, installation, None, launcher)
    assert launcher.runs == [run, run]


def test_a_dispatcher_that_died_between_choosing_and_starting_loses_nothing(
    engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher
):
    class Killed(BaseException):
        pass

    def die(_: str) -> subprocess.Popen[Any]:
        raise Killed

    run = ask(engine, spec)
    with pytest.raises(Killed):
        dispatches.dispatch(engine, installation, None, die)
    with engine.begin() as connection:  # it was this process, which is alive: take another's place
        launch = connection.execute(select(tables.runs.c.launch)).scalar_one()
        launch["process"]["pid"] = 2**22 + 1
        connection.execute(update(tables.runs).values(launch=launch))
    dispatches.dispatch(engine, installation, None, launcher)
    assert launcher.runs == [run]


def test_who_cannot_start_a_process_leaves_the_run_to_the_next_and_starts_others(
    engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher
):
    def refuse(run: str) -> subprocess.Popen[Any]:
        if run == small:
            raise OSError("no memory")
        return launcher(run)

    roomy = installation.model_copy(update={"runs_at_once": 2})
    small, other = ask(engine, spec), ask(engine, spec, "other")
    for _ in range(dispatches.MOST_LAUNCHES + 2):
        dispatches.dispatch(engine, roomy, None, refuse)
    assert launcher.runs == [other]
    dispatches.dispatch(engine, roomy, None, launcher)
    assert launcher.runs == [other, small]


def test_a_run_that_is_claimed_or_cancelled_at_the_last_moment_is_not_given_up(
    engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher, monkeypatch
):
    run = ask(engine, spec)
    for _ in range(dispatches.MOST_LAUNCHES):
        dispatches.dispatch(engine, installation, None, launcher)
        launcher.kill()
    real = dispatches._choose

    def choose(*arguments: Any) -> Any:
        found = real(*arguments)
        monkeypatch.setattr(leases, "require", lambda connection, _: meanwhile(connection))
        return found

    def meanwhile(connection: Any) -> None:
        mine = update(tables.runs).where(tables.runs.c.id == run)
        connection.execute(mine.values(state=State.CANCELLED))

    monkeypatch.setattr(dispatches, "_choose", choose)
    dispatches.dispatch(engine, installation, None, launcher)
    assert Records(engine).run(run).state is State.CANCELLED


def test_who_does_not_lead_any_more_starts_nothing(
    engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher
):
    ask(engine, spec)
    old = leases.acquire(engine, leases.LEADER, "one", ttl_seconds=0.0)
    assert leases.acquire(engine, leases.LEADER, "two") is not None
    with pytest.raises(errors.LeaseLost, match="does not hold"):
        dispatches.dispatch(engine, installation, old, launcher)
    assert launcher.runs == []


def test_a_stop_in_order_puts_runs_of_this_home_back_in_line(
    engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher
):
    going, starting, direct = ask(engine, spec), ask(engine, spec, "second"), ask(engine, spec, "third")
    roomy = installation.model_copy(update={"runs_at_once": 2})
    dispatches.dispatch(engine, roomy, None, launcher)
    claimed(engine, going, identity(launcher.started[0]))
    by_hand = launcher("by hand")
    claimed(engine, direct, identity(by_hand))
    assert dispatches.interrupt(engine, roomy, 5.0) == sorted([going, starting])
    assert [process.wait(5) for process in launcher.started[:2]] == [-signal.SIGUSR1] * 2
    assert by_hand.poll() is None
    found = {record.id: record.state for record in Records(engine).runs()}
    assert found == {going: State.PENDING, starting: State.PENDING, direct: State.RUNNING}
    dispatches.dispatch(engine, roomy, None, launcher)
    assert launcher.runs[3:] == [going]


def test_a_stop_touches_no_process_that_has_the_number_of_another_machines(
    engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher
):
    run = ask(engine, spec)
    dispatches.dispatch(engine, installation, None, launcher)
    with engine.begin() as connection:  # a machine whose home is in the same place started it
        launch = connection.execute(select(tables.runs.c.launch)).scalar_one()
        launch["process"]["host"] = "elsewhere"
        connection.execute(update(tables.runs).values(launch=launch))
    assert dispatches.interrupt(engine, installation, 0.3) == []
    assert launcher.started[0].poll() is None
    dispatches.dispatch(engine, installation, None, launcher)
    assert launcher.runs == [run]


def test_what_does_not_stop_in_time_is_killed_and_waits_all_the_same(
    engine: Engine, installation: Settings, spec: PilotSpec, launcher: Launcher
):
    run = ask(engine, spec)
    deaf = SLEEP.replace("SIG_DFL)", "SIG_IGN); print(flush=True)")
    process = subprocess.Popen([sys.executable, "-S", "-c", deaf], stdout=subprocess.PIPE)
    launcher.started.append(process)
    dispatches.dispatch(engine, installation, None, lambda _: process)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    claimed(engine, run, identity(process))
    assert dispatches.interrupt(engine, installation, 0.2) == [run]
    assert process.wait(5) == -signal.SIGKILL
    assert Records(engine).run(run).state is State.PENDING
