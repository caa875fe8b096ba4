"""One alarm, one retraining: whoever is killed wherever.

For each statement on a trigger's way that leaves something else behind, passes of the monitor are
repeated as a restarted monitor does, and then there must be one completed run; see `killings`.
The last tests have real steps.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration import killings
from tests.integration.killings import END, SHARDS
from tests.integration.test_pipelines_runs import write_pilot

from pilotage.core import pilots, settings
from pilotage.core.artifacts import Alarm, TriggerState
from pilotage.core.registry import Registry
from pilotage.core.specs import Cause
from pilotage.pipelines import tables
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.retraining import triggers

pytestmark = pytest.mark.usefixtures("uncovered")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked processes warn as users' do: not at all."""
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")


def test_without_a_kill_there_is_one_run(tmp_path: Path):
    killings.in_fresh_process(killings.kill_nobody, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_the_monitor_killed_between_any_two_statements(tmp_path: Path, shard: int):
    killings.in_fresh_process(killings.kill_monitors, tmp_path, shard)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_the_retraining_killed_between_any_two_statements(tmp_path: Path, shard: int):
    killings.in_fresh_process(killings.kill_retrainings, tmp_path, shard)


@pytest.mark.slow
def test_both_killed_again_and_again(tmp_path: Path):
    killings.in_fresh_process(killings.kill_both, tmp_path)


def test_several_monitors_at_once(tmp_path: Path):
    killings.in_fresh_process(killings.run_several, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["ingest", "register", "promotion"])
def test_a_real_retraining_that_is_killed_is_carried_out_once(tmp_path: Path, moment: str):
    """Real steps in the real process; the alarm is about a version that its own run replaces."""
    installation = settings.load(home=tmp_path / "home")
    folder = write_pilot(tmp_path / "pilot")
    spec = pilots.load(folder).spec
    alarm = Alarm(id="a", pilot="small", version=7, cause=Cause.DRIFT, start=END, end=END, message="m")
    triggers.open_triggers(installation, spec, [alarm])
    registry, found = Registry(installation), Records(tables.connect(installation))

    def is_reached(process: subprocess.Popen[Any]) -> bool:
        if process.poll() is not None:
            return True
        if moment == "promotion":
            return bool(registry.aliases("small"))
        began = [step for run in found.runs("small") for step in found.steps(run.id) if step.name == moment]
        return any(step.started_at is not None for step in began)

    started = triggers.dispatch(installation, spec, folder)
    assert started is not None
    deadline = time.monotonic() + 200
    while not is_reached(started.process):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    started.process.kill()
    started.process.wait()
    again = triggers.dispatch(installation, spec, folder)
    if again is not None:
        assert again.process.wait(200) == 0, (
            installation.logs / f"trigger-{again.trigger.id}.log"
        ).read_text()
    (trigger,) = triggers.triggers(installation)
    assert trigger.state is TriggerState.DONE
    runs = found.runs("small")
    assert [run.id for run in runs if run.state is State.SUCCEEDED] == [trigger.run]
    assert registry.aliases("small")["champion"] == 1
    assert [version.version for version in registry.versions("small")] == [1]
