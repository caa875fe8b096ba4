"""`pilotage backup` and `pilotage restore`: what they print, and their exit codes."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import text
from tests.unit.console.calls import Call

from pilotage.core import settings, storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits


def test_an_installation_comes_back_from_one_file(call: Call, home: Path, tmp_path: Path):
    with tables.connect(settings.load(home=home)).begin() as connection:
        audits.write(connection, "add", "small", "ann", "")
    made = call("backup", tmp_path / "b.tar", "--who", "ann", "--json")
    assert (made.code, made.document["members"], made.document["outside"]) == (0, 2, [])
    assert made.document["sha256"] == storage.file_digest(tmp_path / "b.tar")

    back = call("restore", tmp_path / "b.tar", "--home", tmp_path / "new", "--json")
    assert (back.code, back.document["already"], back.document["audit"]["verified"]) == (0, False, True)
    again = call("restore", tmp_path / "b.tar", "--home", tmp_path / "new")
    assert (again.code, "was restored here before" in again.out) == (0, True)
    head = call("audit", "verify", "--home", tmp_path / "new", "--head", made.document["head"])
    assert head.code == 0

    assert call("backup", tmp_path / "b.tar").code == 2
    assert call("restore", tmp_path / "b.tar").code == 2, "its home is not empty"
    assert call("restore", tmp_path / "none.tar", "--home", tmp_path / "none").code == 2


def test_an_audit_that_was_changed_ends_a_restore_with_3(call: Call, home: Path, tmp_path: Path):
    with tables.connect(settings.load(home=home)).begin() as connection:
        audits.write(connection, "add", "small", "ann", "")
        connection.execute(text("DROP TRIGGER audit_is_not_updated"))
        connection.execute(text("UPDATE audit SET who = 'bob'"))
    assert call("backup", tmp_path / "b.tar").code == 0
    back = call("restore", tmp_path / "b.tar", "--home", tmp_path / "new")
    assert back.code == 3
    assert "but its audit is not whole: Record 1 was changed" in back.out


def test_what_is_kept_elsewhere_is_named(call: Call, home: Path, tmp_path: Path, monkeypatch):
    tables.connect(settings.load(home=home))
    monkeypatch.setenv("PILOTAGE_STORAGE_URL", "memory://elsewhere")
    made = call("backup", tmp_path / "b.tar")
    assert "Not in it, because it is kept elsewhere: what PILOTAGE_STORAGE_URL leads to." in made.err


def test_a_folder_gets_backups_by_their_time_and_keeps_the_newest(
    call: Call, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    old = [folder / f"pilotage-2025010{day}T000000Z.tar" for day in (1, 2, 3)]
    for path in [*old, folder / "notes.tar", folder / "pilotage-latest.tar"]:
        path.write_text("old")
    tables.connect(settings.load(home=home))
    made = call("backup", folder, "--keep", "2", "--json").document
    file = Path(made["file"])
    assert re.fullmatch(r"pilotage-[0-9]{8}T[0-9]{6}Z\.tar", file.name)
    assert made["removed"] == [str(path) for path in old[:2]]
    assert set(folder.iterdir()) == {file, old[2], folder / "notes.tar", folder / "pilotage-latest.tar"}


def test_keeping_needs_a_folder(call: Call, tmp_path: Path) -> None:
    refused = call("backup", tmp_path / "one.tar", "--keep", "2", "--json")
    assert refused.code == 2
    assert "--keep 2" in refused.document["error"]["message"]
