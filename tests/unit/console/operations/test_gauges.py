"""The console's metrics: all that are named are told, as they are in the database."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from datetime import timedelta
from urllib.request import urlopen

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from tests import populations

from pilotage.console.operations import gauges
from pilotage.console.operations.desks import Desk
from pilotage.console.supervision import expositions, registers
from pilotage.console.supervision.registers import Entry
from pilotage.console.supervision.states import ServiceKind, ServiceState
from pilotage.pipelines import outbox, schedulers, tables
from pilotage.pipelines.outbox import Kind


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def filled(desk: Desk) -> Desk:
    """A desk with some of everything, and this process leading."""
    names = populations.fill(desk.engine, populations.Size())
    with desk.engine.begin() as connection:
        outbox.emit(connection, Kind.VERSION_PROMOTED, names[0], "version/1", {})
        event = outbox.emit(connection, Kind.ALARM_RAISED, names[0], "alarm/1", {})
        ago = tables.now() - timedelta(seconds=90)
        row = {
            "event": event,
            "endpoint": "chat",
            "state": "pending",
            "attempts": 2,
            "since": ago,
            "next_at": ago,
        }
        connection.execute(tables.deliveries.insert(), row)
    entry = Entry("console", ServiceKind.CONSOLE, None, ServiceState.RUNNING, None, None, 0, tables.now(), "")
    registers.write(desk.engine, [entry])
    scheduler = schedulers.Scheduler(desk.settings)
    scheduler._renew()
    return desk


@pytest.mark.databases
def test_every_metric_that_is_named_is_told_with_its_labels(filled: Desk) -> None:
    found = gauges.read(filled.engine)
    assert set(found) == set(gauges.METRICS)
    for name, samples in found.items():
        assert samples, name
        assert {len(labels) for labels, _ in samples} == {len(gauges.METRICS[name][1])}, name
    assert dict(found["pilotage_leader"])[()] == 1.0
    assert dict(found["pilotage_consoles"])[()] == 1.0
    assert dict(found["pilotage_webhook_deliveries"])[("chat", "pending")] == 1.0
    assert 90 <= dict(found["pilotage_webhook_oldest_due_seconds"])[("chat",)] < 200
    with tables.reading(filled.engine) as connection:
        runs = connection.execute(text("SELECT count(*) FROM runs")).scalar_one()
    assert sum(value for _, value in found["pilotage_runs"]) == runs


def test_the_queue_is_as_old_as_the_run_that_waits_longest(filled: Desk) -> None:
    with filled.engine.begin() as connection:
        hour = tables.now() - timedelta(hours=1)
        first = connection.execute(tables.runs.select().limit(1)).one()
        mine = tables.runs.update().where(tables.runs.c.id == first.id)
        connection.execute(mine.values(state="pending", asked_at=hour))
    assert 3600 <= dict(gauges.read(filled.engine)["pilotage_queue_oldest_seconds"])[()] < 3700


def families(port: int) -> dict[str, Metric]:
    """What Prometheus would read."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        found: Iterable[Metric] = text_string_to_metric_families(answer.read().decode())
        return {family.name: family for family in found}


def test_prometheus_reads_them_and_learns_of_a_database_that_is_gone(
    filled: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expositions, "_FRESH_SECONDS", 0.0)
    port = free_port()
    with expositions.serving(filled, "127.0.0.1", port):
        told = families(port)
        assert set(told) == {*gauges.METRICS, "pilotage_database_up"}
        assert all(family.type == "gauge" and family.documentation for family in told.values())
        with filled.engine.begin() as connection:
            connection.execute(text("DROP TABLE leases"))
        told = families(port)
        assert set(told) == {"pilotage_database_up"}
        assert told["pilotage_database_up"].samples[0].value == 0.0


def test_consoles_that_nobody_told_of_for_a_day_are_forgotten(desk: Desk) -> None:
    entry = Entry("console", ServiceKind.CONSOLE, None, ServiceState.RUNNING, None, None, 0, tables.now(), "")
    registers.write(desk.engine, [entry])
    with desk.engine.begin() as connection:
        old = {"host": "pod-of-yesterday", "seen_at": tables.now() - timedelta(days=2)}
        connection.execute(tables.services.update().values(old))
    registers.write(desk.engine, [entry])
    registers.forget(desk.engine)
    with tables.reading(desk.engine) as connection:
        assert list(
            connection.scalars(tables.services.select().with_only_columns(tables.services.c.host))
        ) == [socket.gethostname()]
    registers.remove(desk.engine, "console")
    with tables.reading(desk.engine) as connection:
        assert connection.execute(tables.services.select()).first() is None
