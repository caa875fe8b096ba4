"""Runs and steps as they are kept; a run whose process is gone is found."""

from __future__ import annotations

import dataclasses
import multiprocessing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, states
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import processes
from pilotage.pipelines.queue import requests

pytestmark = pytest.mark.databases


@pytest.fixture
def store(installation: Settings):
    engine = tables.connect(installation)
    yield Records(engine)
    engine.dispose()


def _begin_elsewhere(store: Records, spec: PilotSpec, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> str:
    name = states.new_id()
    identity = dataclasses.replace(processes.current(), **changes)
    with monkeypatch.context() as patch:
        patch.setattr(processes, "current", lambda: identity)
        store.begin_run(name, spec, Path("/pilot"), ("ingest", "train"))
    return name


def test_a_run_is_readable_while_it_goes_on(store: Records, spec: PilotSpec):
    store.begin_run("r1", spec, Path("/pilot"), ("ingest", "train"), trigger="t")
    store.update_step("r1", "ingest", state=State.RUNNING, started_at=tables.now(), attempt=1)
    run = store.run("r1")
    assert (run.state, run.trigger, run.pilot, run.folder) == (State.RUNNING, "t", "small", Path("/pilot"))
    assert [step.state for step in store.steps("r1")] == [State.RUNNING, State.PENDING]
    assert run.started_at is not None
    assert run.started_at.tzinfo is not None


def test_the_end_of_a_run_leaves_no_step_open(store: Records, spec: PilotSpec):
    store.begin_run("r1", spec, Path("/pilot"), ("ingest", "train"))
    store.update_step("r1", "ingest", state=State.RUNNING)
    store.end_run("r1", State.CANCELLED, 1, error={"message": "stopped"})
    assert [step.state for step in store.steps("r1")] == [State.CANCELLED, State.SKIPPED]
    assert store.run("r1").error == {"message": "stopped"}


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        pytest.param({}, State.RUNNING, id="this-process"),
        pytest.param({"pid": 2**22 + 1}, State.DIED, id="no-such-pid"),
        pytest.param({"started": 1.0}, State.DIED, id="pid-used-again"),
        pytest.param({"boot": "an-earlier-one"}, State.DIED, id="machine-restarted"),
        pytest.param({"host": "elsewhere", "pid": 1}, State.RUNNING, id="another-machine"),
    ],
)
def test_only_a_run_whose_process_is_gone_is_buried(store, spec, monkeypatch, changes, state: State):
    name = _begin_elsewhere(store, spec, monkeypatch, **changes)
    store.update_step(name, "ingest", state=State.RUNNING)
    dead = store.bury()
    assert [record.id for record in dead] == ([name] if state is State.DIED else [])
    assert store.run(name).state is state
    first = store.steps(name)[0].state
    assert first is state
    assert store.bury() == []


def test_one_that_ended_or_was_put_back_just_before_its_process_went_is_not_buried(
    store: Records, spec: PilotSpec, monkeypatch: pytest.MonkeyPatch
):
    if store.engine.dialect.name == "sqlite":
        pytest.skip("transactions that write exclude each other")
    ended = _begin_elsewhere(store, spec, monkeypatch, pid=2**22 - 1)
    back = _begin_elsewhere(store, spec.model_copy(update={"pilot": "other"}), monkeypatch, pid=2**22 - 2)

    def leave(process: processes.Identity) -> bool:
        if process.pid == 2**22 - 1:
            store.end_run(ended, State.SUCCEEDED, 0)
        else:
            assert requests.requeue(store.engine, back)
        return False

    monkeypatch.setattr(processes, "alive", leave)
    assert store.bury() == []
    assert (store.run(ended).state, store.run(back).state) == (State.SUCCEEDED, State.PENDING)
    assert [step.state for step in store.steps(back)] == [State.PENDING, State.PENDING]


def test_runs_come_newest_first_and_by_the_start_of_their_id(store: Records, spec: PilotSpec):
    for name in ("20260101-1", "20260102-1", "20260103-1"):
        store.begin_run(name, spec, Path("/pilot"), ("ingest",))
    assert [run.id for run in store.runs("small", limit=2)] == ["20260103-1", "20260102-1"]
    assert store.runs("another") == []
    assert store.run("20260102").id == "20260102-1"
    with pytest.raises(errors.NotFound, match="more than one run `2026`"):
        store.run("2026")
    with pytest.raises(errors.NotFound, match="no run `nope`"):
        store.run("nope")


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(store: Records, monkeypatch):
    there = datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    monkeypatch.setattr(tables, "now", lambda: there)
    with store.engine.begin() as connection:
        audits.write(connection, "test", "p", "me", "why")
    (line,) = audits.read(store.engine, "p")
    assert line.at == there
    assert line.at.utcoffset() == timedelta(0)


def _write(home: str, number: int) -> None:
    store = Records(tables.connect(settings.load(home=Path(home))))
    for index in range(10):
        with store.engine.begin() as connection:
            # it reads before it writes, which must not lose to another writer
            audits.write(connection, "a", "p", "x", "", version=number * 100 + index)
    store.engine.dispose()


def test_several_processes_create_and_write_at_once(installation: Settings):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(str(installation.home), number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    engine = tables.connect(installation)
    with engine.begin() as connection:
        assert len(connection.execute(select(tables.audit.c.id)).all()) == 30
    engine.dispose()


def test_a_step_may_take_more_memory_than_32_bits_count(store: Records, spec: PilotSpec):
    store.begin_run("big", spec, Path("/pilot"), ("train",))
    store.update_step("big", "train", peak_memory_bytes=64 << 30)
    assert store.steps("big")[0].peak_memory_bytes == 64 << 30
