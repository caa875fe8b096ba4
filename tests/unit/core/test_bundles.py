"""A pilot's folder travels as one file: the same for the same content, bounded, and harmless to unpack."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from pilotage.core import bundles, errors
from pilotage.core.storage import Storage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "pilot"
    (found / "code").mkdir(parents=True)
    (found / "pilot.yaml").write_text("version: 1\n")
    (found / "code" / "load.py").write_text("x = 1\n")
    return found


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


def test_a_folder_arrives_as_it_was(folder: Path, storage: Storage, tmp_path: Path) -> None:
    (folder / "run.sh").write_text("true\n")
    (folder / "run.sh").chmod(0o755)
    reference = bundles.upload(storage, folder, revision="abc")
    assert bundles.is_reference(reference)
    found = bundles.fetch(storage, reference, tmp_path / "cache")
    assert (found / "code" / "load.py").read_text() == "x = 1\n"
    assert os.access(found / "run.sh", os.X_OK)
    assert (found / bundles.REVISION).read_text() == "abc\n"
    assert bundles.fetch(storage, reference, tmp_path / "cache") == found


def test_the_same_content_gives_the_same_bytes(folder: Path) -> None:
    before = bundles.pack(folder)
    os.utime(folder / "pilot.yaml", (1, 1))
    (folder / "pilot.yaml").chmod(0o600)
    assert bundles.pack(folder) == before
    (folder / "code" / "load.py").write_text("x = 2\n")
    assert bundles.pack(folder) != before


def test_what_is_no_part_of_a_pilot_stays_out(folder: Path, tmp_path: Path) -> None:
    before = bundles.pack(folder)
    for name in (
        ".git/config",
        ".pilotage/pilotage.db",
        "code/__pycache__/load.pyc",
        ".env",
        "elsewhere/pilotage.db",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("large")
    assert bundles.pack(folder, without=folder / "elsewhere") == before


def test_a_link_within_is_what_it_leads_to_and_one_that_leads_out_is_refused(
    folder: Path, storage: Storage, tmp_path: Path
) -> None:
    (folder / "again.py").symlink_to("code/load.py")
    found = bundles.fetch(storage, bundles.upload(storage, folder), tmp_path / "cache")
    assert (found / "again.py").read_text() == "x = 1\n"
    assert not (found / "again.py").is_symlink()
    (folder / "out").symlink_to("/etc/hostname")
    with pytest.raises(errors.InputError, match=r"`.*/out` is a link that leads out"):
        bundles.pack(folder)


def test_a_folder_that_is_too_large_names_its_largest_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "MOST_BYTES", 1 << 20)
    (folder / "rows.csv").write_bytes(b"x" * (2 << 20))
    with pytest.raises(errors.InputError, match=r"rows\.csv \(2 MB\).*storage"):
        bundles.pack(folder)
    monkeypatch.setattr(bundles, "MOST_BYTES", 1 << 30)
    monkeypatch.setattr(bundles, "MOST_FILES", 2)
    with pytest.raises(errors.InputError, match="3 files"):
        bundles.pack(folder)


def test_a_bundle_that_was_changed_is_not_unpacked(folder: Path, storage: Storage, tmp_path: Path) -> None:
    reference = bundles.upload(storage, folder)
    storage.write(f"bundles/{reference.partition(':')[2]}.tar", b"something else")
    with pytest.raises(errors.DataError, match="not what its name says"):
        bundles.fetch(storage, reference, tmp_path / "cache")
    with pytest.raises(errors.NotFound):
        bundles.fetch(storage, f"bundle:{'0' * 64}", tmp_path / "cache")
    with pytest.raises(errors.DataError, match="no reference"):
        bundles.fetch(storage, "bundle:../../etc", tmp_path / "cache")


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


@pytest.mark.parametrize(
    "hostile",
    [
        entry("../escaped"),
        entry("/etc/escaped"),
        entry("a/../../escaped"),
        entry("link", tarfile.SYMTYPE, "/etc"),
        entry("link", tarfile.LNKTYPE, "/etc/passwd"),
        entry("device", tarfile.CHRTYPE),
    ],
    ids=["parent", "absolute", "hidden-parent", "symlink", "hard-link", "device"],
)
def test_nothing_of_a_hostile_bundle_lands_outside(
    storage: Storage, tmp_path: Path, hostile: tarfile.TarInfo
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(hostile)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    storage.write(f"bundles/{digest}.tar", buffer.getvalue())
    with pytest.raises(errors.DataError, match="no file below its folder"):
        bundles.fetch(storage, f"bundle:{digest}", tmp_path / "cache")
    assert list(tmp_path.rglob("escaped")) == []
    assert list((tmp_path / "cache").iterdir()) == []
