"""Releases over a network that fails, beside others who release, and by processes that are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.releases.conftest import OTHERS
from tests.integration.releases.git_servers import GitServer, once
from tests.integration.releases.installations import commit_files, git, log, show

from pilotage.core import errors
from pilotage.core.settings import ReleaseMode, Settings
from pilotage.pipelines import releases, tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.releases import changes

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
VALUES = "environments/production/flights/values.yaml"
To = Callable[..., Settings]


def at_once(found: Settings, wishes: Sequence[tuple[str, int, str]]) -> list[dict[str, Any]]:
    """What becomes of wishes (environment, version, by) that are all made in the same moment."""
    asked = {
        "settings": found.model_dump(mode="json", exclude_unset=True),
        "wishes": [dict(zip(("environment", "version", "by"), wish, strict=True)) for wish in wishes],
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("crowds.py"))],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def require_nothing_lost(repository: Path, answers: Sequence[dict[str, Any]]) -> None:
    """Each release that says so is one commit of the branch, and there is no other."""
    assert [answer for answer in answers if "error" in answer] == []
    made = [answer["commit"] for answer in answers if answer["changed"]]
    held = git(repository, "rev-list", "--no-merges", "main").splitlines()
    assert sorted(made) == sorted(set(held) - {git(repository, "rev-list", "--max-parents=0", "main")})
    assert {name: show(repository, name) for name in OTHERS} == {k: v.rstrip("\n") for k, v in OTHERS.items()}
    git(repository, "fsck", "--full", "--strict")


CROWD = [
    *(("production", 1, "ada"), ("production", 2, "bob"), ("production", 1, "eve")),
    *(("staging", 1, "ada"), ("test-a", 2, "bob"), ("test-b", 2, "eve")),
]


def test_several_people_who_release_at_once_lose_nobodys_commit(remote: Settings, repository: Path):
    answers = at_once(remote, CROWD)
    require_nothing_lost(repository, answers)
    for environment, version in (("staging", 1), ("test-a", 2), ("test-b", 2)):
        path = f"environments/{environment}/flights/values.yaml"
        assert yaml.safe_load(show(repository, path))["model"]["version"] == version
    assert yaml.safe_load(show(repository, VALUES))["model"]["version"] in (1, 2)
    told = [line.details["commit"] for line in audits.read(tables.connect(remote), limit=1000)]
    assert {answer["commit"] for answer in answers if answer["changed"]} <= set(told)


def test_the_same_holds_for_a_repository_on_this_machine(to: To, repository: Path):
    require_nothing_lost(repository, at_once(to(repository), CROWD))


def test_the_same_version_at_once_is_one_commit(remote: Settings, repository: Path):
    answers = at_once(remote, [("production", 1, who) for who in ("ada", "bob", "eve")])
    assert sorted(answer["changed"] for answer in answers) == [False, False, True]
    assert len({answer["commit"] for answer in answers}) == 1
    require_nothing_lost(repository, answers)


def test_somebody_elses_push_between_our_look_and_ours_stays(
    remote: Settings, repository: Path, server: GitServer
):
    pushed: list[str] = []

    def hurry(method: str, path: str) -> str:
        if method == "POST" and path.endswith("git-receive-pack") and len(pushed) < 2:
            pushed.append(commit_files(repository, {f"theirs-{len(pushed)}": "x\n"}, f"Theirs {len(pushed)}"))
        return ""

    server.fault = hurry
    made = releases.release(remote, "flights", 1, by="ada")
    assert log(repository) == ["Begin", "Theirs 0", "Theirs 1", "Release flights 1 to production"]
    assert git(repository, "rev-parse", "main") == made.commit


@pytest.mark.parametrize("fault", ["before", "after", "half", "503"])
@pytest.mark.parametrize(
    "stage", ["info/refs?service=git-upload-pack", "git-upload-pack", "git-receive-pack"]
)
def test_a_network_that_is_lost_once_leaves_exactly_one_commit(
    remote: Settings, repository: Path, server: GitServer, stage: str, fault: str
):
    server.fault = once(stage, fault)
    made = releases.release(remote, "flights", 1, by="ada")
    assert made.changed
    assert log(repository) == ["Begin", "Release flights 1 to production"]
    assert git(repository, "rev-parse", "main") == made.commit
    assert not releases.release(remote, "flights", 1, by="ada").changed


def test_a_network_that_stays_away_is_told_and_the_next_call_ends_what_began(
    remote: Settings, repository: Path, server: GitServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(changes, "_wait", lambda times: None)
    lost = ["after", "before", "before", "before"]
    server.fault = lambda method, path: (
        lost.pop(0)
        if lost and "receive-pack" in path and method == "POST"
        else ("before" if len(lost) < 4 else "")
    )
    with pytest.raises(errors.Unavailable, match="did not answer"):
        releases.release(remote, "flights", 1, by="ada", reason="once")
    assert log(repository) == ["Begin", "Release flights 1 to production"]
    server.fault = lambda method, path: ""
    again = releases.release(remote, "flights", 1, by="ada", reason="once")
    assert not again.changed
    assert len(log(repository)) == 2
    [line] = [
        item
        for item in audits.read(tables.connect(remote), limit=1000)
        if item.details.get("commit") == again.commit
    ]
    assert (line.who, line.why) == ("ada", "once")


@pytest.mark.parametrize("moment", ["git-upload-pack", "git-receive-pack before", "git-receive-pack after"])
def test_a_process_that_is_killed_leaves_nothing_and_the_next_call_one_commit(
    remote: Settings, repository: Path, server: GitServer, moment: str
):
    """The server itself kills who asks, before or after it has carried out what was asked."""
    stage, _, when = moment.partition(" ")
    clients: list[int] = []

    def kill(method: str, path: str) -> str:
        if method == "POST" and path.endswith(stage) and clients:
            os.kill(clients.pop(), signal.SIGKILL)
            return "before" if when == "before" else "after"
        return ""

    server.fault = kill
    script = "import os, sys, json; print(os.getpid(), flush=True); sys.stdin.readline()\n"
    script += "from pilotage.core import settings; from pilotage.pipelines import releases\n"
    script += "releases.release(settings.load(**json.loads(sys.argv[1])), 'flights', 1, by='ada')\n"
    asked = json.dumps(remote.model_dump(mode="json", exclude_unset=True))
    with subprocess.Popen(
        [sys.executable, "-c", script, asked], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        clients.append(int(child.stdout.readline()))
        child.stdin.write("\n")
        child.stdin.close()
        assert child.wait(120) == -signal.SIGKILL
    made = releases.release(remote, "flights", 1, by="ada")
    assert made.changed == (moment != "git-receive-pack after")
    assert log(repository) == ["Begin", "Release flights 1 to production"]
    git(repository, "fsck", "--full", "--strict")


def test_a_rollback_over_a_lost_network_takes_back_once(
    remote: Settings, repository: Path, server: GitServer
):
    for version in (1, 2):
        releases.release(remote, "flights", version, by="ada")
    server.fault = once("git-receive-pack", "after")
    made = releases.revert(remote, "flights", by="bob", reason="slow")
    assert (made.changed, made.version, made.replaced) == (True, 1, 2)
    assert not releases.revert(remote, "flights", by="bob", reason="slow").changed
    assert len(log(repository)) == 4


def test_history_far_behind_is_fetched_when_it_is_needed(remote: Settings, repository: Path):
    for version in (1, 2):
        releases.release(remote, "flights", version, by="ada")
    git(repository, "config", "user.name", "x")
    tree = git(repository, "rev-parse", "main^{tree}")
    head = git(repository, "rev-parse", "main")
    for number in range(60):
        head = git(repository, "commit-tree", tree, "-p", head, "-m", f"Other {number}")
    git(repository, "update-ref", "refs/heads/main", head)
    found = releases.read(remote, "flights")
    assert found is not None
    assert found.by == "ada"
    assert releases.revert(remote, "flights", by="bob").version == 1


def test_large_files_of_others_are_not_fetched_and_stay(
    remote: Settings, repository: Path, server: GitServer
):
    large = os.urandom(3_000_000).hex()
    commit_files(repository, {"large.bin": large}, "Large")
    releases.release(remote, "flights", 1, by="ada")
    assert show(repository, "large.bin") == large
    assert git(repository, "diff", "--name-only", "main~1", "main") == VALUES


def test_the_token_is_shown_to_the_server_and_to_nobody_else(
    remote: Settings, repository: Path, server: GitServer, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    made = releases.release(remote, "flights", 1, by="ada")
    assert all(given.startswith("Basic ") for _, _, given in server.seen)
    line = audits.read(tables.connect(remote), limit=1)[0]
    told = [repr(made), caplog.text, json.dumps(dict(line.details)), *(path for _, path, _ in server.seen)]
    told += [git(repository, "log", "--format=%B", "main"), show(repository, VALUES)]
    assert [text for text in told if "s3cret" in text] == []


def test_a_wrong_token_and_a_wrong_address_say_what_to_set(
    remote: Settings, server: GitServer, to: To, tmp_path: Path
):
    (tmp_path / "wrong").write_text("wr0ng")
    with pytest.raises(errors.SettingsError, match="PILOTAGE_FORGE_TOKEN_FILE") as caught:
        releases.read(remote.model_copy(update={"forge_token_file": tmp_path / "wrong"}), "flights")
    assert "wr0ng" not in str(caught.value)
    server.token = ""
    with pytest.raises(errors.NotFound, match="no git repository at"):
        releases.read(to(f"{server.url}/none.git"), "flights")
    server.fault = lambda method, path: "403"
    with pytest.raises(errors.SettingsError, match="does not let in"):
        releases.read(remote, "flights")


def test_a_protected_branch_says_that_a_request_is_the_way(remote: Settings, repository: Path):
    hook = repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\ngrep -q refs/heads/main && { echo 'main is protected' >&2; exit 1; }\nexit 0\n"
    )
    hook.chmod(0o755)
    with pytest.raises(errors.Conflict, match="--branch"):
        releases.release(remote, "flights", 1, by="ada")
    branch = remote.model_copy(update={"release_mode": ReleaseMode.BRANCH})
    assert releases.release(branch, "flights", 1, by="ada").waits
    assert len(log(repository)) == 1
