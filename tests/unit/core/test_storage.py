"""A reader of the storage never sees half of anything, on disk or in an object store."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from pilotage.core import errors, storage


@pytest.fixture(params=["disk", "object store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> storage.Storage:
    return storage.Storage(
        str(tmp_path / "disk") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"
    )


def filled(folder: Path, text: str = "x") -> Path:
    (folder / "part").mkdir()
    (folder / "part" / "data.parquet").write_text(text)
    (folder / storage.COMPLETE).write_text("{}")
    return folder


def test_a_file_reads_back_and_is_listed(place: storage.Storage) -> None:
    place.write("windows/a/1/x.json", b"1")
    place.write("windows/a/1/x.json", b"2")
    assert place.read("windows/a/1/x.json") == b"2"
    assert place.names("windows/a") == ["windows/a/1/x.json"]
    assert place.names("windows/b") == []
    place.delete("windows/a")
    place.delete("windows/a")
    assert not place.exists("windows/a/1/x.json")


def test_a_missing_file_is_an_error_with_its_place(place: storage.Storage) -> None:
    with pytest.raises(errors.NotFound, match="nowhere"):
        place.read("nowhere/x")


def test_many_files_are_read_in_the_order_that_they_are_asked_for(
    place: storage.Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "READ_AT_ONCE", 3)
    names = [f"windows/a/{number}" for number in range(8)]
    for name in names:
        place.write(name, name.encode())
    asked = [*reversed(names), "windows/a/gone", names[0], names[0]]
    wanted = [None if name.endswith("gone") else name.encode() for name in asked]
    assert list(place.read_all(asked)) == wanted
    assert list(place.read_all([])) == []


def test_a_large_file_is_put_and_read_piece_by_piece(place: storage.Storage, tmp_path: Path) -> None:
    made = tmp_path / "made.bin"
    made.write_bytes(bytes(range(256)) * 10_000)
    place.write("studies/one/file", b"old")
    place.put("studies/one/file", made)
    with place.open("studies/one/file") as stream:
        stream.seek(-2, 2)
        assert stream.read() == b"\xfe\xff"
        stream.seek(0)
        assert stream.read(3) == b"\x00\x01\x02"
    assert place.names("studies") == ["studies/one/file"], "no draft is left"
    with pytest.raises(errors.NotFound, match="studies/none"):
        place.open("studies/none")


def test_a_stamp_changes_with_its_file_and_no_other(place: storage.Storage) -> None:
    place.write("windows/a/1/x", b"1")
    place.write("windows/a/2/y", b"1")
    before = place.stamps("windows")
    assert list(before) == ["windows/a/1/x", "windows/a/2/y"]
    assert place.stamps("windows") == before
    place.write("windows/a/2/y", b"22")
    after = place.stamps("windows")
    assert [name for name in after if after[name] != before[name]] == ["windows/a/2/y"]
    assert place.stamps("nowhere") == {}


def test_drafts_have_no_stamp(tmp_path: Path) -> None:
    (tmp_path / ".x.tmp").write_bytes(b"1")
    assert storage.Storage(str(tmp_path)).stamps("") == {}


def test_a_published_folder_is_there_as_a_whole(place: storage.Storage, tmp_path: Path) -> None:
    with place.staging() as folder:
        place.publish(filled(folder), "snapshots/1")
    assert place.published("snapshots/1")
    fetched = place.fetch("snapshots/1", tmp_path / "cache")
    assert (fetched / "part" / "data.parquet").read_text() == "x"


def test_publishing_again_keeps_what_is_there(place: storage.Storage, tmp_path: Path) -> None:
    for text in ("x", "y"):
        with place.staging() as folder:
            place.publish(filled(folder, text), "snapshots/1")
    assert (place.fetch("snapshots/1", tmp_path) / "part" / "data.parquet").read_text() == "x"


def test_what_a_deletion_that_was_cut_short_left_is_replaced(place: storage.Storage, tmp_path: Path) -> None:
    with place.staging() as folder:
        place.publish(filled(folder), "snapshots/1")
    place.delete(f"snapshots/1/{storage.COMPLETE}")
    with place.staging() as folder:
        place.publish(filled(folder, "y"), "snapshots/1")
    assert (place.fetch("snapshots/1", tmp_path) / "part" / "data.parquet").read_text() == "y"
    assert len(place.names("")) == 2, "the file and its marker, and nothing beside them"


def test_an_unpublished_folder_is_not_fetched(place: storage.Storage, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound):
        place.fetch("snapshots/2", tmp_path)


def test_staging_leaves_nothing_behind_on_failure(tmp_path: Path) -> None:
    place = storage.Storage(str(tmp_path))
    with contextlib.suppress(RuntimeError), place.staging() as folder:
        filled(folder)
        raise RuntimeError
    assert place.names("") == []


def test_an_unknown_kind_of_storage_is_a_wrong_setting() -> None:
    with pytest.raises(errors.SettingsError, match="PILOTAGE_STORAGE_URL"):
        storage.Storage("nosuch://x")


def test_a_killed_writer_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    storage.write_file(path, b"old")
    code = (
        "import os, pathlib, sys; from pilotage.core import storage\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), 9)\n"
        "storage.write_file(pathlib.Path(sys.argv[1]), b'new' * 10)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -9
    assert path.read_bytes() == b"old"
    assert storage.Storage(str(tmp_path)).names("") == ["x.json"]


def test_a_failed_write_removes_its_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        storage.write_file(tmp_path / "x", b"1")
    assert list(tmp_path.iterdir()) == []
