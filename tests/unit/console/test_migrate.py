"""`pilotage migrate`: makes tables once, waits where it may, leaves a newer database alone."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect, text
from tests.unit.console.calls import Call

from pilotage.console.supervision import migrations
from pilotage.core import errors, settings
from pilotage.pipelines import schedulers, tables


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody but `migrate` changes tables."""
    monkeypatch.setenv("PILOTAGE_MIGRATE", "false")


def test_tables_are_made_once_and_a_check_says_whether_they_are(call: Call, empty: None) -> None:
    refused = call("migrate", "--check", "--json")
    assert refused.code == 1
    assert "has no tables yet" in refused.document["error"]["message"]
    assert "pilotage migrate" in refused.document["error"]["remedy"]
    assert call("users", "--json").document["error"]["type"] == "Unavailable"
    assert call("migrate", "--json").document == {"before": None, "revision": "0001"}
    assert call("migrate", "--json").document == {"before": "0001", "revision": "0001"}
    assert call("migrate", "--check").out == "The database is up to date: revision 0001.\n"
    assert call("users", "--json").code == 0


def test_a_check_waits_for_whoever_migrates_and_gives_up_in_time(
    empty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = settings.load()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            tables.migrate(installation)

    monkeypatch.setattr("pilotage.console.supervision.migrations.time.sleep", sleep)
    assert migrations.run(installation, check=True, wait="1m") == {"before": "0001", "revision": "0001"}
    assert len(slept) == 2


def test_a_wait_that_is_none_is_refused(call: Call) -> None:
    assert "`90s`" in call("migrate", "--wait", "soon", "--json").document["error"]["message"]
    assert call("migrate", "--wait", "soon").code == 2


def test_a_database_of_a_newer_version_is_left_alone(call: Call) -> None:
    call("migrate")
    engine = tables.open_engine(settings.load())
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = inspect(engine).get_table_names()
    for arguments in (["migrate"], ["migrate", "--check", "--wait", "1h"]):
        refused = call(*arguments, "--json")
        assert refused.code == 2
        assert "revision 9999" in refused.document["error"]["message"]
    assert inspect(engine).get_table_names() == before


@pytest.mark.databases
def test_a_scheduler_leads_nothing_once_another_version_has_migrated() -> None:
    installation = settings.load()
    engine = tables.connect(installation)
    scheduler = schedulers.Scheduler(installation)
    scheduler._renew()
    leads = [scheduler.leads]
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(errors.Unavailable, match="leads nothing"):
        scheduler._renew()
    assert [*leads, scheduler.leads] == [True, False]
    with tables.reading(engine) as connection:
        row = connection.execute(tables.leases.select()).one()
    assert row.expires_at <= tables.now()
    scheduler.resign()
