"""Runs of a small pilot against the tests' Kubeflow, through the real client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.kubeflows import Kubeflow, Pods, Run

from pilotage.core import pilots, settings
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals import states
from pilotage.pipelines.journals.events import Event, Journal, Kind
from pilotage.pipelines.journals.records import Records, StepRecord
from pilotage.pipelines.journals.states import STEPS
from pilotage.pipelines.kubeflow.runners import KubeflowRunner

PILOT = """\
version: 1
pilot: small
data: {{source: rows.csv, target: y}}
goal: {{metric: roc_auc}}
cluster: {{volumes: [{{pvc_name: shared, mount_path: {mount}}}]}}
"""
ARTIFACTS = dict(zip(STEPS, ("snapshot", "report", "model", "scorecard", "version"), strict=True))


class Cluster:
    """An installation, a pilot and a Kubeflow that plays its runs."""

    def __init__(self, folder: Path, kubeflow: Kubeflow, **overrides: Any) -> None:
        self.kubeflow = kubeflow
        self.shared = folder / "shared"
        self.folder = folder / "pilot"
        self.folder.mkdir()
        (self.folder / "rows.csv").write_text("x,y\n1,0\n")
        (self.folder / "pilot.yaml").write_text(PILOT.format(mount=self.shared))
        self.settings = settings.load(home=folder / "home", **self.values(**overrides))
        self.pods = Pods(Storage(str(self.shared)))
        self.records = Records(tables.connect(self.settings))
        self.events: list[Event] = []
        self.name = states.new_id()

    def values(self, **overrides: Any) -> dict[str, Any]:
        return {
            "storage_url": str(self.shared),
            "mlflow_tracking_uri": "http://localhost:1",
            "kubeflow_url": self.kubeflow.url,
            "kubeflow_poll_seconds": 0.02,
            "kubeflow_patience_seconds": 5.0,
            "kubeflow_timeout_seconds": 1,
            **overrides,
        }

    @property
    def spec(self) -> PilotSpec:
        return pilots.load(self.folder).spec

    @property
    def run(self) -> Run:
        """The only run that was submitted."""
        (run,) = self.kubeflow.runs.values()
        return run

    @property
    def steps(self) -> dict[str, StepRecord]:
        return {step.name: step for step in self.records.steps(self.name)}

    def seen(self, *kinds: Kind) -> list[tuple[Kind, str | None]]:
        return [(event.kind, event.step) for event in self.events if event.kind in kinds]

    def begin(self) -> Journal:
        remote = {"on": "kubeflow", "id": None}
        self.records.begin_run(self.name, self.spec, self.folder, STEPS, remote=remote)
        return Journal(self.records, self.name, self.events.append)

    def carry_out(self, journal: Journal | None = None, installation: Settings | None = None) -> Journal:
        """Submit the run, unless it was, and look at it to its end."""
        journal = journal or self.begin()
        runner = KubeflowRunner(installation or self.settings, self.records.engine, journal)
        runner.run(self.spec, self.folder, self.records.run(self.name).remote or {})
        return journal

    def play(self, *acts: Callable[[Run], None], end: str = "SUCCEEDED", said: str = "") -> None:
        """One act each time that somebody looks, and the end after them."""
        left = list(acts)

        def play(run: Run, _: Kubeflow) -> None:
            if left:
                left.pop(0)(run)
            else:
                run.state, run.said = end, said

        self.kubeflow.play = play

    def whole(self) -> list[Callable[[Run], None]]:
        """Acts of a run whose steps all succeed."""
        acts: list[Callable[[Run], None]] = []
        for number, step in enumerate(STEPS):
            found: dict[str, Any] = {"digest": str(number) * 64, "metrics": {"auc": 0.5}}
            acts.append(partial(self.pods.begin, step=step))
            acts.append(partial(self.pods.succeed, step=step, artifact=ARTIFACTS[step], **found))
        return acts

    def once_looked_at(self, act: Callable[[], None]) -> None:
        """Do something, from another thread, when the run has been submitted and is looked at."""

        def wait() -> None:
            deadline = time.monotonic() + 60
            while not any(run.looks > 1 for run in list(self.kubeflow.runs.values())):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            act()

        threading.Thread(target=wait, daemon=True).start()


@pytest.fixture
def kubeflow() -> Iterator[Kubeflow]:
    """A server; everything that it was asked and has answered was as described."""
    server = Kubeflow()
    yield server
    server.stop()
    assert server.problems == []


@pytest.fixture
def cluster(tmp_path: Path, kubeflow: Kubeflow) -> Iterator[Cluster]:
    found = Cluster(tmp_path, kubeflow)
    yield found
    found.records.engine.dispose()


@pytest.fixture
def cluster_with(tmp_path: Path, kubeflow: Kubeflow) -> Iterator[Callable[..., Cluster]]:
    """The same with settings of the test's own."""
    made: list[Cluster] = []

    def make(**overrides: Any) -> Cluster:
        made.append(Cluster(tmp_path, kubeflow, **overrides))
        return made[-1]

    yield make
    for cluster in made:
        cluster.records.engine.dispose()
