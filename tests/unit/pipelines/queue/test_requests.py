"""Runs that wait in line: taken by one process, cancelled, retried and interrupted without loss or double."""

from __future__ import annotations

import multiprocessing
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import STEPS, State
from pilotage.pipelines.machines import processes
from pilotage.pipelines.queue import requests
from pilotage.pipelines.queue.parameters import Parameters
from pilotage.pipelines.queue.requests import Request

pytestmark = pytest.mark.databases


@pytest.fixture
def engine(installation: Settings) -> Engine:
    return tables.connect(installation)


def ask(engine: Engine, spec: PilotSpec, **values: Any) -> str:
    with engine.begin() as connection:
        return requests.ask(connection, Request(spec, Path("/pilot"), "ann", "to see", **values))


def actions(engine: Engine) -> list[str]:
    return [line.action for line in reversed(audits.read(engine))]


def end(engine: Engine, run: str, state: State) -> None:
    requests.claim(engine, run)
    Records(engine).end_run(run, state, 1)


def states_of(engine: Engine, run: str) -> list[str]:
    return [step.state.value for step in Records(engine).steps(run)]


def test_a_run_that_was_asked_for_waits_with_its_steps(engine: Engine, spec: PilotSpec):
    run = ask(engine, spec, parameters=Parameters(cache=False, overrides={"train.seed": 9}))
    record = Records(engine).run(run)
    assert (record.state, record.process, record.started_at) == (State.PENDING, None, None)
    assert (record.asked_by, record.why) == ("ann", "to see")
    assert record.spec["train"] == {"seed": 9}
    assert record.parameters == {"cache": False, "overrides": {"train.seed": 9}}
    assert [step.name for step in Records(engine).steps(run)] == list(STEPS)
    (line,) = audits.read(engine)
    assert (line.action, line.who, line.pilot, line.details["run"]) == ("run", "ann", "small", run)


def test_a_wrong_parameter_leaves_nothing(engine: Engine, spec: PilotSpec):
    with pytest.raises(errors.SpecError):
        ask(engine, spec, parameters=Parameters(overrides={"gates": []}))
    assert Records(engine).runs() == []
    assert actions(engine) == []


def test_the_dead_are_not_buried_before_they_lived(engine: Engine, spec: PilotSpec):
    ask(engine, spec)
    assert Records(engine).bury() == []


def test_a_run_is_claimed_once(engine: Engine, spec: PilotSpec):
    run = ask(engine, spec)
    requests.claim(engine, run)
    record = Records(engine).run(run)
    assert record.process is not None
    assert (record.state, record.process.pid) == (State.RUNNING, os.getpid())
    with pytest.raises(errors.Conflict, match="is running"):
        requests.claim(engine, run)
    with pytest.raises(errors.NotFound):
        requests.claim(engine, "nothing")


def test_a_second_run_of_the_pilot_waits_for_the_first(engine: Engine, spec: PilotSpec):
    first, second = ask(engine, spec), ask(engine, spec)
    requests.claim(engine, first)
    with pytest.raises(errors.RunActive, match=first):
        requests.claim(engine, second)
    assert Records(engine).run(second).state is State.PENDING


def _claim(home: str, run: str, begin: Any, won: Any) -> None:
    engine = tables.connect(settings.load(home=home))
    begin.wait()
    try:
        requests.claim(engine, run)
    except (errors.Conflict, errors.RunActive):
        return
    with won.get_lock():
        won.value += 1


def test_of_many_processes_one_takes_the_run(engine: Engine, installation: Settings, spec: PilotSpec):
    context = multiprocessing.get_context("fork")
    begin, won = context.Barrier(6), context.Value("i", 0)
    run = ask(engine, spec)
    found = [context.Process(target=_claim, args=(str(installation.home), run, begin, won)) for _ in range(6)]
    for process in found:
        process.start()
    for process in found:
        process.join(60)
    assert [process.exitcode for process in found] == [0] * 6
    assert won.value == 1


def test_what_waits_is_cancelled_at_once_and_for_good(engine: Engine, spec: PilotSpec):
    run = ask(engine, spec)
    for _ in range(2):
        assert requests.cancel(engine, run, "bob", "no need") is State.CANCELLED
    record = Records(engine).run(run)
    assert (record.state, record.cancel_asked_by) == (State.CANCELLED, "bob")
    assert record.ended_at is not None
    assert set(states_of(engine, run)) == {"skipped"}
    assert actions(engine) == ["run", "cancel"]
    with pytest.raises(errors.Conflict, match="is cancelled"):
        requests.claim(engine, run)


def test_what_goes_on_is_asked_to_stop(engine: Engine, spec: PilotSpec):
    run = ask(engine, spec)
    requests.claim(engine, run)
    assert requests.cancel(engine, run, "bob") is State.RUNNING
    first = Records(engine).run(run)
    assert requests.cancel(engine, run, "eve") is State.RUNNING
    assert Records(engine).run(run) == first
    assert (first.state, first.cancel_asked_by) == (State.RUNNING, "bob")
    assert actions(engine) == ["run", "cancel"]


@pytest.mark.parametrize("host", ["elsewhere", None])
def test_only_a_run_of_a_machine_that_is_gone_is_given_up(
    engine: Engine, spec: PilotSpec, monkeypatch: pytest.MonkeyPatch, host: str | None
):
    run = ask(engine, spec)
    requests.claim(engine, run)
    with engine.begin() as connection:
        connection.execute(update(tables.runs).values(host=host or processes.current().host))
    clock = tables.now()
    fate = State.DIED if host else State.RUNNING
    for minutes, state in ((0, State.RUNNING), (1, State.RUNNING), (3, fate)):
        monkeypatch.setattr(tables, "now", lambda after=minutes: clock + timedelta(minutes=after))
        assert requests.cancel(engine, run, "bob", "it burned down") is state
    assert Records(engine).run(run).state is fate
    if host:
        assert set(states_of(engine, run)) == {"skipped"}
        assert actions(engine) == ["run", "cancel", "give-up"]
        with pytest.raises(errors.Conflict, match="has died already"):
            requests.cancel(engine, run, "bob")
        requests.claim(engine, requests.retry(engine, run, "bob"))


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.DIED])
def test_what_ended_cannot_be_cancelled(engine: Engine, spec: PilotSpec, state: State):
    run = ask(engine, spec)
    end(engine, run, state)
    with pytest.raises(errors.Conflict, match=f"has {state} already"):
        requests.cancel(engine, run, "bob")


def test_what_ended_is_retried_with_what_it_had_and_the_cache(engine: Engine, spec: PilotSpec):
    run = ask(engine, spec, parameters=Parameters(cache=False, overrides={"train.seed": 9}))
    with pytest.raises(errors.Conflict, match="only one that ended"):
        requests.retry(engine, run, "bob")
    end(engine, run, State.FAILED)
    again = requests.retry(engine, run, "bob", "once more")
    record = Records(engine).run(again)
    assert (record.retry_of, record.asked_by, record.why) == (run, "bob", "once more")
    assert record.parameters == {"cache": True, "overrides": {"train.seed": 9}}
    assert record.spec["train"] == {"seed": 9}
    assert requests.retry(engine, run, "bob") == again
    end(engine, again, State.FAILED)
    assert requests.retry(engine, run, "bob") != again
    assert actions(engine) == ["run", "retry", "retry"]


def test_what_was_no_training_is_not_retried(engine: Engine, spec: PilotSpec):
    Records(engine).begin_run("s1", spec, Path("/pilot"), ("score",))
    Records(engine).end_run("s1", State.FAILED, 1)
    with pytest.raises(errors.Conflict, match="no training: its steps are score"):
        requests.retry(engine, "s1", "bob")


def test_what_is_interrupted_waits_again_as_if_it_had_not_begun(engine: Engine, spec: PilotSpec):
    run = ask(engine, spec)
    before = Records(engine).run(run)
    assert not requests.requeue(engine, run)
    requests.claim(engine, run)
    Records(engine).update_step(run, "ingest", state=State.SUCCEEDED, cached=True, attempt=1, seconds=1.0)
    for _ in range(2):
        assert requests.requeue(engine, run)
        record = Records(engine).run(run)
        assert (record.state, record.process, record.started_at) == (State.PENDING, None, None)
        assert record.why == f"{before.why}; interrupted in order, carried on later"
        assert set(states_of(engine, run)) == {"pending"}
        requests.claim(engine, run)


def test_what_is_to_be_cancelled_is_not_carried_on(engine: Engine, spec: PilotSpec):
    run = ask(engine, spec)
    requests.claim(engine, run)
    requests.cancel(engine, run, "bob")
    assert not requests.requeue(engine, run)


def test_a_launch_is_forgotten_while_the_run_waits(engine: Engine, spec: PilotSpec):
    run = ask(engine, spec)
    with engine.begin() as connection:
        connection.execute(update(tables.runs).values(launch={"deaths": 2}))
    requests.release(engine, run)
    with engine.connect() as connection:
        assert connection.scalar(select(tables.runs.c.launch)) is None
