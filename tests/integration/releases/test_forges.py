"""Requests on both forges: one a branch, whatever was lost, and refusals in words that help."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.releases.forge_servers import TOKEN, ForgeServer, serving

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines.releases import forges, places
from pilotage.pipelines.releases.forges import Forge, clients
from pilotage.pipelines.releases.messages import Message

BRANCH = "pilotage/production/flights/v7"
MESSAGE = Message("Release flights 7 to production", "Gates:\n  roc_auc: passed", {"Version": "7"})


@pytest.fixture(params=["github", "gitlab"])
def server(request: pytest.FixtureRequest) -> Iterator[ForgeServer]:
    with serving(request.param) as found:
        yield found


@pytest.fixture
def forge(server: ForgeServer, tmp_path: Path) -> Forge:
    return connect(server, tmp_path)


def connect(
    server: ForgeServer, folder: Path, token: str = TOKEN, url: str = "https://forge.example/ops/live.git"
) -> Forge:
    (folder / "token").write_text(f"{token}\n")
    found = settings.load(forge=server.kind, forge_url=server.url, forge_token_file=folder / "token")
    made = forges.connect(found, places.parse(url))
    assert made is not None
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_rest", lambda attempt: None)


def test_a_request_is_opened_once_with_the_evidence(forge: Forge, server: ForgeServer):
    assert not forge.is_open(BRANCH, "main")
    page = forge.ensure(BRANCH, "main", MESSAGE)
    assert page.endswith("/1")
    assert forge.ensure(BRANCH, "main", MESSAGE) == page
    assert forge.is_open(BRANCH, "main")
    [made] = server.requests
    assert (made["branch"], made["base"], made["title"]) == (BRANCH, "main", MESSAGE.subject)
    assert "roc_auc: passed" in made["body"]
    assert "Pilotage-Version: 7" in made["body"]
    assert [method for method, _, _ in server.seen] == ["GET", "GET", "POST", "GET", "GET"]


def test_an_open_request_is_brought_up_to_date(forge: Forge, server: ForgeServer):
    server.open_one(BRANCH, "main", "Release flights 7", "an older text")
    forge.ensure(BRANCH, "main", MESSAGE)
    [held] = server.requests
    assert held["title"] == MESSAGE.subject
    assert "roc_auc" in held["body"]


def test_a_request_into_another_branch_is_another_one(forge: Forge, server: ForgeServer):
    server.open_one(BRANCH, "other", "x", "y")
    forge.ensure(BRANCH, "main", MESSAGE)
    assert [item["base"] for item in server.requests] == ["other", "main"]


def test_an_answer_that_was_lost_opens_no_second_one(forge: Forge, server: ForgeServer):
    faults = ["drop"]
    server.fault = lambda method: faults.pop() if method == "POST" and faults else None
    assert forge.ensure(BRANCH, "main", MESSAGE).endswith("/1")
    assert len(server.requests) == 1


def test_somebody_who_was_faster_is_found(forge: Forge, server: ForgeServer):
    """Their request is there between our question and our own."""

    def hurry(method: str) -> None:
        if method == "POST" and not server.requests:
            server.open_one(BRANCH, "main", MESSAGE.subject, "theirs")

    server.fault = hurry
    assert forge.ensure(BRANCH, "main", MESSAGE).endswith("/1")
    [held] = server.requests
    assert "roc_auc" in held["body"]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_forge_that_fails_for_a_moment_is_asked_again(forge: Forge, server: ForgeServer, status: int):
    faults: list[tuple[int, object, dict[str, str]]] = [(status, {}, {})] * 2
    server.fault = lambda method: faults.pop() if method == "GET" and faults else None
    assert forge.ensure(BRANCH, "main", MESSAGE).endswith("/1")


def test_a_forge_that_is_away_says_that_the_branch_is_pushed(forge: Forge, server: ForgeServer):
    server.fault = lambda method: (503, {}, {})
    with pytest.raises(errors.Unavailable, match="The branch is pushed; try again"):
        forge.ensure(BRANCH, "main", MESSAGE)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"Retry-After": "1"}),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{now}"}),
        (403, {"Retry-After": "1"}),
    ],
)
def test_a_short_limit_is_waited_for(
    forge: Forge, server: ForgeServer, monkeypatch: pytest.MonkeyPatch, status: int, headers: dict[str, str]
):
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    said = {name: value.format(now=int(time.time()) + 2) for name, value in headers.items()}
    faults = [(status, {"message": "API rate limit exceeded"}, said)]
    server.fault = lambda method: faults.pop() if method == "POST" and faults else None
    assert forge.ensure(BRANCH, "main", MESSAGE).endswith("/1")
    assert len(waits) == 1
    assert 0 <= waits[0] <= 2


def test_a_long_limit_is_told_and_not_waited_for(forge: Forge, server: ForgeServer):
    server.fault = lambda method: (429, {}, {"Retry-After": "3600"})
    with pytest.raises(errors.LimitReached, match="3600 s") as caught:
        forge.ensure(BRANCH, "main", MESSAGE)
    assert caught.value.details["seconds"] == 3600


def test_a_wrong_token_is_told_without_it(server: ForgeServer, tmp_path: Path):
    forge = connect(server, tmp_path, token="wr0ng")
    with pytest.raises(errors.SettingsError, match="PILOTAGE_FORGE_TOKEN_FILE") as caught:
        forge.ensure(BRANCH, "main", MESSAGE)
    assert "wr0ng" not in str(caught.value) + repr(caught.value.__cause__)


def test_a_repository_that_the_forge_does_not_know_is_told(server: ForgeServer, tmp_path: Path):
    forge = connect(server, tmp_path, url="https://forge.example/ops/other.git")
    with pytest.raises(errors.SettingsError, match="knows no such repository"):
        forge.ensure(BRANCH, "main", MESSAGE)


@pytest.mark.parametrize(
    "answer",
    [
        (422, {"message": "Validation Failed", "errors": [{"field": "base", "code": "invalid"}]}, {}),
        (400, {"message": {"base": ["is invalid"]}}, {}),
    ],
)
def test_a_refusal_says_why(forge: Forge, server: ForgeServer, answer: tuple[int, object, dict[str, str]]):
    server.fault = lambda method: answer if method == "POST" else None
    with pytest.raises(errors.Conflict, match="invalid"):
        forge.ensure(BRANCH, "main", MESSAGE)


def test_a_redirect_takes_the_token_nowhere(forge: Forge, server: ForgeServer):
    with serving(server.kind) as thief:
        server.fault = lambda method: (302, {}, {"Location": f"{thief.url}/repos/ops/live/pulls"})
        with pytest.raises(errors.Unavailable, match="status 302"):
            forge.ensure(BRANCH, "main", MESSAGE)
        assert thief.seen == []


def test_a_repository_on_no_forge_and_a_missing_token_are_told(tmp_path: Path):
    found = settings.load(forge="github")
    with pytest.raises(errors.SettingsError, match="PILOTAGE_FORGE_TOKEN_FILE is not set"):
        forges.connect(found, places.parse("https://github.com/ops/live"))
    (tmp_path / "token").write_text("x")
    found = settings.load(forge="github", forge_token_file=tmp_path / "token")
    with pytest.raises(errors.SettingsError, match="is on no forge"):
        forges.connect(found, places.parse(str(tmp_path)))


@pytest.mark.parametrize(
    ("kind", "url", "root"),
    [
        ("github", "git@github.com:ops/live.git", "https://api.github.com"),
        ("github", "https://git.example/ops/live", "https://git.example/api/v3"),
        ("gitlab", "ssh://git@git.example:22/group/sub/live.git", "https://git.example/api/v4"),
    ],
)
def test_the_api_is_where_the_repositorys_host_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, url: str, root: str
):
    roots: list[str] = []
    kept = clients.Client.__init__

    def note(self: clients.Client, found: Settings, at: str, *words: Any) -> None:
        roots.append(at)
        kept(self, found, at, *words)

    monkeypatch.setattr(clients.Client, "__init__", note)
    (tmp_path / "token").write_text("x")
    found = settings.load(forge=kind, forge_token_file=tmp_path / "token")
    assert forges.connect(found, places.parse(url)) is not None
    assert roots == [root]
