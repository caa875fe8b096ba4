"""`pilotage release`, `rollback --env` and `diff`, here and at a console; requests end to end; ssh."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.integration.releases import forge_servers, git_servers
from tests.integration.releases.conftest import OTHERS
from tests.integration.releases.installations import bare, git, log, show
from tests.unit.console.desks import client

from pilotage.console import cli
from pilotage.console.operations.desks import Desk
from pilotage.core import errors
from pilotage.core.settings import ReleaseMode, Settings
from pilotage.pipelines import releases

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
VALUES = "environments/production/flights/values.yaml"
To = Callable[..., Settings]
Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def run(installation: Settings, capfd: pytest.CaptureFixture[str]) -> Run:
    """Call a command with `--json`; its exit code and document."""

    def call(*words: object) -> tuple[int, Any]:
        code = cli.run([*map(str, words), "--json", "--home", str(installation.home)])
        return code, json.loads(capfd.readouterr().out)

    return call


def test_a_release_a_comparison_and_a_way_back_on_the_command_line(run: Run, repository: Path):
    where = ("--to", repository, "--env", "production")
    assert run("release", "flights", 1, *where, "--who", "ada", "--reason", "good")[1]["changed"]
    code, done = run("release", "flights", 2, *where, "--who", "ada")
    assert (code, done["version"], done["replaced"], done["waits"]) == (0, 2, 1, False)
    code, found = run("diff", "flights", *where)
    assert (code, found["same"], found["git"]["version"], found["running"]["source"]) == (
        3,
        False,
        2,
        "registry",
    )
    code, done = run("rollback", "flights", *where, "--version", 2, "--who", "bob", "--why", "slow")
    assert (code, done["version"], done["replaced"]) == (0, 1, 2)
    assert not run("rollback", "flights", *where, "--version", 2)[1]["changed"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("release", "flights", 3, "--to", "live"), 3, "did not pass its gates"),
        (("release", "flights", 3, "--to", "live", "--force"), 2, "needs a reason"),
        (("release", "flights", 9, "--to", "live"), 2, "has no version 9"),
        (("release", "flights", "--to", "live"), 2, "no champion to release"),
        (("release", "flights", 1), 2, "Nothing says where releases go"),
        (("release", "flights", 1, "--to", "live", "--env", "../x"), 2, "no name of an environment"),
        (("release", "flights", 1, "--to", "http://git.example.org/x"), 2, "is not encrypted"),
        (("rollback", "flights", "--version", 1), 2, "no environment is named"),
        (("diff", "flights", "--to", "live", "--server", "ftp://x"), 2, "no address of a model server"),
        (("diff", "flights", "--to", "live", "--server", "http://127.0.0.1:1"), 1, "does not answer"),
    ],
)
def test_what_cannot_be_is_said_with_its_exit_code(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...], code: int, said: str
):
    monkeypatch.chdir(tmp_path)
    ended, document = run(*words)
    assert (ended, said in document["error"]["message"]) == (code, True), document
    assert document["error"]["remedy"]
    assert not (tmp_path / "live").exists()


class _Models(BaseHTTPRequestHandler):
    """Model servers behind one address, each with a version of its own."""

    versions: list[int] = []
    token = ""

    def do_GET(self) -> None:
        version = self.versions[0]
        self.versions.append(self.versions.pop(0))
        status = 404 if version == 0 else 200
        if self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
            status = 401
        data = json.dumps({"name": "flights", "versions": [str(version)]}).encode()
        self.send_response(status if self.path == "/production/v2/models/flights" else 500)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *values: object) -> None:
        """Say nothing."""


@pytest.fixture
def models() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Models)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/{{environment}}"
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.mark.parametrize(
    ("served", "versions", "same"),
    [([1], (1,), True), ([2], (2,), False), ([1, 2], (1, 2), False), ([0], (), False)],
    ids=["the same", "another", "a rollout goes on", "nothing"],
)
def test_git_is_compared_with_what_model_servers_say(
    repository: Path, to: To, models: str, served: list[int], versions: tuple[int, ...], same: bool
):
    settings = to(repository, release_server=models)
    releases.release(settings, "flights", 1, by="ada")
    _Models.versions, _Models.token = served, ""
    found = releases.diff(settings, "flights")
    assert (found.running.versions, found.is_none) == (versions, same)


def test_a_model_server_that_asks_for_a_token_gets_it(repository: Path, to: To, models: str, tmp_path: Path):
    _Models.versions, _Models.token = [1], "m0del"
    with pytest.raises(errors.SettingsError, match="PILOTAGE_RELEASE_SERVER_TOKEN_FILE"):
        releases.diff(to(repository, release_server=models), "flights")
    (tmp_path / "token").write_text("m0del\n")
    found = releases.diff(
        to(repository, release_server=models, release_server_token_file=tmp_path / "token"), "flights"
    )
    assert (found.released, found.running.versions, found.is_none) == (None, (1,), False)


@pytest.fixture
def console(repository: Path, to: To) -> Iterator[TestClient]:
    with client(Desk(to(repository))) as found:
        yield found


def test_a_console_releases_shows_and_takes_back(console: TestClient, repository: Path):
    root = "/api/v1/pilots/flights/environments"
    assert console.get(root).json()["items"] == []
    for version in (1, 2):
        done = console.post(f"{root}/production/release", json={"version": version, "why": "good"})
        assert (done.status_code, done.json()["changed"]) == (200, True), done.text
    [item] = console.get(root).json()["items"]
    assert (item["environment"], item["version"], item["reason"]) == ("production", 2, "good")
    page = console.get("/pilots/flights/models").text
    assert "what git says is to run" in page
    assert item["commit"][:12] in page
    assert not console.get(f"{root}/production/diff").json()["same"]
    done = console.post(f"{root}/production/rollback", json={"why": "slow"})
    assert (done.json()["version"], done.json()["replaced"]) == (1, 2)
    assert console.get(root).json()["items"][0]["version"] == 1
    refused = console.post(f"{root}/production/release", json={"version": 3})
    assert refused.status_code in (403, 409, 422)
    assert console.post(f"{root}/-x/release", json={"version": 1}).status_code == 422
    assert len(log(repository)) == 4


def test_a_repository_that_is_away_takes_nothing_from_the_page(to: To, tmp_path: Path):
    (tmp_path / "gone").mkdir()
    git(tmp_path / "gone", "init", "-q", "--bare")
    found = to(tmp_path / "gone", release_branch="a..b")
    with client(Desk(found)) as console:
        page = console.get("/pilots/flights/models")
    assert page.status_code == 200
    assert "cannot be told now" in page.text


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_proposal_is_a_request_on_the_forge_that_is_opened_once(
    to: To, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    repository = bare(tmp_path / "git" / "ops" / "live.git", OTHERS)
    git(repository, "config", "http.receivepack", "true")
    (tmp_path / "token").write_text(forge_servers.TOKEN)
    with (
        git_servers.serving(tmp_path / "git", forge_servers.TOKEN) as server,
        forge_servers.serving(kind) as forge,
    ):
        settings = to(
            f"{server.url}/ops/live.git",
            forge=kind,
            forge_url=forge.url,
            forge_token_file=tmp_path / "token",
            release_mode=ReleaseMode.BRANCH,
        )
        made = releases.release(settings, "flights", 1, by="ada", reason="good")
        assert (made.waits, made.url.rpartition("/")[2]) == (True, "1")
        assert releases.release(settings, "flights", 1, by="ada").url == made.url
        [request] = forge.requests
        assert (request["branch"], request["base"]) == ("pilotage/production/flights/v1", "main")
        assert "roc_auc >= 0.65: passed" in request["body"]
        forge.requests.clear()  # closed without being merged: the branch begins at main's head again
        releases.release(
            settings.model_copy(update={"release_mode": ReleaseMode.COMMIT}), "flights", 2, by="ada"
        )
        again = releases.release(settings, "flights", 1, by="ada")
        assert (again.changed, again.waits) == (True, True)
        parents = git(repository, "log", "-1", "--format=%P", again.branch).split()
        assert parents == [made.commit, git(repository, "rev-parse", "main")]
        assert git(repository, "diff", "--name-only", "main", again.branch) == VALUES
        found = releases.read(settings, "flights")
        assert found is not None
        assert found.commit in found.url
    user = "x-access-token" if kind == "github" else "oauth2"
    assert {git_servers.user_of(given) for _, _, given in server.seen} == {user}


def test_ssh_is_called_with_names_of_files_and_refuses_unknown_hosts(
    repository: Path, to: To, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In place of ssh a script that notes how it was called and runs the command here."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "ssh"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nfor last; do :; done\nexec sh -c "$last"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "key").write_text("k3y")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "known").write_text("git.example ssh-ed25519 AAAA\n")
    files = {"release_ssh_key_file": tmp_path / "key", "release_known_hosts_file": tmp_path / "known"}
    settings = to(f"ssh://git@git.example:22{repository}", **files)
    assert releases.release(settings, "flights", 1, by="ada").changed
    assert not releases.release(settings, "flights", 1, by="ada").changed
    calls = (tmp_path / "calls").read_text()
    assert "StrictHostKeyChecking=yes" in calls
    assert f"-i {tmp_path / 'key'} -o IdentitiesOnly=yes" in calls
    assert "BatchMode=yes" in calls
    assert "k3y" not in calls
    assert "git@git.example" in calls
    assert log(repository) == ["Begin", "Release flights 1 to production"]
    assert "version: 1" in show(repository, VALUES)
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(errors.SettingsError, match="others may read"):
        releases.read(settings, "flights")
