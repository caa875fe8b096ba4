"""What a cluster asks a console: answered under any name, with nothing that not everybody may know."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from tests.unit.console.browsers import browser

from pilotage.console.api.healths import Health
from pilotage.console.operations.desks import Desk


def migrated_to(desk: Desk, revision: str) -> None:
    """As another version would leave the database."""
    with desk.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})


def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every probe asks the database."""
    monkeypatch.setattr("pilotage.console.api.healths._FRESH_SECONDS", 0.0)


def health_of(client: Any) -> Health:
    found: Health = client.app.state.health
    return found


@pytest.mark.parametrize("url", ["http://10.1.2.3:8000", "http://127.0.0.1:8400", "http://anything.example"])
def test_probes_are_answered_under_any_name(desk: Desk, url: str) -> None:
    client = browser(desk, url=url, address="10.1.0.1")
    for path in ("/health/live", "/health/ready"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert answer.headers["cache-control"] == "no-store"
    assert client.head("/health/ready").content == b""
    assert client.get("/health/other").status_code in (404, 422)


@pytest.mark.databases
@pytest.mark.parametrize(("revision", "why"), [("9999", "another version"), ("", "another version")])
def test_it_is_ready_only_while_the_database_is_of_its_revision(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, revision: str, why: str
) -> None:
    fresh(monkeypatch)
    client = browser(desk)
    assert client.get("/health/ready").status_code == 200
    migrated_to(desk, revision)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert why in answer.json()["why"]
    assert "://" not in answer.text, "where the database is, is not for everybody"
    assert client.get("/health/live").status_code == 200
    migrated_to(desk, "0001")
    assert client.get("/health/ready").status_code == 200


def test_a_database_that_is_gone_makes_it_unready_and_no_restart(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh(monkeypatch)
    client = browser(desk)
    assert client.get("/health/ready").status_code == 200
    with desk.engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    answer = client.get("/health/ready")
    assert answer.json() == {"status": "failing", "why": "the database is not ready"}
    assert answer.status_code == 503
    assert client.get("/health/live").status_code == 200


def test_many_probes_cost_the_database_one_question(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health(desk.engine)
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        return ""

    monkeypatch.setattr(health, "_ask", ask)
    assert [health.unready() for _ in range(50)] == [""] * 50
    assert len(asked) == 1


def test_it_is_sent_nobody_while_it_stops_and_is_restarted_when_its_work_stands_still(desk: Desk) -> None:
    client = browser(desk)
    health_of(client).draining = True
    assert client.get("/health/ready").json()["why"] == "it stops"
    assert client.get("/health/live").status_code == 200
    health_of(client).works = lambda: False
    assert client.get("/health/live").status_code == 503
