"""Fills an installation's tables with pilots, runs, windows, alarms and decisions, as many as are wanted.

For looking at pages and for measuring them: rows are written straight into the
tables, the way the modules that own them write them.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, insert

from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, days
from pilotage.pipelines.journals.states import STEPS

FEATURES = 12
_STATES = ("succeeded",) * 8 + ("failed", "cancelled")
_BATCH = 5_000


@dataclass(frozen=True)
class Size:
    """How much there is."""

    pilots: int = 3
    runs: int = 12
    """In all."""
    windows: int = 30
    """Of each pilot, an hour each, the last one closed just now."""


def fill(engine: Engine, size: Size, now: datetime | None = None) -> list[str]:
    """Write everything; returns the pilots' names."""
    end = (now or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0)
    chance = random.Random(20)
    names = [f"pilot-{number:03d}" for number in range(size.pilots)]
    specs = {name: _spec(name) for name in names}
    with engine.begin() as connection:
        connection.execute(insert(tables.pilots), [_pilot(name, end) for name in names])
        _put(connection, tables.runs, (_run(names, number, size, end, chance) for number in range(size.runs)))
        _put(connection, tables.steps, (step for number in range(size.runs) for step in _steps(number, end)))
        for name in names:
            rows = [_window(name, number, size.windows, end, chance) for number in range(size.windows)]
            _put(connection, tables.windows, iter(rows))
            days.sum_up(connection, specs[name], [row["start"] for row in rows])
        _put(connection, tables.alarms, (_alarm(name, end) for name in names[::3]))
        _put(connection, tables.triggers, (_trigger(name, end) for name in names[::3]))
        _put(connection, tables.schedules, (_schedule(name, end) for name in names[::2]))
        _put(connection, tables.services, (_service(name, end) for name in names[::2]))
        _put(connection, tables.approvals, (_approval(name, end) for name in names[1::3]))
        for name in names[:50]:
            audits.write(
                connection, "promoted", name, "pilotage", "every gate passed", version=1, replaced=None
            )
    return names


def _put(connection: Connection, table: Any, rows: Iterator[dict[str, Any]]) -> None:
    """Insert in batches."""
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            connection.execute(insert(table), batch)
            batch = []
    if batch:
        connection.execute(insert(table), batch)


def _content(name: str) -> dict[str, Any]:
    prices = {"true_positive": 12, "false_positive": -3, "false_negative": -8, "currency": "EUR"}
    return {
        "version": 1,
        "pilot": name,
        "owner": "operations",
        "description": f"What {name} foretells, so that somebody can act in time",
        "goal": {"metric": "roc_auc", "target": 0.72, "value": prices},
        "data": {"source": "rows.csv", "target": "y"},
    }


def _spec(name: str) -> PilotSpec:
    return PilotSpec.model_validate(_content(name))


def _pilot(name: str, end: datetime) -> dict[str, Any]:
    return {
        "name": name,
        "folder": f"/pilots/{name}",
        "spec": _content(name),
        "added_at": end,
        "updated_at": end,
    }


def _run_id(number: int) -> str:
    return f"20260101-{number:06d}-abcdef"


def _run(names: list[str], number: int, size: Size, end: datetime, chance: random.Random) -> dict[str, Any]:
    state = _STATES[(number + 2) % len(_STATES)]
    asked = end - timedelta(minutes=30 * (size.runs - number))
    name = names[number % len(names)]
    error = {"type": "StepFailed", "message": f"Step `train` of `{name}` failed.", "remedy": "Read its log."}
    auc = 0.7 + chance.random() / 10
    gate = {
        "gate": "roc_auc >= 0.65",
        "passed": True,
        "value": auc,
        "limit": 0.65,
        "reason": "within the limits",
    }
    result = {
        "version": 1 + number // len(names),
        "promoted": True,
        "decision": "promoted",
        "reason": "every gate passed",
        "metrics": {"roc_auc": auc, "accuracy": 0.8},
        "gates": [gate],
    }
    return {
        "id": _run_id(number),
        "pilot": name,
        "state": state,
        "asked_at": asked,
        "asked_by": "olivia",
        "why": "the monthly retraining" if number % 3 else "",
        "parameters": {"cache": True, "overrides": {"train.params.max_iter": number} if number % 2 else {}},
        "folder": f"/pilots/{name}",
        "spec": _content(name),
        "started_at": asked + timedelta(seconds=2),
        "ended_at": asked + timedelta(seconds=60),
        "exit_code": 0 if state == "succeeded" else 1,
        "error": error if state == "failed" else None,
        "result": result if state == "succeeded" else None,
    }


def _steps(number: int, end: datetime) -> Iterator[dict[str, Any]]:
    for position, name in enumerate(STEPS):
        yield {
            "run": _run_id(number),
            "name": name,
            "position": position,
            "state": "cached" if position < number % 3 else "succeeded",
            "cached": position < number % 3,
            "attempt": 1,
            "started_at": end,
            "ended_at": end,
            "seconds": 10.0,
            "inputs": {"snapshot": "ab" * 32},
            "outputs": {"snapshot": {"digest": "cd" * 32, "rows": 1000}} if position == 0 else {},
            "metrics": {},
        }


def _window(name: str, number: int, count: int, end: datetime, chance: random.Random) -> dict[str, Any]:
    start = end - timedelta(hours=count - number)
    labelled = number < count - 3
    auc = 0.74 + 0.03 * math.sin(number / 5) + chance.gauss(0, 0.005)
    return {
        "pilot": name,
        "version": 1 + (2 * number) // count,
        "start": start,
        "end": start + timedelta(hours=1),
        "rows": chance.randint(500, 1500),
        "requests": chance.randint(100, 500),
        "errors": 0,
        "latency_p50_ms": 2.0,
        "latency_p99_ms": 9.0,
        "drifted": int(number % 24 == 23),
        "features": {f"feature_{item:02d}": {"effect": 0.02 * item} for item in range(FEATURES)},
        "score": {"effect": 0.01},
        "metric": "roc_auc",
        "estimated": auc + 0.01,
        "estimated_low": auc - 0.01,
        "estimated_high": auc + 0.03,
        "realized": auc if labelled else None,
        "realized_low": auc - 0.02 if labelled else None,
        "realized_high": auc + 0.02 if labelled else None,
        "labelled": 400 if labelled else 0,
        "currency": "EUR",
        "value": 900.0 if labelled else 0.0,
        "baseline": 650.0 if labelled else 0.0,
        "gain": 500.0 if labelled else None,
        "gain_error": 40.0 if labelled else None,
        "drift_well": number % 24 != 23,
        "performance_well": True,
        "report": f"windows/{name}/1/{start:%Y%m%dT%H%M}",
        "updated_at": end,
    }


def _alarm(name: str, end: datetime) -> dict[str, Any]:
    message = "1 column differs from what version 2 was trained on: `feature_03` (PSI 0.41, 0.35 to 0.47)."
    return {
        "pilot": name,
        "id": f"{name}-drift",
        "version": 2,
        "cause": "drift",
        "start": end - timedelta(hours=2),
        "end": end - timedelta(hours=1),
        "message": message,
        "details": {"features": ["feature_03"], "value": 0.41, "limit": 0.1},
        "raised_at": end,
        "state": "open",
    }


def _trigger(name: str, end: datetime) -> dict[str, Any]:
    return {
        "id": f"trigger-{name}",
        "pilot": name,
        "version": 2,
        "alarm": f"{name}-drift",
        "cause": "drift",
        "at": end - timedelta(hours=1),
        "reason": "`feature_03` differs from what version 2 was trained on",
        "state": "open",
        "opened_at": end,
        "attempts": 0,
    }


def _schedule(name: str, end: datetime) -> dict[str, Any]:
    return {
        "id": f"schedule-{name}",
        "pilot": name,
        "source": "person",
        "cron": "0 3 * * 1",
        "time_zone": "UTC",
        "state": "active",
        "next_at": end + timedelta(days=2),
        "missed": 0,
        "created_at": end,
        "created_by": "olivia",
    }


def _service(name: str, end: datetime) -> dict[str, Any]:
    return {
        "name": f"server/{name}",
        "host": "host",
        "kind": "server",
        "pilot": name,
        "url": "http://127.0.0.1:8080",
        "state": "running",
        "restarts": 0,
        "since": end,
        "seen_at": datetime.now(UTC),
        "detail": "",
    }


def _approval(name: str, end: datetime) -> dict[str, Any]:
    return {"pilot": name, "version": 3, "state": "pending", "run": None, "asked_at": end}


def fill_registry(installation: Settings, names: Sequence[str]) -> None:
    """Give each pilot two versions in the registry, the second the champion; MLflow makes its tables."""
    Registry(installation).start_run("none", "makes the store", {})
    file = installation.home / "mlflow.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        for position, name in enumerate(names):
            moment = int(datetime.now(UTC).timestamp() * 1000)
            connection.execute(
                "INSERT INTO registered_models (name, creation_time, last_updated_time) VALUES (?, ?, ?)",
                (name, moment, moment),
            )
            for version in (1, 2):
                place = f"file://{installation.artifacts}/models/m-{position}-{version}/artifacts"
                connection.execute(
                    "INSERT INTO model_versions (name, version, creation_time, last_updated_time,"
                    " current_stage, source, run_id, status, storage_location)"
                    " VALUES (?, ?, ?, ?, 'None', ?, ?, 'READY', ?)",
                    (name, version, moment, moment, place, "0" * 32, place),
                )
                tags = {"pilotage.run": _run_id(position), "pilotage.decision": "promoted"}
                connection.executemany(
                    "INSERT INTO model_version_tags (key, value, name, version) VALUES (?, ?, ?, ?)",
                    [(key, value, name, version) for key, value in tags.items()],
                )
            connection.executemany(
                "INSERT INTO registered_model_aliases (alias, version, name) VALUES (?, ?, ?)",
                [("champion", 2, name), ("previous", 1, name)],
            )
