"""Releases of a real registry into real repositories: what is written, who may, and the record of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml
from tests.integration.releases.conftest import OTHERS
from tests.integration.releases.installations import (
    add_pilot,
    add_version,
    commit_files,
    git,
    log,
    show,
    spec,
)

from pilotage.core import errors
from pilotage.core.registry import Registry
from pilotage.core.settings import ReleaseMode, Settings
from pilotage.pipelines import releases, tables
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.journals import audits
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.releases.messages import trailers_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
VALUES = "environments/production/flights/values.yaml"
To = Callable[..., Settings]


def version_in(repository: Path, branch: str = "main") -> int:
    return int(yaml.safe_load(show(repository, VALUES, branch))["model"]["version"])


def audited(settings: Settings, place: object) -> list[tuple[str, int | None, str, str]]:
    """Who did what of releases to one repository, oldest first."""
    lines = audits.read(tables.connect(settings), limit=1000)
    mine = [line for line in reversed(lines) if line.details.get("repository") == str(place)]
    return [(line.action, line.version, line.who, line.why) for line in mine]


def test_a_release_is_a_commit_with_the_evidence_and_an_entry_in_the_audit(repository: Path, to: To):
    settings = to(repository)
    made = releases.release(settings, "flights", 1, by="ada", reason="good enough")
    assert (made.version, made.replaced, made.changed, made.branch) == (1, None, True, "main")
    assert git(repository, "rev-parse", "main") == made.commit
    schema = json.loads((Path(__file__).parents[3] / "charts/model/values.schema.json").read_text())
    written = yaml.safe_load(show(repository, VALUES))
    jsonschema.validate(written, schema)
    assert (written["model"]["version"], written["evidence"]["reason"]) == (1, "good enough")
    assert {name: show(repository, name) for name in OTHERS} == {k: v.rstrip("\n") for k, v in OTHERS.items()}
    message = git(repository, "log", "-1", "--format=%B", "main")
    assert "roc_auc >= 0.65: passed, value 0.75, limit 0.65" in message
    said = trailers_of(message.encode())
    assert (said["Action"], said["Version"], said["By"]) == ("release", "1", "ada")
    assert said["Snapshot"] == written["evidence"]["snapshot"]
    assert git(repository, "log", "-1", "--format=%an|%cn", "main") == "ada|Pilotage"
    assert audited(settings, repository) == [("release", 1, "ada", "good enough")]


def test_releasing_the_same_again_changes_nothing_whoever_says_so_and_why(repository: Path, to: To):
    first = releases.release(to(repository), "flights", 1, by="ada", reason="one")
    again = releases.release(to(repository), "flights", 1, by="bob", reason="other")
    assert (again.changed, again.commit) == (False, first.commit)
    assert len(log(repository)) == 2
    assert audited(to(repository), repository) == [("release", 1, "ada", "one")]


def test_another_pilot_yaml_is_a_release_of_the_same_version(repository: Path, to: To):
    releases.release(to(repository), "flights", 1, by="ada")
    made = releases.release(to(repository), "flights", 1, by="ada", spec=spec("flights", most=20))
    assert (made.changed, made.replaced) == (True, None)
    assert yaml.safe_load(show(repository, VALUES))["replicas"]["max"] == 20


def test_what_git_says_is_read_back_behind_commits_of_others(repository: Path, to: To):
    assert releases.read(to(repository), "flights") is None
    made = releases.release(to(repository), "flights", 2, by="ada", reason="better")
    commit_files(repository, {"README.md": "new\n"}, "Other")
    found = releases.read(to(repository), "flights")
    assert found is not None
    assert (found.version, found.commit, found.by, found.reason) == (2, made.commit, "ada", "better")
    releases.release(to(repository), "flights", 1, environment="staging", by="bob")
    everywhere = releases.read_all(to(repository), "flights")
    assert [(item.environment, item.version, item.by) for item in everywhere] == [
        ("production", 2, "ada"),
        ("staging", 1, "bob"),
    ]


def test_taking_a_release_back_restores_the_bytes_and_is_done_once(repository: Path, to: To):
    releases.release(to(repository), "flights", 1, by="ada")
    before = show(repository, VALUES)
    releases.release(to(repository), "flights", 2, by="ada")
    commit_files(repository, {"README.md": "new\n"}, "Other")
    made = releases.revert(to(repository), "flights", by="bob", reason="slow")
    assert (made.version, made.replaced, made.changed) == (1, 2, True)
    assert show(repository, VALUES) == before
    assert show(repository, "README.md") == "new"
    again = releases.revert(to(repository), "flights", by="bob", reason="slow")
    assert (again.version, again.changed, again.commit) == (1, False, made.commit)
    assert audited(to(repository), repository)[-1] == ("release_reverted", 1, "bob", "slow")
    assert len(audited(to(repository), repository)) == 3


def test_a_named_version_is_taken_back_only_where_git_says_it(repository: Path, to: To):
    settings = to(repository)
    for version in (1, 2, 1):
        releases.release(settings, "flights", version, by="ada")
    assert not releases.revert(settings, "flights", by="bob", version=2).changed
    assert releases.revert(settings, "flights", by="bob", version=1).version == 2
    assert not releases.revert(settings, "flights", by="bob", version=1).changed
    assert (
        releases.revert(settings, "flights", by="bob", version=2).version == 1
    )  # what was before that release
    assert releases.revert(settings, "flights", by="bob").changed is False


def test_a_revert_by_git_itself_is_known_as_one(repository: Path, to: To, tmp_path: Path):
    for version in (1, 2):
        releases.release(to(repository), "flights", version, by="ada")
    git(tmp_path, "clone", "-q", str(repository), "clone")
    git(tmp_path / "clone", "revert", "--no-edit", "HEAD")
    git(tmp_path / "clone", "push", "-q")
    assert releases.revert(to(repository), "flights", by="bob").changed is False
    assert version_in(repository) == 1


def test_the_first_release_and_none_cannot_be_taken_back(repository: Path, to: To):
    with pytest.raises(errors.NotFound, match="nothing to take back"):
        releases.revert(to(repository), "flights")
    releases.release(to(repository), "flights", 1)
    with pytest.raises(errors.NotFound, match="before version 1"):
        releases.revert(to(repository), "flights")
    assert version_in(repository) == 1


def test_a_plain_folder_gets_the_file_and_no_commit(tmp_path: Path, to: To):
    folder = tmp_path / "live"
    made = releases.release(to(folder), "flights", 1, by="ada")
    again = releases.release(to(folder), "flights", 1, by="ada")
    assert (made.changed, made.commit, again.changed) == (True, "", False)
    assert yaml.safe_load((folder / VALUES).read_text())["model"]["version"] == 1
    assert not (folder / ".git").exists()
    found = releases.read(to(folder), "flights")
    assert found is not None
    assert (found.version, found.commit) == (1, "")
    assert [item.environment for item in releases.read_all(to(folder), "flights")] == ["production"]
    with pytest.raises(errors.SettingsError, match="no git repository"):
        releases.revert(to(folder), "flights")


def test_a_version_that_failed_its_gates_needs_force_and_a_reason(repository: Path, to: To):
    settings = to(repository)
    with pytest.raises(errors.PromotionRefused, match="did not pass its gates"):
        releases.release(settings, "flights", 3, by="ada")
    with pytest.raises(errors.SettingsError, match="needs a reason"):
        releases.release(settings, "flights", 3, by="ada", force=True, reason=" ")
    assert len(log(repository)) == 1
    releases.release(settings, "flights", 3, by="ada", force=True, reason="the old one is worse")
    message = git(repository, "log", "-1", "--format=%B", "main")
    assert "gates and approval were overruled" in message
    assert trailers_of(message.encode())["Forced"] == "yes"
    assert "roc_auc >= 0.65: FAILED" in message


def test_a_version_that_waits_or_was_refused_for_skew_is_not_released(
    repository: Path, to: To, tmp_path: Path
):
    settings = to(repository)
    add_pilot(settings, "asked", tmp_path / "models", versions=2)
    version = add_version(settings, "asked", tmp_path / "more")
    row = {"pilot": "asked", "version": version, "state": "pending", "asked_at": tables.now()}
    with tables.connect(settings).begin() as connection:
        connection.execute(tables.approvals.insert(), row)
    with pytest.raises(errors.PromotionRefused, match="waits for an approval"):
        releases.release(settings, "asked", version, by="ada")
    promotions.approve(settings, "asked", version, who="bob", why="fine")
    releases.release(settings, "asked", version, by="ada")
    path = "environments/production/asked/values.yaml"
    assert yaml.safe_load(show(repository, path))["evidence"]["approver"] == "bob"
    assert "approval: bob at " in git(repository, "log", "-1", "--format=%B", "main")
    skewed = add_version(settings, "asked", tmp_path / "skewed")
    tags = {"pilotage.decision": "refused", "pilotage.reason": "training and serving disagree"}
    Registry(settings).tag("asked", skewed, tags)
    with pytest.raises(errors.PromotionRefused, match="training and serving disagree"):
        releases.release(settings, "asked", skewed, by="ada")


def test_four_eyes_keep_who_asked_for_a_run_from_releasing_it(repository: Path, to: To, tmp_path: Path):
    settings = to(repository, four_eyes=True)
    Records(tables.connect(settings)).begin_run(
        "run-ann", spec("flights"), tmp_path, ("train",), asked_by="ann"
    )
    version = add_version(settings, "flights", tmp_path / "new", run="run-ann")
    with pytest.raises(errors.Forbidden, match="asked for the run"):
        releases.release(settings, "flights", version, by="ann", force=True, reason="mine")
    assert releases.release(settings, "flights", version, by="bob").changed


@pytest.mark.parametrize("name", ["../../x", "a/b", "-x", "UP", ""])
def test_a_hostile_name_touches_nothing(repository: Path, to: To, name: str):
    settings = to(repository)
    with pytest.raises(errors.SettingsError):
        releases.release(settings, name, 1)
    if name:
        with pytest.raises(errors.SettingsError):
            releases.read(settings, "flights", name)
    assert len(log(repository)) == 1


def test_a_record_that_a_killed_process_did_not_write_is_written_by_the_next_call(repository: Path, to: To):
    settings = to(repository, database_url=f"sqlite:///{repository.parent}/audit.db")
    first = releases.release(to(repository), "flights", 1, by="ada", reason="one")
    for who in ("bob", "ada", "ada"):  # bob did not release it, and is not said to have
        again = releases.release(settings, "flights", 1, by=who, reason="one", spec=spec("flights"))
        assert (again.changed, again.commit) == (False, first.commit)
    assert audited(settings, repository) == [("release", 1, "ada", "one")]


def test_one_commit_in_two_repositories_is_recorded_for_each(repository: Path, to: To, tmp_path: Path):
    made = releases.release(to(repository), "flights", 1, by="ada")
    mirror = tmp_path / "git" / "mirror.git"
    shutil.copytree(repository, mirror)
    for _ in range(2):
        assert releases.release(to(mirror), "flights", 1, by="ada").commit == made.commit
    for place in (repository, mirror):
        assert audited(to(place), place) == [("release", 1, "ada", "")]


def test_a_proposal_waits_on_a_branch_of_its_own_until_it_is_merged(repository: Path, to: To, tmp_path: Path):
    settings = to(repository, release_mode=ReleaseMode.BRANCH)
    made = releases.release(settings, "flights", 1, by="ada")
    branch = "pilotage/production/flights/v1"
    assert (made.branch, made.waits) == (branch, True)
    assert len(log(repository)) == 1
    again = releases.release(settings, "flights", 1, by="ada")
    assert (again.changed, again.commit, again.waits) == (False, made.commit, True)
    git(tmp_path, "clone", "-q", str(repository), "clone")
    git(tmp_path / "clone", "merge", "-q", "--no-ff", f"origin/{branch}", "-m", "Merge it")
    git(tmp_path / "clone", "push", "-q")
    merged = releases.release(settings, "flights", 1, by="ada")
    assert (merged.changed, merged.waits, merged.branch) == (False, False, "main")
    found = releases.read(settings, "flights")
    assert found is not None
    assert (found.version, found.commit, found.by) == (1, made.commit, "ada")


def test_a_branch_that_was_merged_before_begins_anew_and_loses_nothing(
    repository: Path, to: To, tmp_path: Path
):
    settings = to(repository, release_mode=ReleaseMode.BRANCH)
    first = releases.release(settings, "flights", 1, by="ada")
    git(repository, "update-ref", "refs/heads/main", first.commit)  # merged
    releases.release(to(repository), "flights", 2, by="ada")
    second = releases.release(settings, "flights", 1, by="ada")
    assert (second.changed, second.waits) == (True, True)
    parents = git(repository, "log", "-1", "--format=%P", second.branch).split()
    assert parents == [git(repository, "rev-parse", "main")]
    git(repository, "merge-base", "--is-ancestor", first.commit, second.branch)


def test_a_proposal_to_take_back_is_merged_like_any_other(repository: Path, to: To):
    for version in (1, 2):
        releases.release(to(repository), "flights", version, by="ada")
    settings = to(repository, release_mode=ReleaseMode.BRANCH)
    made = releases.revert(settings, "flights", by="bob", reason="slow")
    assert (made.branch, made.version, made.waits) == ("pilotage/production/flights/revert-v2", 1, True)
    assert version_in(repository) == 2
    assert version_in(repository, made.branch) == 1
    assert not releases.revert(settings, "flights", by="bob", reason="slow").changed
    git(repository, "update-ref", "refs/heads/main", made.commit)
    assert not releases.revert(settings, "flights", by="bob", reason="slow").waits


def test_a_signed_release_is_one_that_git_verifies(repository: Path, to: To, tmp_path: Path):
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not here")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (tmp_path / "allowed").write_text(f"pilotage@localhost {key.with_suffix('.pub').read_text()}")
    made = releases.release(to(repository, release_key_file=key), "flights", 1, by="ada")
    assert made.signed
    trust = ("-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'allowed'}")
    git(repository, *trust, "verify-commit", made.commit)
    git(repository, "fsck", "--full", "--strict")


def test_a_database_that_knows_nothing_of_the_pilot_needs_its_pilot_yaml(repository: Path, to: To):
    elsewhere = to(repository, database_url=f"sqlite:///{repository.parent}/other.db")
    with pytest.raises(errors.NotFound, match=r"knows the pilot\.yaml"):
        releases.release(elsewhere, "flights", 1)
