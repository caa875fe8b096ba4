"""The loop across processes: drift, alarm, trigger, run, gates, commit, cluster, champion; and the way back.

The console, its scheduler, the run and the monitor are real processes that share a
database, git is a real bare repository. The cluster is a stand-in whose controller,
played here, does what git says as Argo CD and Argo Rollouts would.
"""

from __future__ import annotations

import csv
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.clusters import FakeCluster, rollout, serving
from tests.unit.console.browsers import add_user
from tests.unit.console.desks import actor
from tests.unit.serving import small_profiles

from pilotage.console.access.actors import Grant, Role
from pilotage.console.operations import pilots
from pilotage.console.operations.access import tokens
from pilotage.console.operations.desks import Desk
from pilotage.core import profiles, settings, window_files, windows
from pilotage.core.artifacts import Estimate, Feature, Latency, Model, ModelFormat, Rival, Scorecard
from pilotage.core.metrics import Task
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import FeatureKind
from pilotage.core.storage import Storage
from pilotage.core.windows import Window
from pilotage.pipelines import tables
from pilotage.pipelines.transitions import requests

NAME = "late"
PILOT = """\
version: 1
pilot: late
data: {source: data.csv, target: late, key: id}
goal: {metric: roc_auc}
train: {estimator: logistic_regression}
gates: [{metric: roc_auc, min: 0.6}]
monitor: {window: 1h, drift: {persistence: 1}}
retrain: {on: [drift], cooldown: 1h}
"""
FEATURES = (
    Feature(name="distance", kind=FeatureKind.NUMBER),
    Feature(name="carrier", kind=FeatureKind.CATEGORY),
)
DIGEST = "5" * 64
PATIENCE_SECONDS = 240
VALUES = f"main:environments/production/{NAME}/values.yaml"


def write_data(folder: Path, rows: int, seed: int) -> None:
    chance = random.Random(seed)
    with (folder / "data.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "distance", "carrier", "late"])
        for number in range(rows):
            late = chance.random() < 0.4
            distance = chance.gauss(900 if late else 400, 200)
            writer.writerow([number, round(distance, 1), chance.choice(["AA", "UA"]), int(late)])


@dataclass
class Controller:
    """Does what git says: a canary first, then all; or an abort, for the versions that are ill."""

    fake: FakeCluster
    repository: Path
    ill: set[int] = field(default_factory=set)
    seen: list[int] = field(default_factory=list)
    _settled: list[int] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def said(self) -> int | None:
        """The version that git says."""
        shown = subprocess.run(
            ["git", "-C", str(self.repository), "show", VALUES], capture_output=True, text=True, check=False
        )
        return int(yaml.safe_load(shown.stdout)["model"]["version"]) if shown.returncode == 0 else None

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        head, before = self.repository / "refs" / "heads" / "main", 0.0
        while not self._ended.wait(0.5):
            changed = head.stat().st_mtime if head.exists() else 0.0
            if changed == before and self.seen[-1:] == self._settled:
                continue
            version, before = self.said(), changed
            if version is None:
                continue
            fresh = self.seen[-1:] != [version]
            if fresh:
                self.seen.append(version)
                item = rollout(NAME, version, phase="Progressing", stable=False, weight=10, step=0)
            elif version in self.ill:
                aborted: dict[str, Any] = {"abort": True, "message": "RolloutAborted: errors beyond 1 %"}
                item = rollout(NAME, version, phase="Degraded", stable=False, **aborted)
            else:
                item = rollout(NAME, version)
            if not fresh:
                self._settled = [version]
            self.fake.put("rollouts.argoproj.io", "models", item)


@dataclass
class Installation:
    """A console with its scheduler, as processes, and the world around it."""

    folder: Path
    fake: FakeCluster
    environment: dict[str, str]
    repository: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return settings.load(home=self.folder / "home")

    def start(self, *arguments: str) -> Path:
        """A process of the console; returns the file that says when it is ready."""
        ready = self.folder / f"ready-{len(self.processes)}"
        command = [sys.executable, "-m", "pilotage.console.supervision", *arguments]
        with (self.folder / "processes.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [*command, "--ready-file", str(ready)], env=self.environment, stdout=log, stderr=log
                )
            )
        return ready

    def command(self, *arguments: str, url: str, token: str) -> dict[str, Any]:
        """A command that knows nothing of the database."""
        known = {**self.environment, "PILOTAGE_URL": url, "PILOTAGE_TOKEN": token}
        known["PILOTAGE_HOME"] = str(self.folder / "pod")
        known["MLFLOW_TRACKING_URI"] = self.settings.tracking
        known["PILOTAGE_STORAGE_URL"] = self.settings.storage
        done = subprocess.run(
            [sys.executable, "-m", "pilotage.console", *arguments, "--json"],
            env=known, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self) -> str:
        return (self.folder / "processes.log").read_text(errors="replace")[-4000:]


@pytest.fixture
def installation(tmp_path: Path, uncovered: None) -> Iterator[Installation]:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "pilot.yaml").write_text(PILOT)
    write_data(folder, 600, 1)
    bare = tmp_path / "git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    with serving() as fake:
        environment = {
            **os.environ,
            "PILOTAGE_HOME": str(tmp_path / "home"),
            "PILOTAGE_RELEASE_TO": str(bare),
            "PILOTAGE_CLUSTER": "kubeconfig",
            "PILOTAGE_CLUSTER_KUBECONFIG_FILE": str(fake.kubeconfig(tmp_path)),
        }
        made = Installation(tmp_path, fake, environment, bare)
        yield made
        made.stop()


def register_first(made: Installation) -> None:
    """A version of a time before git, which serves and was never made champion: only its files are real."""
    registry, folder = Registry(made.settings), made.folder / "first"
    generator = np.random.default_rng(1)
    drawn: dict[str, Any] = {
        "distance": generator.normal(600, 250, 3000),
        "carrier": np.array(generator.choice(["AA", "UA"], 3000), dtype=object),
    }
    profile = ReferenceProfile(
        pilot=NAME,
        snapshot=DIGEST,
        rows=3000,
        features={item.name: profiles.profile_column(item, drawn[item.name]) for item in FEATURES},
        score=profiles.profile_numbers(generator.random(3000)),
    )
    model = Model(
        pilot=NAME, digest=DIGEST, format=ModelFormat.SKOPS, estimator="logistic_regression", params={},
        seed=1, features=FEATURES, target="late", task=Task.CLASSIFICATION, classes=(0, 1), positive=1,
        snapshot=DIGEST, train_rows=2400, test_rows=600, validation={}, requirements=(), python="3.11",
        code=DIGEST, created_at=datetime.now(UTC),
    )  # fmt: skip
    scorecard = Scorecard(
        pilot=NAME, model=DIGEST, snapshot=DIGEST, metric="roc_auc", test_rows=600,
        metrics={"roc_auc": Estimate(value=0.8)}, baseline=Rival(name="prior", metrics={}, guess=0),
        latency=Latency(p50_ms=1, p90_ms=1, p99_ms=1, calls=1), gates=(), passed=True,
        created_at=datetime.now(UTC),
    )  # fmt: skip
    run = registry.start_run(NAME, "run", {})
    model.write(folder / "model" / "pilotage")
    profile.write(folder / "model" / "pilotage")
    uri = registry.log_model(NAME, run, folder / "model", {})
    registry.log_file(run, scorecard.write(folder))
    registry.end_run(run)
    assert registry.register(NAME, run, uri, {}) == 1


def serve_drifted(installation: Settings) -> None:
    """A window of version 1 whose distances are another's, as a model server in a pod leaves it."""
    registry = Registry(installation)
    registered = registry.version(NAME, 1)
    profile, features = registry.profile(registered), registry.model(registered).features
    generator = np.random.default_rng(3)
    rows = 2000
    drawn = {
        "distance": generator.normal(3000, 100, rows),
        "carrier": np.array(generator.choice(["AA", "UA"], rows), dtype=object),
    }
    columns = {name: part for name, part in drawn.items() if name in profile.features}
    counts = small_profiles.count_columns(profile, {item.name: item for item in features}, columns)
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=6)
    window = Window(
        pilot=NAME, version=1, start=start, end=start + timedelta(hours=1),
        rows=rows, requests=rows, errors=0,
        features={name: tuple(part.tolist()) for name, part in counts.items()},
        score=tuple(profile.score.count(np.full(rows, 0.9)).tolist()),
        latency=tuple(windows.count_latencies(np.full(rows, 3.0)).tolist()),
        updated_at=start + timedelta(hours=1),
    )  # fmt: skip
    name = windows.window_name(NAME, 1, start, "pod-1")
    Storage(installation.storage).write(name, window_files.encode(window))


def token_of(desk: Desk, role: Role) -> str:
    grant = Grant(NAME, role)
    add_user(desk, f"{role}-{NAME}", grant, password=None)
    return tokens.make_token(desk, actor(), "x", [grant], 1, user=f"{role}-{NAME}").secret


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, made: Installation, holds: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            known = requests.find(tables.connect(made.settings), NAME)
            raise AssertionError(f"{what} does not come: {known}\n{made.log()}")
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_drifted_traffic_ends_in_a_new_champion_and_an_aborted_rollout_in_the_old_one(
    installation: Installation,
) -> None:
    made = installation
    register_first(made)
    desk = Desk(made.settings)
    pilots.add_pilot(desk, actor(), made.folder / NAME)
    watcher, approver = token_of(desk, Role.MONITOR), token_of(desk, Role.APPROVER)
    port = free_port()
    ready = made.start("console", "--port", str(port))
    made.start("scheduler")
    wait_for("the console", made, ready.exists)
    url = f"http://127.0.0.1:{port}"
    serve_drifted(made.settings)
    controller = Controller(made.fake, made.repository)
    try:
        look = ("monitor", str(made.folder / NAME))
        first = made.command(*look, url=url, token=watcher)
        assert [alarm["cause"] for alarm in first["alarms"]] == ["drift"]
        assert len(first["triggers"]) == 1
        again = made.command(*look, url=url, token=watcher)
        assert again["triggers"] == [], "what was told is not told again"

        registry = Registry(made.settings)
        wait_for("version 2", made, lambda: registry.aliases(NAME).get(Alias.CHAMPION) == 2)
        check_told(made, desk)
        assert controller.said() == 2
        assert made.fake.wrong == [], "nothing but lists was asked of the cluster"

        controller.ill.add(1)
        moved = made.command("promote", NAME, "1", "--why", "to see", url=url, token=approver)
        assert moved["releasing"]
        engine = tables.connect(made.settings)
        wait_for("the end", made, lambda: requests.find(engine, NAME)[0].stage.value == "reverted")
        assert "errors beyond 1 %" in requests.find(engine, NAME)[0].reason
        assert registry.aliases(NAME)[Alias.CHAMPION] == 2
        assert registry.version(NAME, 1).tags["pilotage.decision"] == "rejected"
        wait_for("the commit", made, lambda: controller.said() == 2)
        assert controller.seen[:2] == [2, 1]
        shown = made.command("rollouts", NAME, url=url, token=watcher)
        assert [(item["version"], item["stage"]) for item in shown["releases"]] == [
            (1, "reverted"),
            (2, "done"),
        ]
    finally:
        controller.stop()


def check_told(made: Installation, desk: Desk) -> None:
    """One trigger, one run that answers it, one commit, and each told of once."""
    with tables.reading(desk.engine) as connection:
        (trigger,) = connection.execute(tables.triggers.select()).all()
        runs = connection.execute(tables.runs.select().order_by(tables.runs.c.asked_at)).all()
        actions = list(connection.scalars(tables.audit.select().with_only_columns(tables.audit.c.action)))
    assert (trigger.state, trigger.told_by) == ("done", f"{Role.MONITOR}-{NAME}")
    assert [(run.id, run.trigger) for run in runs] == [(trigger.run, trigger.id)]
    assert [actions.count(item) for item in ("releasing", "release")] == [1, 1]
    log = subprocess.run(
        ["git", "-C", str(made.repository), "log", "--format=%s", "main"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(log.stdout.splitlines()) == 1, log.stdout
