"""Archives: the same bytes for the same files, and whatever is changed in one is found."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.console.operations.evidence import archives
from pilotage.core import errors, settings, signatures
from pilotage.core.settings import Settings

FILES = {"b/two.txt": b"two", "a.json": b"{}", "c.bin": bytes(range(256))}
FACTS: dict[str, Any] = {"kind": "test", "missing": {}}

Change = Callable[[dict[str, bytes]], None]


def written(installation: Settings, files: dict[str, bytes] | None = None) -> bytes:
    stream = io.BytesIO()
    archives.write(stream, FILES if files is None else files, FACTS, installation)
    return stream.getvalue()


def rewritten(raw: bytes, change: Change) -> bytes:
    """An archive after somebody changed it."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.fixture
def keys(home: Path) -> tuple[Path, Path]:
    return signatures.make_keys(home / "keys")


def look(raw: bytes, installation: Settings, tmp_path: Path) -> archives.Found:
    file = tmp_path / "archive.zip"
    file.write_bytes(raw)
    return archives.look(file, installation)


def test_the_same_files_give_the_same_bytes_in_any_order(home: Path, keys: tuple[Path, Path]) -> None:
    for installation in (settings.load(home=home), settings.load(home=home, signing_key_file=keys[0])):
        backwards = dict(reversed(FILES.items()))
        assert written(installation) == written(installation, backwards)


def test_an_archive_is_whole_and_begins_with_its_manifest(home: Path, tmp_path: Path) -> None:
    installation = settings.load(home=home)
    raw = written(installation)
    found = look(raw, installation, tmp_path)
    assert (found.problems, found.files, found.signed) == ((), 3, None)
    assert found.contents == FILES
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.namelist() == [archives.MANIFEST, "a.json", "b/two.txt", "c.bin"]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def _change(parts: dict[str, bytes]) -> None:
    parts["a.json"] = b"{ }"


def _remove(parts: dict[str, bytes]) -> None:
    del parts["b/two.txt"]


def _add(parts: dict[str, bytes]) -> None:
    parts["more.txt"] = b"more"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(_change, "`a.json` was changed", id="changed"),
        pytest.param(_remove, "`b/two.txt` is missing", id="missing"),
        pytest.param(_add, "`more.txt` is not in the manifest", id="added"),
    ],
)
def test_whatever_is_changed_is_named(home: Path, tmp_path: Path, change: Change, said: str) -> None:
    installation = settings.load(home=home)
    [problem] = look(rewritten(written(installation), change), installation, tmp_path).problems
    assert said in problem


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_named(home: Path, tmp_path: Path) -> None:
    installation = settings.load(home=home)
    stream = io.BytesIO(written(installation))
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("a.json", b"another")
    problems = look(stream.getvalue(), installation, tmp_path).problems
    assert "`a.json` is there twice." in problems
    assert any("`a.json` was changed" in problem for problem in problems)


def test_a_signature_tells_a_manifest_that_was_made_to_fit(
    home: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    signing = settings.load(home=home, signing_key_file=keys[0])
    checking = settings.load(home=home, verify_key_file=keys[1])
    raw = written(signing)
    assert look(raw, checking, tmp_path).signed is True

    def forge(parts: dict[str, bytes]) -> None:
        parts["a.json"] = b"[]"
        manifest = json.loads(parts[archives.MANIFEST])
        manifest["files"]["a.json"] = {"sha256": archives.digest(b"[]"), "bytes": 2}
        parts[archives.MANIFEST] = json.dumps(manifest).encode()

    forged = look(rewritten(raw, forge), checking, tmp_path)
    assert forged.signed is False
    assert forged.problems == ("The signature of the manifest is wrong, or another key made it.",)
    assert look(rewritten(raw, forge), settings.load(home=home), tmp_path).problems == ()  # no key, no proof


def test_another_key_or_none_at_all_is_told(home: Path, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    _, other = signatures.make_keys(home / "other")
    checking = settings.load(home=home, verify_key_file=other)
    signed = written(settings.load(home=home, signing_key_file=keys[0]))
    assert look(signed, checking, tmp_path).signed is False
    unsigned = look(written(settings.load(home=home)), checking, tmp_path)
    assert (unsigned.signed, len(unsigned.problems)) == (False, 1)

    def spoil(parts: dict[str, bytes]) -> None:
        parts[archives.SIGNATURE] = b"no base64 at all!"

    assert look(rewritten(signed, spoil), checking, tmp_path).signed is False


@pytest.mark.parametrize(
    "raw", [b"", b"no zip", b"PK\x05\x06" + bytes(18)], ids=["empty", "text", "no manifest"]
)
def test_what_is_no_archive_is_an_input_error(home: Path, tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(errors.DataError, match="no export of Pilotage"):
        look(raw, settings.load(home=home), tmp_path)
    with pytest.raises(errors.NotFound):
        archives.look(tmp_path / "nothing.zip", settings.load(home=home))


@pytest.mark.parametrize("manifest", [b"[]", b"{}", b"{", b'{"files": []}'])
def test_a_manifest_that_lists_nothing_is_an_input_error(home: Path, tmp_path: Path, manifest: bytes) -> None:
    installation = settings.load(home=home)

    def spoil(parts: dict[str, bytes]) -> None:
        parts[archives.MANIFEST] = manifest

    with pytest.raises(errors.DataError):
        look(rewritten(written(installation), spoil), installation, tmp_path)
