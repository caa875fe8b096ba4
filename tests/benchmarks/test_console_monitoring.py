"""Pages of models and monitoring at 200 pilots and a year of hourly windows, in the time that a person waits.

1.75 million windows of twelve features, a version a week, thousands of alarms and triggers. Rows are
written straight into the database and MLflow's store, as the monitor and a year of runs would have; every
page is then asked for as a browser asks, and its median is printed and held to the goal.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert
from tests.unit.console.desks import client
from tests.unit.console.monitored import know
from tests.unit.pipelines.drift_reports import alarm, report, spec

from pilotage.console.operations.desks import Desk
from pilotage.core import settings
from pilotage.core.artifacts import Estimate, Latency, Rival, Scorecard, Verdict, Worth
from pilotage.core.windows import reports_folder
from pilotage.pipelines import tables
from pilotage.pipelines.journals import days

PILOTS, VERSIONS, FEATURES = 200, 52, 12
YEAR, QUICK = 24 * 365, 24 * 30
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ASKED = 15
MOST_SECONDS = 0.2

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The installation."""
    hours = QUICK if request.config.getoption("--quick") else YEAR
    desk = Desk(settings.load(home=tmp_path_factory.mktemp("year")))
    names = [f"pilot-{number:03d}" for number in range(PILOTS)]
    for name in names:
        know(desk, spec(name))
    _write_windows(desk, names, hours)
    _write_alarms(desk.engine, names, hours)
    _write_versions(desk, names)
    return desk


@pytest.fixture(scope="module")
def admin(desk: Desk) -> TestClient:
    """The console, asked by an admin."""
    return client(desk)


def _write_windows(desk: Desk, names: list[str], hours: int) -> None:
    """The windows and days of the first pilot, copied for the others; and each one's last report."""
    first, *others = names
    columns = [column.name for column in tables.windows.c]
    quoted, places = _quoted(columns), ", ".join("?" * len(columns))
    with closing(sqlite3.connect(desk.settings.home / "pilotage.db")) as database:
        rows = (_row(columns, first, hour, hours) for hour in range(hours))
        database.executemany(f"INSERT INTO windows ({quoted}) VALUES ({places})", rows)
        database.commit()
        with desk.engine.begin() as connection:
            days.sum_up(connection, spec(first), (START + hour * HOUR for hour in range(0, hours, 24)))
        for name in others:
            for table in (tables.windows, tables.days):
                same = _quoted([column.name for column in table.c if column.name != "pilot"])
                taken = f"SELECT ?, {same} FROM {table.name} WHERE pilot = ?"
                database.execute(f"INSERT INTO {table.name} (pilot, {same}) {taken}", (name, first))
            database.execute(
                "UPDATE windows SET report = replace(report, ?, ?) WHERE pilot = ?", (first, name, name)
            )
            database.commit()
    moment = START + (hours - 1) * HOUR
    for name in names:
        made = report(0, pilot=name).model_copy(
            update={"start": moment, "end": moment + HOUR, "version": VERSIONS}
        )
        path = desk.settings.home / reports_folder(name, VERSIONS, moment) / "drift.json"
        path.parent.mkdir(parents=True)
        path.write_text(made.model_dump_json())


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _row(columns: list[str], pilot: str, hour: int, hours: int) -> list[Any]:
    start = START + hour * HOUR
    drifted = hour % 37 == 0
    features = {
        f"feature_{place}": {"effect": 0.01 * (place + hour % 7), "importance": 0.08}
        for place in range(FEATURES)
    }
    if drifted:
        features["feature_3"] |= {"effect": 0.4, "drifted": True, "persistent": True}
    told = {
        "pilot": pilot, "version": 1 + hour * VERSIONS // hours, "start": _time(start),
        "end": _time(start + HOUR),
        "rows": 500, "requests": 480, "errors": hour % 11 == 0, "latency_p50_ms": 2.0, "latency_p99_ms": 9.0,
        "drifted": int(drifted), "features": json.dumps(features), "score": json.dumps({"effect": 0.02}),
        "metric": "roc_auc", "estimated": 0.72, "estimated_low": 0.7, "estimated_high": 0.74,
        "realized": 0.71, "realized_low": 0.69, "realized_high": 0.73, "labelled": 300, "currency": "EUR",
        "value": 900.0 + hour % 50, "baseline": 300.0, "gain": 1000.0, "gain_error": 60.0,
        "drift_well": not drifted,
        "performance_well": True, "report": reports_folder(pilot, 1 + hour * VERSIONS // hours, start),
        "updated_at": _time(start),
    }  # fmt: skip
    return [told[name] for name in columns]


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _write_alarms(engine: Engine, names: list[str], hours: int) -> None:
    alarms, triggers = [], []
    for place, name in enumerate(names):
        for number in range(40):
            raised = alarm(hours - 1 - 37 * number, pilot=name)
            at = START + (hours - 37 * number) * HOUR
            alarms.append(
                {
                    "pilot": name, "id": raised.id, "version": 1, "cause": "drift", "start": at - HOUR,
                    "end": at, "message": raised.message, "details": raised.model_dump(mode="json"),
                    "raised_at": at, "state": "open" if number == 0 and place % 4 == 0 else "closed",
                }
            )  # fmt: skip
            triggers.append(
                {
                    "id": f"{name}-{number}", "pilot": name, "version": 1, "alarm": raised.id,
                    "cause": "drift", "at": at, "reason": "drift", "state": "done",
                    "opened_at": at, "attempts": 0,
                }
            )  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(tables.alarms), alarms)
        connection.execute(insert(tables.triggers), triggers)


def _write_versions(desk: Desk, names: list[str]) -> None:
    """Versions a week in MLflow's own tables, with a scorecard each for the last ones."""
    desk.registry.client  # noqa: B018 - makes the store
    made = int(START.timestamp() * 1000)
    with closing(sqlite3.connect(desk.settings.home / "mlflow.db")) as store:
        store.execute("PRAGMA foreign_keys = OFF")
        for name in names:
            store.execute("INSERT INTO registered_models (name, creation_time) VALUES (?, ?)", (name, made))
            for version in range(1, VERSIONS + 1):
                run = f"{name}-{version:03d}-".ljust(32, "0")
                folder = desk.settings.home / "runs" / run
                store.execute(
                    "INSERT INTO model_versions"
                    " (name, version, creation_time, current_stage, source, run_id, status)"
                    " VALUES (?, ?, ?, 'None', ?, ?, 'READY')",
                    (name, version, made, str(folder), run),
                )
                tags = {"pilotage.run": run, "pilotage.decision": "promoted", "pilotage.snapshot": "0" * 64}
                store.executemany(
                    "INSERT INTO model_version_tags (name, version, key, value) VALUES (?, ?, ?, ?)",
                    [(name, version, key, value) for key, value in tags.items()],
                )
                store.execute(
                    "INSERT INTO runs"
                    " (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,"
                    " start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
                    " VALUES (?, 'r', 'LOCAL', '', '', '', 'FINISHED', 0, 0, '', 'active', ?, 0)",
                    (run, str(folder)),
                )
                (folder / "pilotage").mkdir(parents=True)
                (folder / "pilotage" / Scorecard.FILE).write_text(_card(name))
            for role, version in (("champion", VERSIONS), ("previous", VERSIONS - 1)):
                store.execute(
                    "INSERT INTO registered_model_aliases (alias, version, name) VALUES (?, ?, ?)",
                    (role, version, name),
                )
        store.commit()


def _card(pilot: str) -> str:
    names = ("roc_auc", "average_precision", "neg_log_loss", "accuracy", "f1", "precision", "recall")
    return Scorecard(
        pilot=pilot, model="0" * 64, snapshot="0" * 64, metric="roc_auc", target=0.7, test_rows=1000,
        metrics={name: Estimate(value=0.75, low=0.7, high=0.8) for name in names},
        baseline=Rival(name="baseline", metrics=dict.fromkeys(names, 0.5), guess=0),
        latency=Latency(p50_ms=1, p90_ms=1, p99_ms=1, calls=10),
        worth=Worth(currency="EUR", per_row=2.5, total=25, baseline_per_row=1.0),
        gates=tuple(
            Verdict(gate=f"gate {place}", passed=True, value=0.5, limit=0.4, reason="fine")
            for place in range(5)
        ),
        passed=True, created_at=START,
    ).model_dump_json()  # fmt: skip


PATHS = (
    "/models",
    "/models?search=pilot-1",
    "/pilots/pilot-120/models",
    "/pilots/pilot-120/models?v=52&v=40&v=30&v=20",
    "/monitoring",
    "/monitoring?search=pilot-1",
    "/pilots/pilot-120/monitoring",
    "/pilots/pilot-120/monitoring?until=2026-01-20T00:00:00Z",
    "/api/v1/live?limit=200",
    "/api/v1/monitors?limit=200",
    "/api/v1/approvals",
    "/api/v1/alarms?limit=200",
    "/api/v1/alarms?state=open&limit=200",
    "/api/v1/triggers?limit=200",
    "/api/v1/pilots/pilot-120/versions",
    "/api/v1/pilots/pilot-120/releases",
    "/api/v1/pilots/pilot-120/windows?limit=200",
    "/api/v1/pilots/pilot-120/windows?drifted=true&limit=200",
    "/api/v1/pilots/pilot-120/monitor/matrix?windows=200",
    "/api/v1/pilots/pilot-120/value",
    "/api/v1/pilots/pilot-120/value?period=day",
)


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, float]]:
    """Medians by path, printed in the end."""
    found: dict[str, float] = {}
    yield found
    for path, seconds in found.items():
        print(f"{1000 * seconds:8.1f} ms  {path}")


@pytest.mark.parametrize("path", PATHS)
def test_a_page_answers_before_one_waits(admin: TestClient, figures: dict[str, float], path: str) -> None:
    taken = []
    for _ in range(ASKED):
        begun = time.perf_counter()
        answer = admin.get(path)
        taken.append(time.perf_counter() - begun)
        assert answer.status_code == 200, answer.text[:500]
    figures[path] = statistics.median(taken)
    assert figures[path] < MOST_SECONDS
