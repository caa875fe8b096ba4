"""An archive that is damaged, or that somebody hostile made, changes nothing and leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.backups import archives, creations, restorations
from pilotage.pipelines.journals import audits
from pilotage.pipelines.migrations import HISTORY

HEADER = {
    "format": 1, "backup": "b1", "created_at": "2026-01-01T00:00:00+00:00", "version": "0",
    "revision": HISTORY.head, "home": "/old", "head": "0:" + "0" * 64, "outside": [],
}  # fmt: skip
Member = tuple[str, bytes | Callable[[tarfile.TarInfo], None]]


def build(file: Path, *members: Member, header: Any = HEADER, digests: dict[str, Any] | None = None) -> Path:
    """An archive with right digests, unless given."""
    listed = {}
    with tarfile.open(file, "w") as tar:
        for name, given in (("backup.json", json.dumps(header).encode()), *members):
            member = tarfile.TarInfo(name)
            content = given if isinstance(given, bytes) else b""
            member.size = len(content)
            if not isinstance(given, bytes):
                given(member)
            tar.addfile(member, io.BytesIO(content) if content or member.isreg() else None)
            listed[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        manifest = json.dumps({"members": listed if digests is None else digests}).encode()
        member = tarfile.TarInfo("manifest.json")
        member.size = len(manifest)
        tar.addfile(member, io.BytesIO(manifest))
    return file


def a(kind: bytes, target: str = "") -> Callable[[tarfile.TarInfo], None]:
    """A member of another type than a file."""

    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, target

    return change


@pytest.fixture
def target(tmp_path: Path) -> Settings:
    return settings.load(home=tmp_path / "target")


def left(target: Settings) -> list[str]:
    return sorted(path.name for path in target.home.rglob("*") if path.name != "restore.lock")


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(("home/../../evil", b"x"), id="parent"),
        pytest.param(("/etc/evil", b"x"), id="absolute"),
        pytest.param(("home//evil", b"x"), id="empty-part"),
        pytest.param(("home/./evil", b"x"), id="dot"),
        pytest.param(("home/a\\..\\evil", b"x"), id="backslash"),
        pytest.param(("home/a\nb", b"x"), id="newline"),
        pytest.param(("home/" + "a/" * 60 + "b", b"x"), id="deep"),
        pytest.param(("home/" + "a" * 1200, b"x"), id="long"),
        pytest.param(("home/a", a(tarfile.SYMTYPE, "/etc/passwd")), id="symbolic-link"),
        pytest.param(("home/a", a(tarfile.LNKTYPE, "backup.json")), id="hard-link"),
        pytest.param(("home/a", a(tarfile.CHRTYPE)), id="device"),
        pytest.param(("home/a", a(tarfile.FIFOTYPE)), id="pipe"),
        pytest.param(("home/a", a(tarfile.DIRTYPE)), id="folder"),
        pytest.param(("home/a", a(tarfile.CONTTYPE)), id="contiguous"),
        pytest.param(("home/.restore/checked.json", b"{}"), id="staging"),
        pytest.param(("home/pilotage.db", b"x"), id="database"),
        pytest.param(("home/mlflow.db", b"x"), id="store"),
        pytest.param(("home/locks/a.lock", b"x"), id="locks"),
        pytest.param(("home", b"x"), id="the-home"),
        pytest.param(("elsewhere/a", b"x"), id="another-folder"),
        pytest.param(("database/alembic_version/1.jsonl", b"{}"), id="another-table"),
        pytest.param(("database/web_sessions/1.jsonl", b"{}"), id="a-table-left-out"),
        pytest.param(("database/audit", b"{}"), id="no-part"),
    ],
)
def test_a_member_that_no_backup_has_is_refused(tmp_path: Path, target: Settings, member: Member):
    file = build(tmp_path / "evil.tar", ("home/good", b"good"), member)
    with pytest.raises(errors.DataError, match="is no backup of Pilotage, or is damaged"):
        restorations.restore(target, file, "me")
    assert left(target) == ["locks"]
    assert not (tmp_path / "evil").exists()


def test_a_member_that_comes_twice_is_refused(tmp_path: Path, target: Settings):
    file = build(tmp_path / "evil.tar", ("home/a", b"one"), ("home/a", b"two"))
    with pytest.raises(errors.DataError, match="`home/a` has no place"):
        restorations.restore(target, file, "me")


@pytest.mark.parametrize("second", ["home/a/b", "home/a"])
def test_a_file_is_no_folder(tmp_path: Path, target: Settings, second: str):
    file = build(
        tmp_path / "evil.tar", ("home/a" if second != "home/a" else "home/a/b", b"one"), (second, b"two")
    )
    with pytest.raises((errors.DataError, errors.Unavailable)):
        restorations.restore(target, file, "me")
    assert left(target) == ["locks"]


@pytest.mark.parametrize(
    "digests",
    [
        {},
        [],
        None,
        "x",
        {"home/a": {"bytes": 3, "sha256": "0" * 64}},
    ],
    ids=["none", "list", "null", "text", "other"],
)
def test_what_is_not_as_its_digest_says_is_refused(tmp_path: Path, target: Settings, digests: Any):
    file = build(tmp_path / "b.tar", ("home/a", b"abc"), digests={} if digests is None else digests)
    with pytest.raises(errors.DataError, match="damaged"):
        restorations.restore(target, file, "me")
    assert left(target) == ["locks"]


def test_any_byte_that_changed_is_noticed(tmp_path: Path, installation: Settings):
    installation.home.mkdir()
    (installation.home / "model.bin").write_bytes(os.urandom(700))
    with tables.connect(installation).begin() as connection:
        audits.write(connection, "test", None, "me", "why")
    good = creations.create(installation, tmp_path / "b.tar", "me").file.read_bytes()
    file = tmp_path / "bad.tar"
    with tarfile.open(tmp_path / "b.tar") as tar:
        used = [
            place for member in tar for place in range(member.offset_data, member.offset_data + member.size)
        ]
    for place in used[:: len(used) // 40]:
        file.write_bytes(good[:place] + bytes([good[place] ^ 0x01]) + good[place + 1 :])
        target = settings.load(home=tmp_path / f"target-{place}")
        with pytest.raises((errors.DataError, errors.SettingsError)):
            restorations.restore(target, file, "me")
        assert not (target.home / "model.bin").exists()


def test_an_archive_that_was_cut_off_is_noticed_wherever(tmp_path: Path, target: Settings):
    whole = build(tmp_path / "b.tar", ("home/a", b"abc" * 500), ("home/b", b"x")).read_bytes()
    used = len(whole.rstrip(b"\0"))
    for length in range(0, used, 300):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(errors.DataError, match="damaged"):
            restorations.restore(target, tmp_path / "cut.tar", "me")
    assert left(target) == ["locks"]


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ({**HEADER, "format": 2}, errors.DataError),
        ({**HEADER, "head": 5}, errors.DataError),
        ({"format": 1}, errors.DataError),
        ([], errors.DataError),
        ({**HEADER, "revision": "9999"}, errors.SettingsError),
    ],
)
def test_a_header_that_is_not_understood_is_refused(tmp_path: Path, target: Settings, header: Any, kind: Any):
    with pytest.raises(kind):
        restorations.restore(target, build(tmp_path / "b.tar", header=header), "me")


@pytest.mark.parametrize(
    "content", [b"", b"x" * 5000, b"\x1f\x8b" + b"\0" * 600, b"PK\x03\x04" + b"\0" * 600]
)
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, target: Settings, content: bytes):
    (tmp_path / "b.tar").write_bytes(content)
    with pytest.raises(errors.DataError, match="is no backup of Pilotage"):
        restorations.restore(target, tmp_path / "b.tar", "me")
    with pytest.raises(errors.NotFound):
        restorations.restore(target, tmp_path / "none.tar", "me")
    with pytest.raises(errors.DataError, match="it is a folder"):
        restorations.restore(target, tmp_path, "me")


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"nothing": 1}',
        b'{"id": 1, "at": "yesterday"}',
        b'{"id": 1, "at": 5}',
        b'{"id": {"a": 1}}',
        b'{"id": 1}',
        b"[" * 100_000,
    ],
)
def test_rows_that_fit_no_table_leave_the_database_as_it_was(tmp_path: Path, target: Settings, line: bytes):
    file = build(tmp_path / "b.tar", ("database/audit/1.jsonl", line + b"\n"))
    with pytest.raises(errors.DataError, match=r"does not fit the table `audit`"):
        restorations.restore(target, file, "me")
    assert audits.read(tables.connect(target)) == []


def test_permissions_that_no_file_needs_are_not_given(tmp_path: Path, target: Settings):
    def wide(member: tarfile.TarInfo) -> None:
        member.mode = 0o7777

    restorations.restore(target, build(tmp_path / "b.tar", ("home/a", wide)), "me")
    assert (target.home / "a").stat().st_mode & 0o7022 == 0


def test_a_name_that_could_not_be_restored_is_not_backed_up(installation: Settings, tmp_path: Path):
    installation.home.mkdir()
    (installation.home / "a\nb").write_text("x")
    with pytest.raises(errors.DataError, match="cannot hold a file of the name"):
        creations.create(installation, tmp_path / "b.tar", "me")
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".tar", ".tmp")]


def test_links_in_the_home_lead_nowhere_but_at_its_top(installation: Settings, tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "model").write_text("moved to another disk")
    (tmp_path / "secret").write_text("of somebody")
    (installation.home / "runs").mkdir(parents=True)
    (installation.home / "artifacts").symlink_to(tmp_path / "disk")
    (installation.home / "runs" / "link").symlink_to(tmp_path / "secret")
    (installation.home / "link").symlink_to(tmp_path / "secret")
    made = creations.create(installation, tmp_path / "b.tar", "me")
    with tarfile.open(made.file) as tar:
        assert [name for name in tar.getnames() if name.startswith("home/")] == ["home/artifacts/model"]


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"x" * 100)

    class Shrunk:
        st_size, st_mode = 200, 0o100600

    with pytest.MonkeyPatch.context() as patch, archives.create(tmp_path / "b.tar") as archive:
        patch.setattr(os, "fstat", lambda handle: Shrunk)
        with pytest.raises(errors.Unavailable, match="became shorter"):
            archive.add_file("home/a", tmp_path / "a")
