"""Rollouts on a real server: what clients see while a challenger is tried, taken back or promoted."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from tests.unit.serving import small_models

from pilotage.core import features, models, pilots, rollouts, settings
from pilotage.core.artifacts import Estimate, Latency, Rival, Rollout, RolloutState, Scorecard
from pilotage.core.models import Predictor
from pilotage.core.profiles import CategoryProfile
from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage

CANARY = (
    "serve: {rollout: {strategy: canary, steps: [50], pause: 1s, min_requests: 60, bounds: {latency: null}}}"
)
SHADOW = CANARY.replace("strategy: canary, steps: [50]", "strategy: shadow")


def scorecard() -> Scorecard:
    return Scorecard(
        pilot=small_models.NAME, model="0" * 64, snapshot="0" * 64, metric="roc_auc", test_rows=300,
        metrics={"roc_auc": Estimate(value=0.98)}, baseline=Rival(name="prior", metrics={}),
        latency=Latency(p50_ms=1, p90_ms=1, p99_ms=1, calls=1), gates=(), passed=True,
        created_at=small_models.BEGIN,
    )  # fmt: skip


def register(found: Settings, made: Predictor) -> int:
    """A version with the scorecard that evaluation leaves."""
    registry = Registry(found)
    run = registry.start_run(small_models.NAME, "train", {})
    with tempfile.TemporaryDirectory() as scratch:
        folder = small_models.write(Path(scratch) / "model", small_models.predictor(), found)
        skops.io.dump(made.estimator, folder / "model.skops")
        models.sign(folder, found)
        uri = registry.log_model(small_models.NAME, run, folder, {})
        registry.log_file(run, scorecard().write(Path(scratch)))
    registry.end_run(run)
    return registry.register(small_models.NAME, run, uri, {})


def narrow() -> Predictor:
    """A model that passes its warm-up, and then fails on every carrier but the usual one."""
    made, usual = small_models.predictor(seed=2), usual_carrier()
    given = [row for row in small_models.rows(600, seed=2) if row["carrier"] == usual]
    estimator = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", SimpleImputer(), ["distance", "holiday"]),
                ("categories", OneHotEncoder(handle_unknown="error"), ["carrier"]),
            ]
        ),
        LogisticRegression(max_iter=2000),
    )
    frame = features.to_frame(features.from_rows(small_models.FEATURES, given))
    estimator.fit(frame, np.array(small_models.target(given)))
    return Predictor(estimator, made.model)


def usual_carrier() -> str:
    """That of the row which warms a version up."""
    carrier = small_models.profile(small_models.predictor()).features["carrier"]
    assert isinstance(carrier, CategoryProfile)
    return carrier.categories[0]


@dataclass
class Traffic:
    """One-row requests from several threads, and everything that came back."""

    url: str
    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    by_id: dict[str, set[int]] = field(default_factory=dict)
    answers: list[tuple[dict[str, Any], int, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, seed: int) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            for row in itertools.cycle(small_models.rows(200, seed=seed)):
                if self._stopped.wait(0.005):
                    return
                try:
                    answer = client.post("/predict", json={"rows": [row]})
                except httpx.HTTPError as error:
                    with self._lock:
                        self.failures.append(repr(error))
                    continue
                with self._lock:
                    self.statuses[answer.status_code] += 1
                    if answer.status_code != 200:
                        self.failures.append(answer.text)
                        continue
                    document = answer.json()
                    self.versions[document["version"]] += 1
                    self.by_id.setdefault(row["flight"], set()).add(document["version"])
                    self.answers.append((row, document["version"], document["predictions"][0]))

    @contextmanager
    def flowing(self, clients: int = 3) -> Iterator[None]:
        threads = [threading.Thread(target=self.run, args=(seed,)) for seed in range(10, 10 + clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()


@dataclass
class World:
    """An installation with a champion that the command line's own server serves."""

    settings: Settings
    folder: Path
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def roll_out(self, made: Predictor) -> int:
        """Begin the rollout of a new version, as registration does."""
        version = register(self.settings, made)
        registry = Registry(self.settings)
        registry.challenge(small_models.NAME, version)
        spec = pilots.load(self.folder).spec
        rollouts.begin(Storage(self.settings.storage), spec, 1, version, datetime.now(UTC))
        return version

    def rollout(self, version: int) -> Rollout:
        found = rollouts.read(Storage(self.settings.storage), small_models.NAME, version)
        assert found is not None
        return found

    def wait(self, what: Callable[[], bool], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)


@contextmanager
def world(tmp_path: Path, rollout: str) -> Iterator[World]:
    found = settings.load(home=tmp_path / "home")
    Registry(found).promote(small_models.NAME, register(found, small_models.predictor()))
    folder = tmp_path / "pilot"
    small_models.pilot(folder, small_models.YAML + rollout)
    ready, log = tmp_path / "ready.json", tmp_path / "log"
    command = ["-m", "pilotage.console", "serve", str(folder), "--port", "0"]
    quick = {"PILOTAGE_FLUSH_SECONDS": "0.2", "PILOTAGE_POLL_SECONDS": "0.1"}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *command, "--ready-file", str(ready)],
            env={**os.environ, "PILOTAGE_HOME": str(found.home), **quick},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        here = World(found, folder, json.loads(ready.read_text())["url"], process, log)
        here.wait(lambda: httpx.get(f"{here.url}/health/ready").status_code == 200)
        yield here
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_challenger_that_fails_is_taken_back_and_no_client_notices(tmp_path: Path) -> None:
    with world(tmp_path, CANARY) as here:
        traffic = Traffic(here.url)
        with traffic.flowing():
            version = here.roll_out(narrow())
            here.wait(lambda: not here.rollout(version).running)
            here.wait(lambda: here.rollout(version).ended_at is not None)
            before = sum(traffic.versions.values())
            here.wait(lambda: sum(traffic.versions.values()) > before + 50)
        assert traffic.failures == []
        halted = here.rollout(version)
        assert halted.state is RolloutState.HALTED
        assert "requests failed on it" in halted.reason
        registry = Registry(here.settings)
        assert registry.aliases(small_models.NAME) == {Alias.CHAMPION: 1}
        tags = registry.version(small_models.NAME, version).tags
        assert tags[rollouts.TAG] == f"halted: {halted.reason}"


@pytest.mark.slow
def test_a_good_challenger_becomes_champion_and_ids_stay_with_their_version(tmp_path: Path) -> None:
    with world(tmp_path, CANARY) as here:
        traffic = Traffic(here.url)
        with traffic.flowing():
            version = here.roll_out(small_models.predictor(seed=0))
            here.wait(lambda: here.rollout(version).ended_at is not None)
            here.wait(lambda: traffic.answers[-1][1] == version)
        assert traffic.failures == []
        done = here.rollout(version)
        assert (done.state, done.reason) == (RolloutState.COMPLETED, "within all bounds in every step")
        assert Registry(here.settings).aliases(small_models.NAME) == {
            Alias.CHAMPION: version,
            Alias.PREVIOUS: 1,
        }
        assert min(traffic.versions[1], traffic.versions[version]) > 60
        # an id goes from the champion to the challenger when the rollout begins or ends, never back
        order: dict[str, list[int]] = {}
        for row, answered, _ in traffic.answers:
            order.setdefault(row["flight"], []).append(answered)
        assert all(seen == sorted(seen) for seen in order.values())


@pytest.mark.slow
def test_copies_never_change_an_answer_and_are_compared(tmp_path: Path) -> None:
    with world(tmp_path, SHADOW) as here:
        traffic = Traffic(here.url)
        with traffic.flowing():
            version = here.roll_out(small_models.predictor(seed=0))
            here.wait(lambda: here.rollout(version).state is RolloutState.COMPLETED)
        assert traffic.failures == []
        done = here.rollout(version)
        assert done.measured is not None
        assert done.measured.copied >= 60
        assert done.measured.agreement == 1.0
        storage = Storage(here.settings.storage)
        assert [name for name in storage.names(f"shadows/windows/flights/{version}") if "window-" in name]
        champion = small_models.predictor()
        for row, answered, said in traffic.answers:
            if answered == 1:
                columns = features.from_rows(small_models.FEATURES, [row])
                assert champion.predict(columns).predictions.tolist() == [said]


@pytest.mark.slow
def test_a_hundred_swaps_under_load_fail_no_request_and_leak_nothing(tmp_path: Path) -> None:
    with world(tmp_path, "serve: {p99_ms: 10000}\n") as here:
        other = register(here.settings, small_models.predictor(seed=2))
        registry, traffic, held = Registry(here.settings), Traffic(here.url), []
        with traffic.flowing(clients=2):
            for swap in range(100):
                version = (other, 1)[swap % 2]
                registry.promote(small_models.NAME, version)
                here.wait(lambda version=version: serves(here, version))  # type: ignore[misc]
                held.append(taken(here.process.pid))
        assert traffic.failures == []
        assert min(traffic.versions[1], traffic.versions[other]) > 20
        early, late = held[20], held[-1]
        assert late.megabytes < early.megabytes + 40, [found.megabytes for found in held]
        assert late.threads <= early.threads + 2
        assert late.files <= early.files + 10


def serves(here: World, version: int) -> bool:
    document = httpx.get(f"{here.url}/health/ready").json()
    return bool(document["version"] == version)


@dataclass(frozen=True)
class Taken:
    """What a process holds."""

    megabytes: int
    threads: int
    files: int


def taken(pid: int) -> Taken:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Taken(int(status["VmRSS"].split()[0]) // 1024, int(status["Threads"]), files)
