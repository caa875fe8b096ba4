"""Migrations from nothing make what the tables' definitions make, on both kinds of database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from pilotage.core import settings
from pilotage.pipelines import tables
from pilotage.pipelines.migrations import HISTORY, __main__, upgrades

REMEDY = "the tables have changed: run `python -m pilotage.pipelines.migrations` and commit what it writes"
MADE = {
    "sqlite": "SELECT type, name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
    "postgresql": "SELECT tgname, pg_get_triggerdef(t.oid), p.prosrc FROM pg_trigger t"
    " JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT tgisinternal ORDER BY tgname",
}


@pytest.fixture
def migrated(back_end: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database that only migrations made."""
    if back_end == "sqlite":
        engine = create_engine("sqlite://")
        yield engine
        engine.dispose()
        return
    server = request.getfixturevalue("postgresql")
    url = server.create(empty=True)
    engine = create_engine(url, poolclass=NullPool)
    yield engine
    server.drop(url)


def differences(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, tables.metadata))


@pytest.mark.databases
def test_migrations_make_exactly_what_is_defined(migrated: Engine):
    with migrated.begin() as connection:
        upgrades.upgrade(connection)
    assert differences(migrated) == [], REMEDY
    made = tables.connect(settings.load())
    with migrated.connect() as ours, made.connect() as theirs:
        query = text(MADE[migrated.dialect.name])
        found = ours.execute(query).all()
        assert found == theirs.execute(query).all(), REMEDY
        assert found != []


@pytest.mark.databases
def test_a_change_that_has_no_migration_is_noticed(migrated: Engine):
    with migrated.begin() as connection:
        upgrades.upgrade(connection)
        connection.execute(text("DROP TABLE snoozes"))
        connection.execute(text("DROP INDEX audit_by_time"))
        connection.execute(text("ALTER TABLE runs DROP COLUMN why"))
    assert {found[0] for found in differences(migrated)} == {"add_table", "add_index", "add_column"}


def test_the_first_migration_is_what_its_command_writes(tmp_path, monkeypatch):
    kept = (HISTORY.folder / __main__.FIRST).read_text()
    monkeypatch.setattr(__main__, "HISTORY", type(HISTORY)(tmp_path))
    assert __main__.main([]) == 0
    assert (tmp_path / __main__.FIRST).read_text() == kept, REMEDY


def test_the_next_migration_is_written_from_the_difference(tmp_path, monkeypatch):
    monkeypatch.setattr(__main__, "HISTORY", type(HISTORY)(tmp_path))
    __main__.main([])
    monkeypatch.setattr(__main__, "metadata", changed := type(tables.metadata)())
    for table in tables.metadata.sorted_tables:
        if table.name != "snoozes":
            table.to_metadata(changed)
    assert __main__.main(["no more snoozes"]) == 0
    written = (tmp_path / "0002_no_more_snoozes.py").read_text()
    assert 'op.drop_table("snoozes")' in written
    assert ('revision = "0002"' in written, 'down_revision = "0001"' in written) == (True, True)


def test_every_migration_has_a_number_of_its_own_and_none_is_left_out():
    assert HISTORY.revisions == tuple(f"{number + 1:04d}" for number in range(len(HISTORY.revisions)))
