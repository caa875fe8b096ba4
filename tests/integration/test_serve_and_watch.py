"""The whole way of served traffic: a real server's windows and row log, late labels, reports, alarms."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.serving import small_models

from pilotage.core import settings, window_files, windows
from pilotage.core.artifacts import DriftReport, Estimate, Latency, Rival, Scorecard
from pilotage.core.pilots import Pilot
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import Cause
from pilotage.core.storage import Storage
from pilotage.serving.monitor import watches as monitor

HOUR = timedelta(hours=1)
ROWS = 200
USUAL, SHIFTED, NOVEL, TURNED = range(4), 4, 5, 6
"""Hours of traffic: as in training, distances longer, a new carrier, and labels turned round."""


def traffic(hour: int) -> list[dict[str, Any]]:
    """The rows of one hour, in the order of their event times."""
    rows = small_models.rows(ROWS, seed=100 + hour)
    for position, row in enumerate(rows):
        at = small_models.BEGIN + hour * HOUR + position * HOUR / ROWS
        row.update(at=at.isoformat(), flight=f"{hour}-{position}")
        if hour == SHIFTED and row["distance"] is not None:
            row["distance"] += 1500
        if hour == NOVEL and position % 5 == 0:
            row["carrier"] = "ZZ"
    return rows


def labels(hour: int) -> dict[str, Any]:
    """What came of nine in ten of an hour's rows."""
    rows = [row for position, row in enumerate(traffic(hour)) if position % 10]
    late = [value != (hour == TURNED) for value in small_models.target(rows)]
    return {"ids": [row["flight"] for row in rows], "labels": late}


def register(found: Settings) -> None:
    """A champion with the scorecard that evaluation leaves."""
    registry = Registry(found)
    run = registry.start_run(small_models.NAME, "train", {})
    estimate = Estimate(value=0.98, low=0.97, high=0.99)
    scorecard = Scorecard(
        pilot=small_models.NAME, model="0" * 64, snapshot="0" * 64, metric="roc_auc", test_rows=300,
        metrics={"roc_auc": estimate}, baseline=Rival(name="prior", metrics={}),
        latency=Latency(p50_ms=1, p90_ms=1, p99_ms=1, calls=1), gates=(), passed=True,
        created_at=small_models.BEGIN,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        folder = small_models.write(Path(scratch) / "model", small_models.predictor(), found)
        uri = registry.log_model(small_models.NAME, run, folder, {})
        registry.log_file(run, scorecard.write(Path(scratch)))
    registry.end_run(run)
    registry.promote(small_models.NAME, registry.register(small_models.NAME, run, uri, {}))


@dataclass
class World:
    """An installation whose champion is served by the command line's own server."""

    settings: Settings
    pilot: Pilot
    process: subprocess.Popen[bytes]
    client: httpx.Client

    def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        answer = self.client.post(path, json=document)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wait_until_flushed(self, rows: int, errors: int) -> None:
        """Return when the files of the running server count as much."""
        storage = Storage(self.settings.storage)
        deadline = time.monotonic() + 20
        while True:
            names = [
                name for name in storage.names("windows/flights") if name.endswith(windows.WINDOW_SUFFIX)
            ]
            held = [window_files.decode(storage.read(name)).window() for name in names]
            if (sum(part.rows for part in held), sum(part.errors for part in held)) == (rows, errors):
                return
            assert time.monotonic() < deadline, "the server does not write what it served"
            time.sleep(0.05)

    def watch(self, later: timedelta = timedelta()) -> dict[int, DriftReport]:
        """New or changed reports by hour, as the monitor finds them `later` than now."""
        found = monitor.watch(self.pilot.spec, self.settings, now=datetime.now(UTC) + later)
        return {(report.start - small_models.BEGIN) // HOUR: report for report in found}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = settings.load(home=tmp_path / "home")
    register(found)
    rare = "monitor: {window: 1h, drift: {false_alarm_rate: 0.001}}"
    pilot = small_models.pilot(tmp_path / "pilot", small_models.YAML.replace("monitor: {window: 1h}", rare))
    ready = tmp_path / "ready.json"
    command = ["-m", "pilotage.console", "serve", str(tmp_path / "pilot"), "--port", "0"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "--ready-file", str(ready)],
            env={**os.environ, "PILOTAGE_HOME": str(found.home), "PILOTAGE_FLUSH_SECONDS": "0.2"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.05)
        with httpx.Client(base_url=json.loads(ready.read_text())["url"], timeout=30) as client:
            yield World(found, pilot, process, client)
    finally:
        process.kill()
        process.wait()


def test_served_traffic_and_late_labels_raise_exactly_the_alarms_they_should(world: World) -> None:
    for hour in range(TURNED + 1):
        rows = traffic(hour)
        for begin in range(0, ROWS, 40):
            world.post("/predict", {"rows": rows[begin : begin + 40]})
    refused = world.client.post("/predict", json={"rows": [{"distance": "far"}]})
    assert refused.status_code == 422
    world.wait_until_flushed((TURNED + 1) * ROWS, errors=1)

    found = world.watch()
    assert sorted(found) == list(range(TURNED)), "the last hour is open until another begins or time passes"
    assert {report.rows for report in found.values()} == {ROWS}
    drifts = {hour: alarm.features for hour, report in found.items() for alarm in report.alarms}
    assert sorted(drifts) == [SHIFTED, NOVEL]
    assert "distance" in drifts[SHIFTED]
    assert set(drifts[SHIFTED]) <= {"distance", "score", "prediction"}
    assert drifts[NOVEL] == ("carrier",)
    assert all(report.performance is None for report in found.values())
    assert world.watch() == {}

    for hour in range(TURNED + 1):
        answer = world.post("/labels", labels(hour))
        assert (answer["stored"], answer["unknown"]) == (ROWS * 9 // 10, 0)
    world.process.send_signal(signal.SIGTERM)
    assert world.process.wait(30) == 0

    judged = world.watch(later=2 * HOUR)
    assert sorted(judged) == list(range(TURNED + 1))
    assert {hour: [alarm.cause for alarm in report.alarms] for hour, report in judged.items()} == {
        **{hour: [] for hour in USUAL},
        SHIFTED: [Cause.DRIFT],
        NOVEL: [Cause.DRIFT],
        TURNED: [Cause.PERFORMANCE],
    }
    for hour, report in judged.items():
        assert report.performance is not None
        assert report.performance.labelled == ROWS * 9 // 10
        assert report.performance.dropped == (hour == TURNED)
    assert judged[SHIFTED].alarms == found[SHIFTED].alarms
    assert sum(report.requests for report in judged.values()) == (TURNED + 1) * ROWS // 40
    assert judged[TURNED].errors == 1
    assert world.watch(later=2 * HOUR) == {}
