"""`/explain` of a real server: what it says, what it refuses, and that predictions do not notice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import psutil
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.naive_bayes import GaussianNB
from tests.unit.core.explanations import explained_models
from tests.unit.serving import small_models

from pilotage.core import features, settings
from pilotage.core.explanations.methods import Explainer
from pilotage.core.models import Predictor
from pilotage.core.registry import Registry

SCRIPT = """
import logging, sys
from pathlib import Path
from pilotage.core import pilots, settings
from pilotage.serving import limits, servers
logging.basicConfig(level=logging.INFO)
folder, url_file, idle = sys.argv[1:]
servers.run(
    pilots.load(Path(folder)),
    settings.load(),
    port=0,
    on_ready=Path(url_file).write_text,
    limits=limits.Limits(explain_rows=50, explain_pending=4, explain_idle_seconds=float(idle)),
)
"""
ROWS = small_models.rows(8, seed=9)


@dataclass
class Server:
    """A server of version 1, which is made of trees, and how to make 2, which is not, its champion."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path
    registry: Registry
    trees: Predictor

    def explain(self, rows: list[dict[str, Any]] = ROWS, **more: Any) -> httpx.Response:
        return self.client.post("/explain", json={"rows": rows, **more})

    def children(self) -> list[psutil.Process]:
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in found if any("explanations" in part for part in child.cmdline())]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Predictor]:
    home = tmp_path_factory.mktemp("template")
    found = settings.load(home=home)
    trees, _ = explained_models.fitted(HistGradientBoostingClassifier(random_state=0), 2, positive=True)
    others, _ = explained_models.fitted(GaussianNB(), 2, trees=False, positive=True)
    for made in (trees, others):
        small_models.register(found, made)
    Registry(found).promote(small_models.NAME, 1)
    return home, trees


Start = Callable[..., Server]


@pytest.fixture
def start(template: tuple[Path, Predictor], home: Path, tmp_path: Path) -> Iterator[Start]:
    started: list[Server] = []

    def begin(idle_seconds: float = 600) -> Server:
        shutil.copytree(template[0], home)
        small_models.pilot(tmp_path / "pilot")
        url_file, log = tmp_path / "url", tmp_path / "log"
        arguments = [str(tmp_path / "pilot"), str(url_file), str(idle_seconds)]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, *arguments],
                env={**os.environ, "PILOTAGE_HOME": str(home), "PILOTAGE_POLL_SECONDS": "0.1"},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: process.poll() is not None or (url_file.exists() and url_file.read_text() != ""))
        assert process.poll() is None, log.read_text()
        client = httpx.Client(base_url=url_file.read_text(), timeout=60)
        found = settings.load(home=home)
        started.append(Server(process, client, log, Registry(found), template[1]))
        return started[-1]

    yield begin
    for server in started:
        server.client.close()
        server.process.kill()
        server.process.wait()


def wait_for(claim: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_explanations_are_the_models_own_and_follow_the_champion(start: Start) -> None:
    server = start()
    answer = server.explain()
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["model"], said["version"], said["method"], said["exact"]) == ("flights", 1, "tree", True)
    assert said["ids"] == [row["flight"] for row in ROWS]
    columns = features.from_rows(small_models.FEATURES, ROWS)
    alone = Explainer(server.trees, small_models.profile(server.trees))
    told = alone.explain(columns, explained_models.BUDGET)
    contributions = np.array([[row[name] for name in explained_models.NAMES] for row in said["explanations"]])
    np.testing.assert_allclose(contributions, told.contributions)
    np.testing.assert_allclose(np.array(said["base"]) + contributions.sum(axis=1), said["values"])
    raw = server.trees.estimator.decision_function(features.to_frame(columns))
    np.testing.assert_allclose(said["values"], raw)
    predicted = server.client.post("/predict", json={"rows": ROWS}).json()
    assert predicted["predictions"] == [value > 0 for value in said["values"]]
    document = server.client.get("/openapi.json").json()
    validator = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Explanations", **document})
    validator.validate(said)
    assert server.client.post("/models/flights/explain", json={"rows": ROWS}).json() == said

    server.registry.promote(small_models.NAME, 2)
    wait_for(lambda: server.explain().json()["version"] == 2)
    second = server.explain().json()
    assert (second["method"], second["exact"], second["output"]) == ("permutation", False, "probability")
    assert second["evaluations"] <= 2000
    validator.validate(second)
    shares = server.client.post("/predict", json={"rows": ROWS}).json()["probabilities"]
    np.testing.assert_allclose(second["values"], [share[1] for share in shares], atol=1e-6)


def test_bad_requests_are_refused_without_starting_a_process(start: Start) -> None:
    server = start()
    refusals = [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"{}", "application/json", 422),
        (b'{"rows": []}', "application/json", 422),
        (b'{"rows": [{"distance": 1}]}', "application/json", 422),
        (b'{"rows": [7]}', "application/json", 422),
        (json.dumps({"rows": [ROWS[0]] * 51}).encode(), "application/json", 413),
        (b" " * (2**20 + 1), "application/json", 413),
        (b"{}", "text/csv", 415),
    ]
    for body, kind, status in refusals:
        answer = server.client.post("/explain", content=body, headers={"content-type": kind})
        assert (answer.status_code, answer.json()["status"]) == (status, status), answer.text
    assert server.client.post("/models/other/explain", json={"rows": ROWS}).status_code == 404
    late = server.client.post("/explain", json={"rows": ROWS}, headers={"x-request-timeout-ms": "0"})
    assert late.status_code == 400
    assert server.children() == []
    wrong = [ROWS[0], {**ROWS[1], "distance": "far"}]
    told = server.explain(wrong).json()
    assert (told["row"], told["feature"]) == (1, "distance")


def test_beyond_the_queue_requests_are_turned_away_at_once(start: Start) -> None:
    server = start()
    server.registry.promote(small_models.NAME, 2)
    wait_for(lambda: server.client.get("/health/ready").json()["version"] == 2)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: server.explain(ROWS), range(12)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 4
    turned = [answer for answer in answers if answer.status_code == 503]
    longest = max(answer.elapsed for answer in answers if answer.status_code == 200)
    assert all(answer.elapsed < longest for answer in turned)
    assert all(answer.headers["retry-after"] for answer in turned)


def test_a_process_that_dies_or_idles_is_replaced_and_ends_with_the_server(start: Start) -> None:
    server = start(idle_seconds=1.5)
    assert server.explain().status_code == 200
    (child,) = server.children()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    again = server.explain()
    assert again.status_code == 200, again.text + server.log.read_text()
    (second,) = server.children()
    assert second.pid != child.pid
    second.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.explain)
        time.sleep(0.3)
        second.kill()
        broken = waiting.result()
    assert (broken.status_code, broken.json()["type"]) == (503, "urn:pilotage:problem:not-explained")
    assert server.explain().status_code == 200
    (third,) = server.children()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    wait_for(lambda: not third.is_running(), 10)
    assert "Traceback" not in server.log.read_text()


def test_a_process_ends_when_its_server_is_killed(start: Start) -> None:
    server = start()
    assert server.explain().status_code == 200
    (child,) = server.children()
    server.process.kill()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 10)


@pytest.mark.usefixtures("uncovered")
def test_explaining_does_not_stall_predictions(start: Start) -> None:
    server = start()
    url = str(server.client.base_url)

    def latencies(until: Callable[[], bool]) -> list[float]:
        found = []
        with httpx.Client(base_url=url) as client:
            while not until():
                begun = time.perf_counter()
                assert client.post("/predict", json={"rows": ROWS[:1]}).status_code == 200
                found.append(time.perf_counter() - begun)
        return found

    server.client.post("/predict", json={"rows": ROWS[:1]})
    end = time.monotonic() + 2
    alone = latencies(lambda: time.monotonic() > end)
    done = threading.Event()

    def explain() -> None:
        try:
            for _ in range(3):  # the first starts the process and imports everything
                assert server.explain(ROWS * 6).status_code == 200
        finally:
            done.set()

    with ThreadPoolExecutor(1) as pool:
        explaining = pool.submit(explain)
        beside = latencies(done.is_set)
        explaining.result()
    assert len(beside) > 50
    assert statistics.median(beside) < 3 * statistics.median(alone) + 0.005
    assert float(np.quantile(beside, 0.99)) < float(np.quantile(alone, 0.99)) + 0.1
