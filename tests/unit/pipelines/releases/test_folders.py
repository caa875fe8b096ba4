"""A plain folder gets its file all or nothing, and no link leads out of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pilotage.core import errors
from pilotage.pipelines.releases import folders

PATH = "environments/production/flights/values.yaml"


def test_a_file_is_written_where_nothing_was_and_replaced_where_it_was(tmp_path: Path):
    root = tmp_path / "new" / "live"
    assert folders.read(root, PATH) is None
    folders.write(root, PATH, b"one\n")
    (root / PATH).with_name("overrides.yaml").write_text("# mine\n")
    folders.write(root, PATH, b"two\n")
    assert folders.read(root, PATH) == b"two\n"
    assert sorted(path.name for path in (root / PATH).parent.iterdir()) == ["overrides.yaml", "values.yaml"]


def test_a_draft_that_a_killed_process_left_is_used_up(tmp_path: Path):
    folders.write(tmp_path, PATH, b"one\n")
    draft = (tmp_path / PATH).with_name(".values.yaml.pilotage")
    draft.symlink_to(tmp_path / "outside")
    folders.write(tmp_path, PATH, b"two\n")
    assert not draft.is_symlink()
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("part", [PATH, "environments/production/flights", "environments"])
@pytest.mark.parametrize("kind", ["link", "other"])
def test_what_is_no_plain_folder_or_file_is_refused(tmp_path: Path, part: str, kind: str):
    root, outside = tmp_path / "live", tmp_path / "outside"
    outside.mkdir()
    place = root / part
    place.parent.mkdir(parents=True)
    if kind == "link":
        place.symlink_to(outside)
    elif part == PATH:
        place.mkdir()
    else:
        place.write_text("a file")
    for act in (lambda: folders.write(root, PATH, b"x"), lambda: folders.read(root, PATH)):
        with pytest.raises(errors.Conflict, match="links are not followed"):
            act()
    assert list(outside.iterdir()) == []


def test_whoever_reads_meanwhile_sees_the_old_or_the_new(tmp_path: Path):
    texts = [letter.encode() * 200_000 for letter in "ab"]
    folders.write(tmp_path, PATH, texts[0])
    seen, stop = set(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add((tmp_path / PATH).read_bytes())

    reader = threading.Thread(target=look)
    reader.start()
    writers = [threading.Thread(target=folders.write, args=(tmp_path, PATH, text)) for text in texts * 10]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()
    assert seen <= set(texts)
