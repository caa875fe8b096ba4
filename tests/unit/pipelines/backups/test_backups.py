"""A backup of either database is restored into either, whole or not at all."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, null, select, text, update

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.backups import archives, contents, creations, restorations, rows
from pilotage.pipelines.journals import audits, outbox
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State

FILES = {
    "artifacts/1/model.onnx": b"\x00\x01" * 3000,
    "artifacts/1/.hidden": b"kept",
    "snapshots/abc/part.parquet": b"rows",
    "installation.key": b"secret",
    "windows/small/1/läng är.bin": b"",
}
PASSING = (
    "cache/x", "logs/r/train.log", "locks/small.lock", ".staging/x", "mlflow.lock", "server.json",
    "services/console.json", "artifacts/1/.model.onnx.123.tmp",
)  # fmt: skip


def fill(installation: Settings, spec: PilotSpec) -> Engine:
    """An installation in which something happened."""
    for name, content in (FILES | dict.fromkeys(PASSING, b"passing")).items():
        path = installation.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (installation.home / "installation.key").chmod(0o600)
    with sqlite3.connect(installation.home / "mlflow.db") as store:
        store.execute("CREATE TABLE model_versions (name TEXT, source TEXT, size INTEGER)")
        home = installation.home
        store.executemany(
            "INSERT INTO model_versions VALUES (?, ?, ?)",
            [
                ("a", f"{home}/artifacts/1", 1),
                ("b", f"file://{home}/artifacts/1", 2),
                ("c", f"/x{home}/y", 3),
            ],
        )
    store.close()
    engine = tables.connect(installation)
    records = Records(engine)
    records.begin_run("r1", spec, Path("/pilot"), ("ingest", "train"))
    log = installation.home / "logs" / "r1" / "ingest.log"
    records.update_step(
        "r1", "ingest", state=State.SUCCEEDED, log=str(log), outputs={"a": [f"{home}/runs/r1"]}
    )
    records.end_run("r1", State.SUCCEEDED, 0, result={"metrics": {"auc": 0.1 + 0.2, "none": None}})
    records.begin_run("r2", spec, Path("/pilot"), ("ingest", "train"))
    with engine.begin() as connection:
        for number in range(5):
            audits.write(
                connection, "test", "small", "ann", f"grün {number} \N{SNOWMAN}", version=number, x=0.1
            )
            outbox.emit(
                connection, Kind.ALARM_RAISED, "small", "alarm/1", {"number": number, "home": str(home)}
            )
        connection.execute(insert(tables.users), {
            "name": "ann", "state": "active", "password": "argon2…", "created_at": tables.now(),
                "created_by": "me",
        })  # fmt: skip
        connection.execute(insert(tables.sign_in_links), {
            "digest": "d", "user": "ann", "created_at": tables.now(), "expires_at": tables.now(),
        })  # fmt: skip
    return engine


def content(engine: Engine, *without: str) -> dict[str, Any]:
    """All rows of the tables that a backup has."""
    with engine.connect() as connection:
        return {
            table.name: [
                dict(row._mapping)
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in tables.metadata.sorted_tables
            if table.name not in (*contents.LEFT_OUT, *without)
        }


def held(home: Path) -> dict[str, bytes]:
    """Files of a home that belong to a backup."""
    return {name: path.read_bytes() for name, path in contents.files(home)}


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """An empty home; its database as the test asks."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield settings.load(
            home=tmp_path / "elsewhere", database_url=f"sqlite:///{tmp_path}/elsewhere/pilotage.db"
        )
        return
    server = request.getfixturevalue("postgresql")
    url = server.create(empty=True)
    yield settings.load(home=tmp_path / "elsewhere", database_url=url)
    tables.connect(settings.load(database_url=url)).dispose()
    server.drop(url)


@pytest.fixture
def archive(installation: Settings, spec: PilotSpec, tmp_path: Path) -> Path:
    """A backup of a filled installation."""
    fill(installation, spec)
    return creations.create(installation, tmp_path / "backup.tar", "ann").file


@pytest.mark.databases
@pytest.mark.parametrize("elsewhere", ["sqlite", "postgresql"], indirect=True)
def test_what_is_restored_is_what_was_there(installation, spec, elsewhere: Settings, tmp_path: Path):
    engine = fill(installation, spec)
    made = creations.create(installation, tmp_path / "backup.tar", "ann")
    assert (made.file.stat().st_mode & 0o777, made.outside) == (0o600, ())
    done = restorations.restore(elsewhere, made.file, "bob")
    assert (done.already, done.verification.problem) == (False, None)

    before, after = content(engine), content(restored := tables.connect(elsewhere))
    assert after["audit"][:-1] == before["audit"]
    assert (after["audit"][-1]["action"], after["audit"][-1]["who"]) == ("restore", "bob")
    assert after["audit"][-1]["details"]["backup"] == made.id
    moved = json.dumps([before["steps"], before["outbox"]], default=str).replace(
        f"{installation.home}/", f"{elsewhere.home}/"
    )
    assert json.dumps([after["steps"], after["outbox"]], default=str) == moved
    same = set(before) - {"audit", "runs", "steps", "outbox"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert before["users"] != []
    assert (before["runs"][0], before["runs"][1]["id"]) == (after["runs"][0], after["runs"][1]["id"])
    with restored.connect() as connection:
        assert connection.execute(select(tables.sign_in_links)).all() == []

    assert held(elsewhere.home) == held(installation.home) == FILES
    assert (elsewhere.home / "installation.key").stat().st_mode & 0o777 == 0o600
    assert not (elsewhere.home / ".restore").exists()


@pytest.mark.databases
@pytest.mark.parametrize("elsewhere", ["sqlite", "postgresql"], indirect=True)
def test_a_restored_installation_goes_on(installation, spec: PilotSpec, elsewhere: Settings, archive: Path):
    restorations.restore(elsewhere, archive, "bob")
    engine = tables.connect(elsewhere)
    assert [run.id for run in Records(engine).bury()] == ["r2"], "its process runs, but not here"
    with engine.begin() as connection:
        outbox.emit(connection, Kind.ALARM_RAISED, "small", "alarm/2", {})
        audits.write(connection, "test", None, "me", "")
    with engine.connect() as connection:
        assert connection.scalars(select(tables.outbox.c.id)).all() == [1, 2, 3, 4, 5, 6]
    assert audits.verify(engine).problem is None
    store = sqlite3.connect(elsewhere.home / "mlflow.db")
    assert store.execute("SELECT source, size FROM model_versions ORDER BY name").fetchall() == [
        (f"{elsewhere.home}/artifacts/1", 1),
        (f"file://{elsewhere.home}/artifacts/1", 2),
        (f"/x{installation.home}/y", 3),
    ]
    store.close()


def test_null_and_the_null_of_json_stay_apart(installation: Settings, elsewhere: Settings, tmp_path: Path):
    def kinds(engine: Engine) -> list[Any]:
        with engine.connect() as connection:
            return list(connection.execute(text("SELECT id, claim IS NULL FROM triggers ORDER BY id")).all())

    engine = tables.connect(installation)
    row = {"pilot": "p", "version": 1, "cause": "drift", "at": tables.now(), "reason": "", "state": "done"}
    with engine.begin() as connection:
        for name, claim in (("a", None), ("b", null())):
            values = {**row, "id": name, "alarm": name, "opened_at": tables.now(), "claim": claim}
            connection.execute(insert(tables.triggers).values(**values))
    restorations.restore(elsewhere, creations.create(installation, tmp_path / "b.tar", "me").file, "me")
    assert kinds(tables.connect(elsewhere)) == kinds(engine) == [("a", 0), ("b", 1)]


def test_a_backup_is_of_one_moment_while_others_write(installation, spec, elsewhere, tmp_path, monkeypatch):
    engine = fill(installation, spec)
    dump = rows.dump

    def slowly(connection):
        for number, part in enumerate(dump(connection)):
            with engine.begin() as other:
                audits.write(other, "meanwhile", None, "me", str(number))
                outbox.emit(other, Kind.ALARM_RAISED, "small", "alarm/9", {"number": number})
            yield part

    monkeypatch.setattr(rows, "dump", slowly)
    made = creations.create(installation, tmp_path / "b.tar", "me")
    restorations.restore(elsewhere, made.file, "me")
    found = content(tables.connect(elsewhere))
    assert len(found["outbox"]) == 5
    assert [row["action"] for row in found["audit"]][-2:] == ["backup", "restore"]
    assert found["audit"][-1]["previous"] == made.head.digest


def test_large_tables_come_in_parts(installation, spec, elsewhere, tmp_path, monkeypatch):
    fill(installation, spec)
    monkeypatch.setattr(rows, "PART_BYTES", 300)
    made = creations.create(installation, tmp_path / "b.tar", "me")
    with tarfile.open(made.file) as tar:
        assert len([name for name in tar.getnames() if name.startswith("database/audit/")]) > 2
    assert restorations.restore(elsewhere, made.file, "me").verification.records == 7


def test_every_table_is_in_a_backup_or_left_out_for_a_reason():
    assert set(contents.LEFT_OUT) <= set(tables.metadata.tables)
    kinds = {type(column.type) for table in tables.metadata.sorted_tables for column in table.columns}
    assert not any(kind.__name__ == "LargeBinary" for kind in kinds), "which JSON lines cannot hold"


def test_no_secret_that_opens_anything_is_in_it(archive: Path):
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert (names[0], names[-1]) == ("backup.json", "manifest.json")
    assert {name.split("/")[1] for name in names if name.startswith("database/")} & set(
        contents.LEFT_OUT
    ) == set()
    assert not [name for name in names if name.removeprefix("home/") in PASSING]


@pytest.mark.parametrize("kind", ["home", "existing", "nothing"])
def test_a_backup_has_a_place_of_its_own(installation, spec, tmp_path: Path, kind: str):
    if kind == "nothing":
        with pytest.raises(errors.NotFound, match="no installation"):
            creations.create(settings.load(home=tmp_path / "none"), tmp_path / "b.tar", "me")
        return
    fill(installation, spec)
    if kind == "home":
        with pytest.raises(errors.SettingsError, match="in the home that it would be"):
            creations.create(installation, installation.home / "deep" / "b.tar", "me")
    else:
        (tmp_path / "b.tar").write_text("precious")
        with pytest.raises(errors.Conflict, match="there already"):
            creations.create(installation, tmp_path / "b.tar", "me")
        assert (tmp_path / "b.tar").read_text() == "precious"


def test_nothing_that_is_there_is_overwritten(installation: Settings, archive: Path, elsewhere: Settings):
    with pytest.raises(errors.Conflict, match=r"is not empty: it has `.staging`"):
        restorations.restore(installation, archive, "me")
    engine = tables.connect(elsewhere)
    with engine.begin() as connection:
        connection.execute(update(tables.runs).values(why="nothing"))
        audits.write(connection, "test", None, "me", "")
    with pytest.raises(errors.Conflict, match=r"database sqlite.* is not empty"):
        restorations.restore(elsewhere, archive, "me")
    assert sorted(path.name for path in elsewhere.home.iterdir()) == ["locks", "pilotage.db"]


def test_a_database_with_tables_and_no_rows_is_empty(archive: Path, elsewhere: Settings):
    tables.connect(elsewhere)
    assert restorations.restore(elsewhere, archive, "me").verification.problem is None


def test_restoring_again_changes_nothing(archive: Path, elsewhere: Settings):
    restorations.restore(elsewhere, archive, "me")
    (elsewhere.home / "artifacts" / "1" / "model.onnx").write_bytes(b"newer")
    assert restorations.restore(elsewhere, archive, "me").already
    assert (elsewhere.home / "artifacts" / "1" / "model.onnx").read_bytes() == b"newer"
    assert audits.verify(tables.connect(elsewhere)).records == 7


def test_a_backup_of_a_newer_revision_is_refused(archive: Path, elsewhere: Settings, monkeypatch):
    newer = {**archives.header(archive), "revision": "9999"}
    monkeypatch.setattr(archives, "header", lambda file: newer)
    with pytest.raises(errors.SettingsError, match=r"revision 9999; .* knows none after"):
        restorations.restore(elsewhere, archive, "me")


def test_an_audit_that_was_tampered_with_before_shows_after(installation, spec, elsewhere, tmp_path: Path):
    engine = fill(installation, spec)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_is_not_updated"))
        connection.execute(text("UPDATE audit SET who = 'nobody' WHERE id = 2"))
    made = creations.create(installation, tmp_path / "b.tar", "me")
    problem = restorations.restore(elsewhere, made.file, "me").verification.problem
    assert problem is not None
    assert problem.id == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from pilotage.core import settings
from pilotage.pipelines.backups import restorations

home, url, file, place = sys.argv[1:]

def before(module, name):
    kept = getattr(module, name)
    def die(*arguments, **named):
        if name == "write" and arguments[1] != "restore":
            return kept(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(module, name, die)

module, name = place.split(":")
before(restorations if module == "restorations" else getattr(restorations, module), name)
restorations.restore(settings.load(home=Path(home), database_url=url), Path(file), "killed")
"""


@pytest.mark.parametrize(
    "place",
    [
        "archives:_document",
        "storage:write_file",
        "restorations:_move",
        "storage:sync_folder",
        "restorations:_load",
        "rows:load",
        "audits:write",
        "shutil:rmtree",
    ],
)
@pytest.mark.usefixtures("uncovered")
def test_a_restore_that_was_killed_is_completed_by_another(place, installation, archive, elsewhere: Settings):
    arguments = [str(elsewhere.home), elsewhere.database, str(archive), place]
    ended = subprocess.run([sys.executable, "-c", KILLED, *arguments], timeout=60)
    assert ended.returncode == -signal.SIGKILL
    done = restorations.restore(elsewhere, archive, "me")
    assert done.verification.problem is None
    assert held(elsewhere.home) == FILES
    assert [row["action"] for row in content(tables.connect(elsewhere))["audit"]].count("restore") == 1
    assert not (elsewhere.home / ".restore").exists()


def test_half_of_one_backup_is_not_completed_with_another(
    installation, archive, elsewhere, monkeypatch, tmp_path
):
    other = creations.create(installation, tmp_path / "other.tar", "ann").file
    with monkeypatch.context() as patch:
        patch.setattr(restorations, "_load", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            restorations.restore(elsewhere, archive, "me")
    with pytest.raises(errors.Conflict, match="is half restored"):
        restorations.restore(elsewhere, other, "me")
    assert restorations.restore(elsewhere, archive, "me").verification.problem is None
