"""Repositories on this machine: nobody else's files change, whoever works there and whenever we die."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.pipelines.releases.repositories import PATH, bare, check, commit, git, log, show, tree, write

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines.releases import disks

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
OTHERS = {
    "README.md": "# Live\r\n\tnot ours  \n",
    "environments/production/values.yaml": "# of all\ntracking: {uri: http://mlflow:5000}\n",
    "environments/production/flights/overrides.yaml": "# mine\nprometheus: {enabled: true}   # yes\n",
    "environments/production/other/values.yaml": "pilot: other\n",
    "environments/staging/flights/values.yaml": "pilot: flights\n",
}


def to(repository: Path, **more: object) -> Settings:
    return settings.load(release_to=str(repository), **more)


@pytest.mark.parametrize("make", [bare, tree], ids=["bare", "tree"])
def test_one_file_changes_and_the_rest_stays_byte_for_byte(tmp_path: Path, make: Callable[..., Path]):
    repository = make(tmp_path / "live", OTHERS)
    before = {name: show(repository, name) for name in OTHERS}
    made = write(to(repository), "one\n")
    assert made.changed
    assert git(repository, "rev-parse", "main") == made.commit
    assert git(repository, "diff", "--name-only", "main~1", "main") == PATH
    assert show(repository) == "one\n"
    assert {name: show(repository, name) for name in OTHERS} == before
    check(repository)


def test_the_same_again_is_the_same_commit(tmp_path: Path):
    repository = bare(tmp_path / "live", OTHERS)
    first = write(to(repository), "one\n")
    commit_elsewhere = bare(tmp_path / "elsewhere", OTHERS)
    second = write(to(repository), "one\n")
    assert (second.commit, second.changed) == (first.commit, False)
    assert log(repository) == ["Begin", "Write one"]
    assert log(commit_elsewhere) == ["Begin"]


def test_an_empty_repository_gets_its_first_commit(tmp_path: Path):
    repository = tmp_path / "live"
    repository.mkdir()
    git(repository, "init", "-q", "--bare")
    assert write(to(repository), "one\n").branch == "main"
    assert log(repository) == ["Write one"]


def test_a_working_tree_shows_what_was_committed_and_keeps_what_people_work_on(tmp_path: Path):
    repository = tree(tmp_path / "live", OTHERS)
    (repository / "README.md").write_text("changed, not staged\n")
    (repository / "staged.txt").write_text("staged\n")
    (repository / "environments/production/flights/notes").write_text("mine\n")
    git(repository, "add", "staged.txt")
    write(to(repository), "one\n")
    assert (repository / PATH).read_text() == "one\n"
    status = git(repository, "status", "--porcelain").splitlines()
    assert status == [" M README.md", "A  staged.txt", "?? environments/production/flights/notes"]
    git(repository, "commit", "-q", "-m", "Theirs")
    assert git(repository, "show", "--name-only", "--format=", "HEAD") == "staged.txt"
    check(repository)


def test_another_branch_leaves_the_working_tree_alone(tmp_path: Path):
    repository = tree(tmp_path / "live", OTHERS)
    git(repository, "branch", "live")
    write(to(repository, release_branch="live"), "one\n")
    assert show(repository, branch="live") == "one\n"
    assert not (repository / PATH).exists()
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize("stage", [False, True], ids=["changed", "staged"])
def test_work_on_the_file_itself_is_not_overwritten(tmp_path: Path, stage: bool):
    repository = tree(tmp_path / "live", {**OTHERS, PATH: "zero\n"})
    (repository / PATH).write_text("half done\n")
    if stage:
        git(repository, "add", "-A")
        (repository / PATH).write_text("zero\n")
    with pytest.raises(errors.Conflict, match="nobody committed"):
        write(to(repository), "one\n")
    assert log(repository) == ["Begin"]
    check(repository)


@pytest.mark.parametrize("part", [PATH, "environments/production/flights", "environments"])
def test_a_link_in_a_repository_is_never_followed(tmp_path: Path, part: str):
    outside = tmp_path / "outside"
    (outside / "production" / "flights").mkdir(parents=True)
    repository = tree(tmp_path / "live", {"README.md": "x\n"})
    place = repository / part
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside)
    commit(repository, {}, "Link")
    with pytest.raises(errors.Conflict, match="links are not followed"):
        write(to(repository), "one\n")
    assert [path for path in outside.rglob("*") if path.is_file()] == []


def test_a_link_that_only_the_working_tree_has_is_not_followed_either(tmp_path: Path):
    repository = tree(tmp_path / "live", {"README.md": "x\n"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (repository / "environments").symlink_to(outside)
    with pytest.raises(errors.Conflict, match="link"):
        write(to(repository), "one\n")
    assert list(outside.iterdir()) == []


def test_a_packed_repository_and_a_linked_working_tree_are_changed_as_well(tmp_path: Path):
    repository = tree(tmp_path / "live", OTHERS)
    git(repository, "gc", "-q")
    git(repository, "pack-refs", "--all")
    git(repository, "worktree", "add", "-q", str(tmp_path / "second"), "-b", "second")
    write(to(tmp_path / "second"), "two\n")
    write(to(repository), "one\n")
    assert (show(repository), show(repository, branch="second")) == ("one\n", "two\n")
    assert (tmp_path / "second" / PATH).read_text() == "two\n"
    assert git(tmp_path / "second", "status", "--porcelain") == ""
    check(repository)


def test_gits_own_lock_is_waited_for_and_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    repository = bare(tmp_path / "live", OTHERS)
    lock = repository / "refs/heads/main.lock"
    lock.touch()
    monkeypatch.setattr(disks, "WAIT_SECONDS", 0.2)
    with pytest.raises(errors.Failure, match="git works there, or died there"):
        write(to(repository), "one\n")
    assert lock.exists()
    lock.unlink()
    assert write(to(repository), "one\n").changed


def test_a_branch_that_another_ones_name_forbids_is_refused(tmp_path: Path):
    repository = bare(tmp_path / "live", OTHERS)
    git(repository, "branch", "live/one")
    with pytest.raises(errors.Conflict, match="cannot be made beside branch"):
        write(to(repository, release_branch="live"), "one\n")


def test_a_detached_head_and_a_format_that_is_not_written_are_said(tmp_path: Path):
    repository = tree(tmp_path / "live", OTHERS)
    git(repository, "checkout", "-q", "--detach")
    with pytest.raises(errors.Conflict, match="no branch checked out"):
        write(to(repository), "one\n")
    other = tmp_path / "sha256"
    other.mkdir()
    git(other, "init", "-q", "--bare", "--object-format=sha256")
    with pytest.raises(errors.SettingsError, match="not written here"):
        write(to(other), "one\n")


def test_a_repository_that_may_not_be_written_is_an_error_of_ours(tmp_path: Path):
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    repository = bare(tmp_path / "live", OTHERS)
    repository.chmod(0o500)
    try:
        with pytest.raises(errors.Failure, match="cannot be written"):
            write(to(repository), "one\n")
    finally:
        repository.chmod(0o700)


@pytest.mark.parametrize("kind", ["bare", "tree"])
def test_killed_at_any_moment_a_repeated_call_leaves_exactly_one_commit(tmp_path: Path, kind: str):
    script = Path(__file__).with_name("killing.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), kind],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=Path(__file__).parents[4],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["killed"] >= 20
    assert found["wrong"] == []
