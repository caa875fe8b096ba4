"""The way into a database: a new one, one of before, one of a newer version, one that is none."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.migrations import HISTORY, History
from pilotage.pipelines.tables import revisions

SECOND = """
import os, pathlib, time
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.create_table("boats", sa.Column("name", sa.String(), primary_key=True))
    with op.batch_alter_table("users", recreate={recreate!r}) as batch:
        batch.add_column(sa.Column("berth", sa.Integer(), nullable=False, server_default="7"))
    {more}
"""
ROWS = (
    "INSERT INTO users (name, full_name, state, created_at, created_by)"
    " VALUES ('ann', '', 'active', '2026-01-01 00:00:00', 'me')",
    'INSERT INTO grants ("user", pilot, role, at, who)'
    " VALUES ('ann', '*', 'viewer', '2026-01-01 00:00:00', 'me')",
)


def second(folder: Path, more: str = "pass", recreate: str = "auto") -> History:
    """A history of one more migration than there is; SQLite makes `users` anew in it with `always`."""
    (folder / "versions").mkdir(parents=True)
    for path in HISTORY.folder.glob("0001_*.py"):
        (folder / "versions" / path.name).write_text(path.read_text())
    (folder / "versions" / "0002_boats.py").write_text(SECOND.format(more=more, recreate=recreate))
    return History(folder / "versions")


def shape(engine: Engine) -> Any:
    """The revision, whether there are boats, and the columns of users."""
    with engine.connect() as connection:
        found = inspect(connection)
        columns = [column["name"] for column in found.get_columns("users")]
        return revisions.revision_of(connection), found.has_table("boats"), "berth" in columns


@pytest.fixture
def engine(installation: Settings) -> Engine:
    """A database of the first revision, with a user and what refers to her."""
    engine = tables.connect(installation)
    with engine.begin() as connection:
        for row in ROWS:
            connection.execute(text(row))
    return engine


@pytest.mark.databases
def test_a_new_database_is_of_the_latest_revision(installation: Settings):
    engine = tables.connect(installation)
    with engine.connect() as connection:
        assert revisions.revision_of(connection) == HISTORY.head
        assert set(tables.metadata.tables) < set(inspect(connection).get_table_names())


@pytest.mark.databases
@pytest.mark.parametrize("recreate", ["auto", "always"])
def test_an_older_database_is_migrated_and_keeps_its_rows(engine: Engine, tmp_path: Path, recreate: str):
    history = second(tmp_path / "newer", recreate=recreate if engine.dialect.name == "sqlite" else "auto")
    revisions.bring_up_to_date(engine, history)
    revisions.bring_up_to_date(engine, history)
    assert shape(engine) == ("0002", True, True)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT name, berth FROM users")).all() == [("ann", 7)]
        assert connection.execute(text("SELECT count(*) FROM grants")).scalar() == 1


@pytest.mark.databases
def test_a_database_of_a_newer_version_is_refused(engine: Engine, installation: Settings, tmp_path: Path):
    revisions.bring_up_to_date(engine, second(tmp_path / "newer"))
    with pytest.raises(errors.SettingsError, match=r"is of revision 0002; .* knows none after 0001"):
        tables.connect(installation)
    assert shape(engine) == ("0002", True, True)


@pytest.mark.databases
def test_tables_without_a_revision_are_refused_and_left_alone(engine: Engine, installation: Settings):
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("DROP TABLE snoozes"))
    with pytest.raises(errors.SettingsError, match=r"`alarms` but no revision.* Move it away"):
        tables.connect(installation)
    assert not inspect(engine).has_table("snoozes")


@pytest.mark.databases
def test_a_migration_that_fails_leaves_everything_as_it_was(engine: Engine, tmp_path: Path):
    broken = second(tmp_path / "broken", more="raise RuntimeError('no luck')", recreate="auto")
    with pytest.raises(RuntimeError, match="no luck"):
        revisions.bring_up_to_date(engine, broken)
    assert shape(engine) == ("0001", False, False)


def test_a_migration_that_loses_what_rows_refer_to_is_undone(engine: Engine, tmp_path: Path):
    lossy = second(tmp_path / "lossy", more='op.execute("DELETE FROM users")')
    with pytest.raises(errors.SettingsError, match="A row of `grants` would refer to nothing in `users`"):
        revisions.bring_up_to_date(engine, lossy)
    assert shape(engine) == ("0001", False, False)


MIGRATE = """
import sys
from pathlib import Path
from pilotage.core import settings
from pilotage.pipelines import tables
from pilotage.pipelines.migrations import History
from pilotage.pipelines.tables import connections, revisions

engine = connections.open_engine(settings.load(home=Path(sys.argv[1])))
revisions.bring_up_to_date(engine, History(Path(sys.argv[2])))
"""


def migrate(installation: Settings, history: History) -> subprocess.Popen[Any]:
    arguments = [sys.executable, "-c", MIGRATE, str(installation.home), str(history.folder)]
    return subprocess.Popen(arguments)


@pytest.mark.databases
def test_processes_that_race_migrate_once(engine: Engine, installation: Settings, tmp_path: Path):
    counted = f"pathlib.Path({str(tmp_path)!r}, f'{{os.getpid()}}.ran').touch(); time.sleep(0.3)"
    history = second(tmp_path / "newer", more=counted)
    racers = [migrate(installation, history) for _ in range(3)]
    assert [racer.wait(60) for racer in racers] == [0, 0, 0]
    assert shape(engine) == ("0002", True, True)
    assert len(list(tmp_path.glob("*.ran"))) == 1


@pytest.mark.databases
@pytest.mark.usefixtures("uncovered")
def test_a_migration_that_is_killed_leaves_everything_as_it_was(engine, installation, tmp_path: Path):
    begun = tmp_path / "begun"
    stuck = second(tmp_path / "stuck", more=f"pathlib.Path({str(begun)!r}).touch(); time.sleep(60)")
    process = migrate(installation, stuck)
    deadline = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    assert shape(engine) == ("0001", False, False)
    revisions.bring_up_to_date(engine, second(tmp_path / "newer"))
    assert shape(engine) == ("0002", True, True)


def _connect(home: str) -> None:
    tables.connect(settings.load(home=Path(home))).dispose()


def test_processes_that_race_to_make_a_database_all_succeed(installation: Settings):
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=_connect, args=(str(installation.home),)) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0] * 4


def test_alembic_is_loaded_only_to_migrate(installation: Settings, tmp_path: Path):
    script = """
        import sys
        from pathlib import Path
        from pilotage.core import settings
        from pilotage.pipelines import tables
        for _ in range(2):
            tables.connect(settings.load(home=Path(sys.argv[1])))
        assert "alembic" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(installation.home)], check=True)


def test_a_process_has_one_engine_a_database_and_a_fork_its_own(installation: Settings, tmp_path: Path):
    engine = tables.connect(installation)
    assert tables.connect(installation) is engine
    assert tables.connect(settings.load(home=tmp_path / "other")) is not engine
    child = os.fork()
    if child == 0:
        os._exit(int(tables.connect(installation) is engine))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_reading_waits_for_no_writer_and_sees_one_moment(installation: Settings):
    engine = tables.connect(installation)
    with tables.reading(engine) as before, engine.begin() as writer:
        assert before.execute(text("SELECT count(*) FROM audit")).scalar() == 0
        audits.write(writer, "test", None, "me", "")
        with tables.reading(engine) as meanwhile:
            assert meanwhile.execute(text("SELECT count(*) FROM audit")).scalar() == 0
        writer.commit()
        assert before.execute(text("SELECT count(*) FROM audit")).scalar() == 0
    assert len(audits.read(engine)) == 1


@pytest.mark.databases
def test_numbers_that_json_does_not_have_are_stored_as_null(installation: Settings):
    engine = tables.connect(installation)
    values: dict[str, Any] = {"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": -0.0}}
    with engine.begin() as connection:
        audits.write(connection, "test", None, "me", "", **values)
    assert dict(audits.read(engine)[0].details) == {"a": None, "b": [1.5, None], "c": {"d": 0.0}}


def test_foreign_keys_and_wal_are_on(installation: Settings):
    with tables.connect(installation).begin() as connection:
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path):
    url = "postgresql://me:secret@127.0.0.1:1/x"
    with pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:1/x does not answer") as caught:
        tables.connect(settings.load(home=tmp_path, database_url=url))
    assert "secret" not in str(caught.value)


def test_without_the_driver_of_postgresql_the_extra_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(errors.MissingExtra, match=r'pip install "pilotage\[postgresql\]"'):
        tables.connect(settings.load(home=tmp_path, database_url="postgresql://127.0.0.1/never-asked"))


@pytest.mark.parametrize("url", ["nonsense", "nosuch://x/y"])
def test_a_database_that_cannot_be_used_is_named(url: str, tmp_path: Path):
    with pytest.raises(errors.SettingsError, match="PILOTAGE_DATABASE_URL"):
        tables.connect(settings.load(home=tmp_path, database_url=url))


def test_a_file_that_is_no_database_is_named_with_the_way_out(tmp_path: Path):
    (tmp_path / "pilotage.db").write_bytes(b"not a database, but as long as the header of one would be " * 20)
    with pytest.raises(errors.SettingsError, match=r"pilotage\.db is damaged .* move it away"):
        tables.connect(settings.load(home=tmp_path))


def test_a_home_below_a_plain_file_is_what_is_blamed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("plain")
    with pytest.raises(errors.SettingsError, match="home") as caught:
        tables.open_engine(Settings(home=tmp_path / "file" / "home"))
    assert "PILOTAGE_HOME" in (caught.value.remedy or "")
    assert "PILOTAGE_DATABASE_URL" not in str(caught.value)
