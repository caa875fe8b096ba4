"""A database of an earlier version keeps working: what it lacks is added, or said to be missing."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines import tables, triggers
from pilotage.pipelines.tables import connections

ADDED = ("snoozes", "outbox", "deliveries", "delivery_attempts", "disabled_endpoints")
OLD_TRIGGER = (
    "INSERT INTO triggers (id, pilot, version, alarm, cause, at, reason, state, opened_at, attempts) VALUES"
    " ('t1', 'small', 1, 'a1', 'drift', '2026-01-01 00:00:00', 'r', 'open', '2026-01-01 00:00:00', 0)"
)


@pytest.fixture
def old(installation: Settings) -> Settings:
    """A home of the version before triggers told what they wait for, with a trigger in it."""
    with tables.connect(installation).begin() as connection:
        for name in reversed(ADDED):
            connection.execute(text(f"DROP TABLE {name}"))
        for column in ("waits_for", "until"):
            connection.execute(text(f"ALTER TABLE triggers DROP COLUMN {column}"))
        connection.execute(text(OLD_TRIGGER))
    return installation


def test_a_database_of_an_earlier_version_gets_what_it_lacks(old: Settings):
    found = inspect(tables.connect(old))
    assert set(ADDED) <= set(found.get_table_names())
    (trigger,) = triggers.triggers(old, "small")
    assert (trigger.id, trigger.waits_for, trigger.until) == ("t1", None, None)
    assert connections._missing(tables.connect(old)) == []


def _connect(home: str) -> None:
    tables.connect(settings.load(home=Path(home))).dispose()


def test_processes_that_race_to_add_it_all_succeed(old: Settings):
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=_connect, args=(str(old.home),)) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0] * 4
    assert len(triggers.triggers(old)) == 1


def test_a_column_that_cannot_be_added_is_named(installation: Settings):
    with tables.connect(installation).begin() as connection:
        connection.execute(text("ALTER TABLE audit DROP COLUMN why"))
    with pytest.raises(errors.SettingsError, match=r"`audit` of .* lacks the column `why`"):
        tables.connect(installation)
