"""Which commit made a file what it is, and what it was before: as git itself tells it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dulwich.objects import ObjectID
from tests.unit.pipelines.releases.repositories import PATH, commit, git, tree

from pilotage.core import settings
from pilotage.pipelines.releases import histories, openings
from pilotage.pipelines.releases.repositories import Sight, TooShallow

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")


@contextmanager
def seen(repository: Path) -> Iterator[Sight]:
    found = settings.load(release_to=str(repository))
    with openings.open_repository(found, openings.place_of(found), writing=False) as opened:
        yield opened.see([""], None)


def sha(text: str) -> ObjectID:
    return ObjectID(text.encode())


def last(repository: Path) -> str | None:
    with seen(repository) as sight:
        found = histories.last_change(sight, sight.heads["main"], PATH)
    return None if found is None else found.decode()


def told_by_git(repository: Path) -> str:
    return git(repository, "log", "-1", "--format=%H", "--", PATH)


def test_the_commit_that_changed_a_file_is_found_behind_others(tmp_path: Path):
    repository = tree(tmp_path / "live", {"README.md": "x\n"})
    assert last(repository) is None
    made = commit(repository, {PATH: "one\n"}, "One")
    for number in range(3):
        commit(repository, {"README.md": f"{number}\n"}, "Other")
    assert last(repository) == made == told_by_git(repository)
    with seen(repository) as sight:
        assert histories.before(sight, sight.heads["main"], PATH) == b"one\n"


def test_behind_a_merge_the_commit_is_found_and_not_the_merge(tmp_path: Path):
    repository = tree(tmp_path / "live", {PATH: "zero\n"})
    git(repository, "switch", "-q", "-c", "proposal")
    made = commit(repository, {PATH: "one\n"}, "One")
    git(repository, "switch", "-q", "main")
    commit(repository, {"README.md": "y\n"}, "Other")
    git(repository, "merge", "-q", "--no-ff", "proposal", "-m", "Merge")
    assert last(repository) == made == told_by_git(repository)


def test_a_file_that_was_removed_was_changed_by_who_removed_it(tmp_path: Path):
    repository = tree(tmp_path / "live", {PATH: "zero\n", "README.md": "x\n"})
    git(repository, "rm", "-q", PATH)
    git(repository, "commit", "-q", "-m", "Remove")
    assert last(repository) == git(repository, "rev-parse", "HEAD") == told_by_git(repository)


def test_history_that_is_cut_off_is_not_mistaken_for_the_beginning(tmp_path: Path):
    repository = tree(tmp_path / "live", {PATH: "zero\n"})
    for number in range(3):
        commit(repository, {"README.md": f"{number}\n"}, "Other")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=2", f"file://{repository}", str(shallow))
    with pytest.raises(TooShallow):
        last(shallow)


def test_what_came_before_is_an_ancestor_and_what_lies_beside_is_none(tmp_path: Path):
    repository = tree(tmp_path / "live", {PATH: "zero\n"})
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "switch", "-q", "-c", "side")
    side = commit(repository, {"a": "1"}, "Side")
    git(repository, "switch", "-q", "main")
    second = commit(repository, {"b": "1"}, "Second")
    pairs = ((first, second), (second, first), (side, second), (second, second))
    with seen(repository) as sight:
        found = [histories.is_ancestor(sight, sha(one), sha(other)) for one, other in pairs]
    assert found == [True, False, False, True]
