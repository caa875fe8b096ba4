"""Whole runs of the real five steps in processes of their own: results, cache, signals, kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pilotage.core import settings
from pilotage.core.registry import Registry
from pilotage.pipelines import tables
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import environments

STEPS = ["ingest", "validate", "train", "evaluate", "register"]
PILOT = """\
version: 1
pilot: {name}
data: {{source: rows.csv, target: late}}
goal: {{metric: roc_auc}}
train: {{estimator: logistic_regression}}
{more}
"""


def write_pilot(folder: Path, name: str = "small", more: str = "", rows: int = 600) -> Path:
    """A pilot on a table with a number, a category, missing values and a target that depends on both."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(len(name))
    lines = ["size,colour,late"]
    for row in range(rows):
        size, colour = draw.normal(), draw.choice(["red", "green"])
        late = int(size + (colour == "red") + draw.normal() * 0.5 > 0.5)
        lines.append(f"{'' if row % 40 == 0 else round(size, 3)},{colour},{late}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "pilot.yaml").write_text(PILOT.format(name=name, more=more))
    return folder


@dataclass
class Installation:
    """A home, and runs in it."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    def start(self, pilot: Path, *words: str) -> subprocess.Popen[str]:
        """Begin a run."""
        known = environments.variables(settings.load(home=self.home))
        return subprocess.Popen(
            [sys.executable, "-m", "pilotage.pipelines", "run", str(pilot), *words],
            env={**os.environ, **known, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, pilot: Path, *words: str) -> dict[str, Any]:
        """Run to the end; the document with the process's exit code as `returned`."""
        with self.start(pilot, *words) as process:
            out, err = process.communicate(timeout=240)
        assert "Traceback" not in out
        document = json.loads(out) if out else {}
        return {**document, "returned": process.returncode, "stderr": err}

    def wait_for(self, step: str, process: subprocess.Popen[str]) -> None:
        """Until `step` has begun."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            with (
                suppress(sqlite3.OperationalError),
                closing(sqlite3.connect(self.home / "pilotage.db")) as base,
            ):
                found = base.execute(
                    "SELECT 1 FROM steps WHERE name = ? AND state <> 'pending'", (step,)
                ).fetchone()
                if found:
                    return
            time.sleep(0.01)
        raise AssertionError(f"{step} never began: {process.communicate()}")

    @property
    def records(self) -> Records:
        return Records(tables.connect(settings.load(home=self.home)))

    @property
    def registry(self) -> Registry:
        return Registry(settings.load(home=self.home))


def states(document: dict[str, Any]) -> list[str]:
    return [step["state"] for step in document["steps"]]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "home")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Installation, Path, dict[str, Any]]:
    """A first run that succeeded; tests that read share it."""
    folder = tmp_path_factory.mktemp("done")
    installation, pilot = Installation(folder / "home"), write_pilot(folder / "pilot")
    return installation, pilot, installation.run(pilot)


def test_a_first_run_gives_a_champion_and_says_so(done):
    installation, _, document = done
    assert document["returned"] == 0, document["stderr"]
    assert document["state"] == "succeeded"
    assert [(step["name"], step["state"], step["cached"]) for step in document["steps"]] == [
        (name, "succeeded", False) for name in STEPS
    ]
    assert (document["version"], document["promoted"]) == (1, True)
    assert document["metrics"]["roc_auc"] > 0.8
    assert {"gate", "passed", "value", "limit"} <= set(document["gates"][0])
    assert len(document["snapshot"]) == 64
    assert installation.registry.aliases("small")["champion"] == 1


def test_everything_was_recorded(done):
    installation, _, document = done
    run = installation.records.run(document["run"])
    assert (run.state, run.exit_code, run.result["version"]) == (State.SUCCEEDED, 0, 1)
    steps = {step.name: step for step in installation.records.steps(run.id)}
    assert list(steps) == STEPS
    assert all(
        step.log.is_file() and step.started_at and step.ended_at and step.seconds for step in steps.values()
    )
    assert steps["train"].inputs["snapshot"] == document["snapshot"]
    assert steps["evaluate"].metrics["roc_auc"] == pytest.approx(document["metrics"]["roc_auc"])


def test_the_champions_snapshot_is_kept_for_the_next_validation(done):
    from pilotage.components import shells

    installation, _, document = done
    snapshot = shells.champion_snapshot(settings.load(home=installation.home), "small")
    assert snapshot is not None
    assert snapshot.digest == document["snapshot"]


def test_a_second_run_is_all_hits_although_the_first_was_promoted(done):
    installation, pilot, document = done
    again = installation.run(pilot)
    assert states(again) == ["cached"] * 5
    assert (again["version"], again["promoted"], again["returned"]) == (1, True, 0)
    assert again["metrics"] == document["metrics"]
    assert not (installation.home / "logs" / again["run"]).exists()


def test_changed_data_makes_a_new_version_and_a_model_that_is_gone_is_no_hit(tmp_path: Path):
    installation, pilot = Installation(tmp_path / "home"), write_pilot(tmp_path / "pilot")
    installation.run(pilot)
    table = pilot / "rows.csv"
    table.write_text(table.read_text() + "0.1,red,1\n" * 3)
    document = installation.run(pilot)
    assert states(document) == ["succeeded"] * 5, document
    assert document["version"] == 2
    assert installation.run(pilot)["version"] == 2
    shutil.rmtree(installation.registry.folder(installation.registry.version("small", 2)))
    again = installation.run(pilot)
    assert states(again)[:2] == ["cached", "cached"]
    assert states(again)[2:] == ["succeeded"] * 3
    assert again["version"] == 3


def test_a_gate_that_says_no_registers_and_exits_with_three(tmp_path: Path, installation: Installation):
    pilot = write_pilot(tmp_path / "pilot", more="gates: [{metric: roc_auc, min: 0.9999}]")
    document = installation.run(pilot)
    assert (document["state"], document["returned"]) == ("succeeded", 3)
    assert (document["version"], document["promoted"], document["decision"]) == (1, False, "refused")
    assert installation.registry.champion("small") is None


def test_a_version_that_needs_an_approval_waits(tmp_path: Path, installation: Installation):
    from pilotage.pipelines.decisions import promotions

    document = installation.run(write_pilot(tmp_path / "pilot", more="approval: manual"))
    assert (document["returned"], document["promoted"], document["decision"]) == (0, False, "pending")
    promotions.approve(settings.load(home=installation.home), "small", who="ann")
    assert installation.registry.aliases("small")["champion"] == 1


def test_wrong_input_exits_with_two_and_names_the_cause(tmp_path: Path, installation: Installation):
    pilot = write_pilot(tmp_path / "pilot")
    (pilot / "rows.csv").write_text("size,colour\n1,red\n2,green\n")
    document = installation.run(pilot)
    assert (document["returned"], document["state"]) == (2, "failed")
    assert states(document) == ["failed", "skipped", "skipped", "skipped", "skipped"]
    assert "late" in document["error"]["message"]
    assert document["error"]["step"] == "ingest"
    said = Path(document["error"]["log"]).read_text()
    assert document["error"]["message"] in said
    assert "Traceback" not in said


def test_a_second_run_of_a_pilot_is_refused_meanwhile(tmp_path: Path, installation: Installation):
    pilot = write_pilot(tmp_path / "pilot")
    with installation.start(pilot) as first:
        installation.wait_for("ingest", first)
        second = installation.run(pilot)
        (active,) = installation.records.runs("small")
        assert second["returned"] == 1
        assert active.id in second["stderr"]
        out, _ = first.communicate(timeout=240)
    assert json.loads(out)["state"] == "succeeded"


def test_two_pilots_run_side_by_side_in_one_home(tmp_path: Path, installation: Installation):
    pilots = [write_pilot(tmp_path / name, name) for name in ("one", "another")]
    running = [installation.start(pilot) for pilot in pilots]
    documents = [json.loads(process.communicate(timeout=240)[0]) for process in running]
    assert [document["state"] for document in documents] == ["succeeded", "succeeded"]
    assert installation.registry.names() == ["another", "one"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_run_and_its_steps(tmp_path: Path, installation: Installation, number: int):
    pilot = write_pilot(tmp_path / "pilot")
    with installation.start(pilot) as process:
        installation.wait_for("validate", process)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    document = json.loads(out)
    assert (process.returncode, document["state"]) == (1, "cancelled"), err
    assert states(document) == ["succeeded", "cancelled", "skipped", "skipped", "skipped"]
    assert psutil.wait_procs(family, timeout=5)[1] == []
    (run,) = installation.records.runs("small")
    assert run.state is State.CANCELLED


@pytest.fixture(scope="module")
def kills() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_kill_9_at_any_moment_is_found_and_the_next_run_carries_on(tmp_path: Path, kills, step: str):
    installation, pilot = Installation(tmp_path / "home"), write_pilot(tmp_path / "pilot")
    with installation.start(pilot) as process:
        installation.wait_for(step, process)
        time.sleep(kills.uniform(0, 0.5))
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.communicate()
    assert psutil.wait_procs(family, timeout=5)[1] == []
    document = installation.run(pilot)
    assert (document["returned"], document["state"]) == (0, "succeeded"), document
    assert states(document)[: STEPS.index(step)] == ["cached"] * STEPS.index(step)
    assert document["promoted"]
    _assert_whole(installation)


def _assert_whole(installation: Installation) -> None:
    """One champion, no half snapshot, nothing open in MLflow, every run ended."""
    registry = installation.registry
    champion = registry.champion("small")
    assert champion is not None
    assert registry.folder(champion).is_dir()
    assert [
        folder.name
        for folder in (installation.home / "snapshots").iterdir()
        if not (folder / "manifest.json").exists()
    ] == []
    staging = installation.home / ".staging"
    assert not staging.exists() or list(staging.iterdir()) == []
    experiment = registry.client.get_experiment_by_name("small")
    assert experiment is not None
    runs = registry.client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} <= {"FINISHED", "FAILED", "KILLED"}
    states = [run.state for run in installation.records.runs("small")]
    assert states[0] is State.SUCCEEDED
    assert set(states) <= {State.SUCCEEDED, State.DIED}
    with closing(sqlite3.connect(installation.home / "pilotage.db")) as base:
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with closing(sqlite3.connect(installation.home / "mlflow.db")) as base:
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
