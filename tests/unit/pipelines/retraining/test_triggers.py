"""Alarms open triggers; at most one retraining of a pilot is under way, whoever dispatches."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pilotage.core import errors, pilots, settings
from pilotage.core.artifacts import Alarm, TriggerState
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import Cause, PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import processes
from pilotage.pipelines.queue import claims
from pilotage.pipelines.retraining import triggers

DAY = timedelta(days=1)
START = datetime(2013, 4, 1, tzinfo=UTC)
TEXT = (
    "version: 1\npilot: small\ndata: {source: rows.csv, target: y}\ngoal: {metric: roc_auc}\n"
    "retrain: {on: [drift], cooldown: 2d}\n"
)

pytestmark = pytest.mark.databases


@pytest.fixture
def spec() -> PilotSpec:
    """Retrains on drift, at most every two days of its data."""
    return pilots.parse(TEXT)


def _alarm(day: int, cause: Cause = Cause.DRIFT, version: int = 1) -> Alarm:
    end = START + day * DAY
    return Alarm(
        id=f"small-{version}-{day}-{cause}",
        pilot="small",
        version=version,
        cause=cause,
        start=end - DAY,
        end=end,
        message=f"day {day} drifted",
    )


class Launches:
    """Starts processes that only sleep, in the place of retraining runs."""

    def __init__(self) -> None:
        self.triggers: list[str] = []
        self.processes: list[subprocess.Popen[Any]] = []

    def __call__(self, trigger: str) -> subprocess.Popen[Any]:
        self.triggers.append(trigger)
        self.processes.append(subprocess.Popen(["sleep", "60"]))
        return self.processes[-1]

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def launches() -> Iterator[Launches]:
    launches = Launches()
    yield launches
    launches.kill()


def carry_out(installation: Settings, trigger: str, state: State = State.SUCCEEDED) -> None:
    """Begin and end a run of `trigger` in this process; what was launched for it is too late."""
    engine = tables.connect(installation)
    with engine.begin() as connection:
        claims.begin(connection, trigger, f"run-of-{trigger}")
    with engine.begin() as connection:
        claims.end(connection, trigger, f"run-of-{trigger}", state)


def _states(installation: Settings) -> list[TriggerState]:
    """Oldest data first."""
    return [trigger.state for trigger in reversed(triggers.triggers(installation, "small"))]


def test_an_alarm_about_a_version_that_was_replaced_retrains_nothing(
    installation: Settings, spec: PilotSpec, launches: Launches, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Registry, "aliases", lambda self, name: {"champion": 2})
    triggers.open_triggers(installation, spec, [_alarm(1, version=2), _alarm(9, version=1)])
    started = triggers.dispatch(installation, spec, Path("/p"), launch=launches)
    assert started is not None
    assert started.trigger.version == 2
    assert _states(installation) == [TriggerState.STARTED, TriggerState.SUPERSEDED]


def test_an_alarm_opens_one_trigger_however_often_it_is_raised(installation: Settings, spec: PilotSpec):
    (opened,) = triggers.open_triggers(installation, spec, [_alarm(1), _alarm(1)])
    assert triggers.open_triggers(installation, spec, [_alarm(1)]) == []
    assert (opened.state, opened.at, opened.reason) == (TriggerState.OPEN, START + DAY, "day 1 drifted")


def test_a_cause_that_the_pilot_does_not_retrain_on_opens_nothing(installation: Settings, spec: PilotSpec):
    assert triggers.open_triggers(installation, spec, [_alarm(1, Cause.PERFORMANCE)]) == []


def test_one_run_is_started_and_a_second_dispatch_starts_none(installation, spec, launches: Launches):
    triggers.open_triggers(installation, spec, [_alarm(1)])
    started = triggers.dispatch(installation, spec, Path("/p"), launch=launches)
    assert started is not None
    assert started.trigger.state is TriggerState.STARTED
    triggers.open_triggers(installation, spec, [_alarm(9)])
    assert triggers.dispatch(installation, spec, Path("/p"), launch=launches) is None
    assert launches.triggers == [started.trigger.id]


def test_the_newest_of_several_is_started_for_all(installation, spec, launches: Launches):
    triggers.open_triggers(installation, spec, [_alarm(1), _alarm(3), _alarm(2)])
    started = triggers.dispatch(installation, spec, Path("/p"), launch=launches)
    assert started is not None
    assert started.trigger.at == START + 3 * DAY
    assert _states(installation) == [TriggerState.SUPERSEDED, TriggerState.SUPERSEDED, TriggerState.STARTED]


@pytest.mark.parametrize(
    ("day", "moment", "starts"),
    [
        pytest.param(2, None, False, id="too-soon"),
        pytest.param(3, None, True, id="after-the-cooldown"),
        pytest.param(2, START + 3 * DAY, True, id="the-data-has-moved-on"),
        pytest.param(2, START, False, id="a-moment-in-the-past-changes-nothing"),
    ],
)
def test_the_cooldown_is_in_the_datas_own_time(installation, spec, launches, day, moment, starts: bool):
    (first,) = triggers.open_triggers(installation, spec, [_alarm(1)])
    triggers.dispatch(installation, spec, Path("/p"), launch=launches)
    carry_out(installation, first.id)
    triggers.open_triggers(installation, spec, [_alarm(day)])
    started = triggers.dispatch(installation, spec, Path("/p"), moment=moment, launch=launches)
    assert (started is not None) is starts
    assert _states(installation)[-1] is (TriggerState.STARTED if starts else TriggerState.WAITING)


@pytest.mark.parametrize(("day", "starts"), [(4, False), (5, True)])
def test_the_cooldown_counts_from_the_start_not_from_the_alarm_that_led_to_it(
    installation, spec, launches, day: int, starts: bool
):
    (first,) = triggers.open_triggers(installation, spec, [_alarm(1)])
    triggers.dispatch(installation, spec, Path("/p"), moment=START + 3 * DAY, launch=launches)
    carry_out(installation, first.id)
    triggers.open_triggers(installation, spec, [_alarm(day)])
    started = triggers.dispatch(installation, spec, Path("/p"), launch=launches)
    assert (started is not None) is starts


def test_a_trigger_whose_run_was_killed_is_started_again_and_given_up_in_the_end(
    installation, spec, launches
):
    (opened,) = triggers.open_triggers(installation, spec, [_alarm(1)])
    for _ in range(claims.MOST_ATTEMPTS):
        started = triggers.dispatch(installation, spec, Path("/p"), launch=launches)
        assert started is not None
        assert started.trigger.id == opened.id
        launches.kill()
    assert triggers.dispatch(installation, spec, Path("/p"), launch=launches) is None
    assert _states(installation) == [TriggerState.FAILED]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.SUCCEEDED, TriggerState.DONE),
        (State.FAILED, TriggerState.FAILED),
        (State.CANCELLED, TriggerState.OPEN),
    ],
)
def test_the_end_of_the_run_is_the_end_of_the_trigger(
    installation, spec, state: State, expected: TriggerState
):
    (opened,) = triggers.open_triggers(installation, spec, [_alarm(1)])
    engine = tables.connect(installation)
    with engine.begin() as connection:
        claims.begin(connection, opened.id, "r1")
    with engine.begin() as connection:
        claims.end(connection, opened.id, "r1", state)
    (trigger,) = triggers.triggers(installation)
    assert (trigger.state, trigger.run) == (expected, "r1")


def test_a_launch_that_fails_leaves_the_trigger_open(installation: Settings, spec: PilotSpec):
    def fail(trigger: str) -> subprocess.Popen[Any]:
        raise OSError("no more processes")

    triggers.open_triggers(installation, spec, [_alarm(1)])
    with pytest.raises(OSError, match="no more processes"):
        triggers.dispatch(installation, spec, Path("/p"), launch=fail)
    assert _states(installation) == [TriggerState.OPEN]


def test_an_unknown_trigger_is_an_error(installation: Settings):
    with (
        pytest.raises(errors.NotFound, match="no trigger `t9`"),
        tables.connect(installation).begin() as connection,
    ):
        claims.begin(connection, "t9", "r1")


def test_a_retraining_that_cannot_begin_leaves_its_trigger_open(installation: Settings, spec: PilotSpec):
    (opened,) = triggers.open_triggers(installation, spec, [_alarm(1)])
    engine = tables.connect(installation)
    own = asdict(processes.current())
    with engine.begin() as connection:
        connection.execute(tables.triggers.update().values(state=TriggerState.STARTED, claim=own))
    claims.reopen(engine, opened.id)
    assert _states(installation) == [TriggerState.OPEN]


def _race(home: str, notes: str) -> None:
    """Open the same alarms as everyone else and dispatch."""
    installation, spec = settings.load(home=Path(home)), pilots.parse(TEXT)

    def launch(trigger: str) -> subprocess.Popen[Any]:
        with Path(notes).open("a") as stream:
            stream.write(f"{trigger}\n")
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(10)"])

    until = time.monotonic() + 2
    while time.monotonic() < until:
        triggers.open_triggers(installation, spec, [_alarm(day) for day in (1, 2)])
        started = triggers.dispatch(installation, spec, Path("/p"), launch=launch)
        if started is not None:
            time.sleep(0.5)
            started.process.kill()
            started.process.wait()


def test_processes_that_race_never_start_two_at_once(installation: Settings, tmp_path: Path):
    notes = tmp_path / "launched"
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=_race, args=(str(installation.home), str(notes))) for _ in range(3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    launched = notes.read_text().split()
    assert 1 <= len(launched) <= claims.MOST_ATTEMPTS
    assert len(set(launched)) == 1
    assert len(triggers.triggers(installation, "small")) == 2
