"""A trigger is claimed once and ended once, by whoever comes first, and is free when that process is gone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine
from tests.unit.pipelines.retraining.test_triggers import TEXT, Launches, _alarm, carry_out

from pilotage.core import errors, pilots
from pilotage.core.artifacts import Trigger, TriggerState
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import processes
from pilotage.pipelines.queue import claims
from pilotage.pipelines.retraining import triggers

pytestmark = pytest.mark.databases


@pytest.fixture
def spec() -> PilotSpec:
    return pilots.parse(TEXT)


@pytest.fixture
def launches() -> Iterator[Launches]:
    launches = Launches()
    yield launches
    launches.kill()


@pytest.fixture
def engine(installation: Settings) -> Engine:
    return tables.connect(installation)


@pytest.fixture
def opened(installation: Settings, spec: PilotSpec) -> Trigger:
    return triggers.open_triggers(installation, spec, [_alarm(1)])[0]


def begin(engine: Engine, trigger: Trigger, run: str = "r1") -> None:
    with engine.begin() as connection:
        claims.begin(connection, trigger.id, run)


def set_(engine: Engine, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(tables.triggers.update().values(**values))


def row(engine: Engine) -> Any:
    with engine.begin() as connection:
        return connection.execute(tables.triggers.select()).one()


def dead() -> dict[str, Any]:
    process = subprocess.Popen([sys.executable, "-c", ""])
    identity = processes.of(process.pid)
    process.wait()
    assert identity is not None
    return asdict(identity)


def test_a_child_that_comes_late_does_not_begin_what_is_done(installation, engine: Engine, opened: Trigger):
    carry_out(installation, opened.id)
    with pytest.raises(errors.Refusal, match="is done already"):
        begin(engine, opened, "late")
    assert row(engine).run == f"run-of-{opened.id}"


def test_a_child_does_not_begin_what_another_carries_out(engine, opened: Trigger, launches: Launches):
    other = processes.of(launches(opened.id).pid)
    assert other is not None
    set_(engine, state=TriggerState.STARTED, run="r0", claim=asdict(other))
    with pytest.raises(errors.RunActive, match="already has a retraining in progress"):
        begin(engine, opened)
    assert row(engine).run == "r0"
    launches.kill()
    begin(engine, opened)
    assert row(engine).run == "r1"


def test_the_first_of_two_children_begins(engine: Engine, opened: Trigger, launches: Launches):
    """The other was launched too, by a monitor that took the first one's monitor for dead."""
    other = processes.of(launches(opened.id).pid)
    assert other is not None
    set_(engine, state=TriggerState.STARTED, claim=asdict(other), attempts=1)
    begin(engine, opened)
    found = row(engine)
    assert (found.run, found.attempts) == ("r1", 2)
    assert found.claim == asdict(processes.current())


def test_a_run_that_is_refused_leaves_no_record(engine: Engine, opened: Trigger, spec: PilotSpec):
    set_(engine, state=TriggerState.DONE)
    with pytest.raises(errors.Refusal):
        Records(engine).begin_run(
            "r1", spec, Path("/p"), ("ingest",), opened.id,
            along=lambda connection: claims.begin(connection, opened.id, "r1"),
        )  # fmt: skip
    assert Records(engine).runs() == []


def test_a_run_cannot_end_what_another_carries_out(engine: Engine, opened: Trigger):
    begin(engine, opened, "r1")
    with engine.begin() as connection:
        claims.end(connection, opened.id, "r0", State.FAILED)
    assert row(engine).state == TriggerState.STARTED


def test_a_monitor_that_dies_before_it_has_launched_costs_no_attempt(
    installation, engine: Engine, opened: Trigger, spec: PilotSpec, launches: Launches
):
    for _ in range(claims.MOST_ATTEMPTS + 2):
        set_(engine, state=TriggerState.STARTED, claim=dead(), run=None)
        with engine.begin() as connection:
            claims.reopen_dead(connection, "small")
        assert (row(engine).state, row(engine).attempts) == (TriggerState.OPEN, 0)
    assert triggers.dispatch(installation, spec, Path("/p"), launch=launches) is not None
    assert row(engine).attempts == 1


def test_a_child_that_is_stopped_before_it_began_costs_no_attempt(
    installation, engine: Engine, opened: Trigger, spec: PilotSpec, launches: Launches
):
    started = triggers.dispatch(installation, spec, Path("/p"), launch=launches)
    assert started is not None
    claims.withdraw(engine, opened.id, started.process.pid)
    assert row(engine).state == TriggerState.STARTED, "it lives"
    launches.kill()
    claims.withdraw(engine, opened.id, started.process.pid)
    assert (row(engine).state, row(engine).attempts) == (TriggerState.OPEN, 0)


def test_a_child_that_cannot_begin_does_not_free_what_another_was_launched_for(
    engine: Engine, opened: Trigger, launches: Launches
):
    other = processes.of(launches(opened.id).pid)
    assert other is not None
    set_(engine, state=TriggerState.STARTED, claim=asdict(other))
    claims.reopen(engine, opened.id)
    assert row(engine).state == TriggerState.STARTED


def test_a_run_of_an_earlier_version_that_ended_is_not_carried_out_again(
    engine: Engine, opened: Trigger, spec: PilotSpec
):
    """It ended the run and its trigger one after the other, and may have been killed in between."""
    records = Records(engine)
    records.begin_run("r1", spec, Path("/p"), ("ingest",), opened.id)
    records.end_run("r1", State.SUCCEEDED, 0)
    set_(engine, state=TriggerState.STARTED, claim=dead(), run="r1")
    with engine.begin() as connection:
        claims.reopen_dead(connection, "small")
    assert row(engine).state == TriggerState.DONE


def test_a_run_that_died_after_it_had_promoted_is_carried_on(
    installation, engine: Engine, opened: Trigger, spec: PilotSpec, launches: Launches, monkeypatch
):
    """Its version is champion, so the alarm is about another: what the run left undone is still to do."""
    Records(engine).begin_run("r1", spec, Path("/p"), ("ingest",), opened.id)
    set_(engine, state=TriggerState.STARTED, claim=dead(), run="r1", attempts=1)
    monkeypatch.setattr(triggers, "_champion", lambda *_: (2, "r1"))
    assert triggers.dispatch(installation, spec, Path("/p"), launch=launches) is not None
    set_(engine, state=TriggerState.OPEN)
    monkeypatch.setattr(triggers, "_champion", lambda *_: (2, "of-somebody-else"))
    assert triggers.dispatch(installation, spec, Path("/p"), launch=launches) is None
    assert row(engine).state == TriggerState.SUPERSEDED


def test_the_champion_and_its_run_are_the_registrys(installation: Settings, monkeypatch: pytest.MonkeyPatch):
    assert triggers._champion(installation, "small") == (None, None)
    monkeypatch.setattr(Registry, "aliases", lambda self, name: {"champion": 2})
    assert triggers._champion(installation, "small") == (2, None)


def test_two_readings_of_a_process_are_the_same_and_a_reused_pid_is_not():
    one = processes.current()
    assert processes.same(one, processes.current())
    assert not processes.same(one, replace(one, started=one.started - 10))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a start is told by the clock alone")
def test_a_clock_that_is_put_right_makes_no_process_another(monkeypatch: pytest.MonkeyPatch):
    one = processes.current()
    boot = psutil.boot_time()
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot + 3600)
    assert processes.same(one, processes.current())
    assert processes.alive(one)
