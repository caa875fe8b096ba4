"""A scrape tells where every pilot and the platform stand, in bounded time, whatever part of it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, insert, update
from tests import populations

from pilotage.console.metrics import installations
from pilotage.console.metrics.installations import Installation
from pilotage.console.operations.desks import Desk
from pilotage.core import settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.machines import leases

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(installation: Installation) -> Samples:
    """What an independent parser reads of a scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(installation)
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def full(desk: Desk) -> Iterator[Desk]:
    """Three pilots with twelve runs and thirty windows each."""
    populations.fill(desk.engine, populations.Size())
    yield desk
    desk.engine.dispose()


@pytest.mark.databases
def test_a_scrape_tells_where_every_pilot_stands(full: Desk) -> None:
    found = scrape(Installation(full))
    assert value(found, "pilotage_database_up") == 1
    assert value(found, "pilotage_pilots") == 3
    assert value(found, "pilotage_runs_total", pilot="pilot-000", state="failed") == 1
    assert value(found, "pilotage_runs_total", pilot="pilot-000", state="died") == 0, (
        "rates need a first zero"
    )
    ended = [number for (name, _), number in found.items() if name == "pilotage_runs_total"]
    assert sum(ended) == 12
    assert value(found, "pilotage_champion_version", pilot="pilot-000") == 1
    assert value(found, "pilotage_window_version", pilot="pilot-001") == 2
    assert value(found, "pilotage_window_length_seconds", pilot="pilot-001") == 3600
    assert value(found, "pilotage_window_largest_psi", pilot="pilot-001") == pytest.approx(0.22)
    assert value(found, "pilotage_alarms", pilot="pilot-000", cause="drift", state="open") == 1
    assert value(found, "pilotage_triggers", pilot="pilot-000", state="open") == 1
    assert value(found, "pilotage_approvals_pending", pilot="pilot-001") == 1
    assert value(found, "pilotage_schedule_period_seconds", pilot="pilot-000") == 7 * 86400
    assert value(found, "pilotage_goal", pilot="pilot-000", metric="roc_auc") == 0.72
    assert value(found, "pilotage_gain_30d", pilot="pilot-000", currency="EUR") == 27 * 500
    assert value(found, "pilotage_audit_broken") == 0
    assert value(found, "pilotage_collection_failed", part="watching") == 0


@pytest.mark.databases
def test_the_newest_window_counts_and_no_other(full: Desk) -> None:
    newest = tables.windows.c.start == tables.now().replace(minute=0, second=0, microsecond=0) - timedelta(
        hours=1
    )
    with full.engine.begin() as connection:
        drifted = {f"f{number}": {"effect": number / 10, "drifted": True} for number in range(8)}
        changed = {"features": drifted, "drifted": 8, "rows": 77}
        connection.execute(update(tables.windows).where(newest), changed)
    found = scrape(Installation(full))
    assert value(found, "pilotage_window_rows", pilot="pilot-002") == 77
    features = {
        dict(labels)["feature"]: number
        for (name, labels), number in found.items()
        if name == "pilotage_window_feature_psi" and ("pilot", "pilot-002") in labels
    }
    assert features == {"f7": 0.7, "f6": 0.6, "f5": 0.5, "f4": 0.4, "f3": 0.3}, "five, the furthest"


@pytest.mark.databases
def test_a_leader_is_one_whose_lease_holds(desk: Desk) -> None:
    assert value(scrape(Installation(desk)), "pilotage_leader") == 0
    lease = leases.acquire(desk.engine, leases.LEADER, "one", 60)
    assert lease is not None
    found = scrape(Installation(desk))
    assert (value(found, "pilotage_leader"), value(found, "pilotage_leader_terms_total")) == (1, 1)
    leases.release(desk.engine, lease)
    assert value(scrape(Installation(desk)), "pilotage_leader") == 0


@pytest.mark.databases
def test_releases_on_their_way_are_told_of_by_stage(desk: Desk) -> None:
    now = tables.now()
    common = {"pilot": "p", "version": 2, "environment": "prod", "action": "promoted", "who": "w", "why": ""}
    with desk.engine.begin() as connection:
        for stage, ended in (("committed", None), ("done", now), ("superseded", now)):
            row = {
                **common,
                "id": stage,
                "stage": stage,
                "asked_at": now - timedelta(hours=1),
                "next_at": now,
            }
            connection.execute(insert(tables.transitions), {**row, "ended_at": ended})
    found = scrape(Installation(desk))
    labels = {"pilot": "p", "environment": "prod"}
    assert value(found, "pilotage_releases", **labels, stage="committed") == 1
    assert value(found, "pilotage_releases", **labels, stage="done") is None
    asked = value(found, "pilotage_release_oldest_timestamp_seconds", **labels, stage="committed")
    assert asked == pytest.approx((now - timedelta(hours=1)).timestamp())
    assert value(found, "pilotage_release_last_end_timestamp_seconds", **labels, stage="done") is not None


def test_webhooks_that_nobody_was_told_of_count_only_where_there_are_webhooks(
    desk: Desk, tmp_path: Path
) -> None:
    asked = tables.now() - timedelta(hours=1)
    event_ = {"event": "e", "type": "t", "pilot": "p", "subject": "s", "at": asked, "data": {}}
    dead = {"event": "e", "endpoint": "on-call", "state": "dead", "since": asked, "next_at": asked}
    with desk.engine.begin() as connection:
        connection.execute(insert(tables.outbox), event_)
        connection.execute(insert(tables.deliveries), {**dead, "attempts": 9})
    found = scrape(Installation(desk))
    assert value(found, "pilotage_webhook_deliveries_dead_total", endpoint="on-call") == 1
    assert value(found, "pilotage_event_oldest_timestamp_seconds") is None
    told = Desk(settings.load(home=desk.settings.home, webhooks_file=tmp_path / "hooks.yaml"))
    found = scrape(Installation(told))
    assert value(found, "pilotage_event_oldest_timestamp_seconds") == asked.timestamp()


def test_tokens_that_end_soon_are_told_of_while_they_are_used(desk: Desk) -> None:
    now = tables.now()
    user = {"name": "ci", "full_name": "", "state": "active", "created_at": now, "created_by": "a"}
    common: dict[str, Any] = {"user": "ci", "grants": [], "created_at": now, "revoked_at": None}
    tokens: list[dict[str, Any]] = [
        {"id": "soon", "used_at": now, "expires_at": now + timedelta(days=2)},
        {"id": "later", "used_at": now, "expires_at": now + timedelta(days=20)},
        {"id": "unused", "used_at": None, "expires_at": now + timedelta(days=2)},
        {"id": "over", "used_at": now, "expires_at": now - timedelta(days=2)},
    ]
    with desk.engine.begin() as connection:
        connection.execute(insert(tables.users), user)
        rows = [{**common, **token, "name": token["id"], "digest": token["id"]} for token in tokens]
        connection.execute(insert(tables.tokens), rows)
    assert value(scrape(Installation(desk)), "pilotage_tokens_expiring") == 1


def test_the_database_is_asked_once_however_many_scrape(full: Desk) -> None:
    asked: list[str] = []
    event.listen(full.engine, "before_cursor_execute", lambda *arguments: asked.append(str(arguments[2])))
    clock = Clock()
    installation = Installation(full, clock)
    threads = [threading.Thread(target=scrape, args=(installation,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    once = len(asked)
    assert 0 < once < 60
    clock.now += installations.FRESH_SECONDS
    scrape(installation)
    assert len(asked) <= 2 * once


@pytest.mark.databases
def test_more_pilots_are_no_more_questions_and_few_series(desk: Desk) -> None:
    populations.fill(desk.engine, populations.Size(pilots=30, runs=60, windows=3))
    asked: list[str] = []
    event.listen(desk.engine, "before_cursor_execute", lambda *arguments: asked.append(str(arguments[2])))
    found = scrape(Installation(desk))
    assert len(asked) < 50
    assert len([key for key in found if ("pilot", "pilot-001") in key[1]]) < 45


def test_what_cannot_be_understood_takes_nothing_else_along(full: Desk) -> None:
    with full.engine.begin() as connection:
        connection.execute(update(tables.windows), {"features": {"a": {}}})
        pilot = tables.pilots.c.name == "pilot-001"
        connection.execute(update(tables.pilots).where(pilot), {"spec": {"version": 99}})
    found = scrape(Installation(full))
    assert value(found, "pilotage_collection_failed", part="watching") == 1
    assert value(found, "pilotage_collection_failed", part="executions") == 0
    assert (value(found, "pilotage_database_up"), value(found, "pilotage_pilots")) == (1, 2)


def test_a_database_that_does_not_answer_is_a_metric(full: Desk) -> None:
    clock = Clock()
    installation = Installation(full, clock)
    assert value(scrape(installation), "pilotage_pilots") == 3

    def refuse(*_: object) -> None:
        raise full.engine.dialect.loaded_dbapi.OperationalError("gone")

    event.listen(full.engine, "do_connect", refuse)
    clock.now += installations.FRESH_SECONDS
    found = scrape(installation)
    event.remove(full.engine, "do_connect", refuse)
    assert value(found, "pilotage_database_up") == 0
    assert value(found, "pilotage_pilots") is None, "nothing old is told"
    assert len(found) < 10


def test_an_audit_that_was_changed_is_told_of(full: Desk) -> None:
    with full.engine.begin() as connection:
        audits.write(connection, "snooze", "pilot-000", "ann", "why")
        connection.exec_driver_sql("DROP TRIGGER audit_is_not_updated")
        connection.execute(update(tables.audit).where(tables.audit.c.id == 2), {"who": "bob"})
    found = scrape(Installation(full))
    assert (value(found, "pilotage_audit_broken"), value(found, "pilotage_audit_verified_records")) == (1, 1)
