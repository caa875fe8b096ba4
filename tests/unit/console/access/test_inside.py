"""Names inside a cluster: programs with tokens are answered there over plain http, people elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from tests.unit.console.browsers import PASSWORD, add_user, bearer, browser

from pilotage.console import applications
from pilotage.console.access import doors
from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.operations.desks import Desk
from pilotage.console.remotes.clients import Remote
from pilotage.console.supervision import replicas
from pilotage.core import errors, settings

INSIDE = "pilotage-console.pilotage.svc"
PEOPLE = "https://console.example.org"


@pytest.fixture
def cluster(home: Path) -> Desk:
    """The desk of an installation in a cluster."""
    return Desk(settings.load(home=home, console_url=PEOPLE, inside_hosts=(INSIDE,)))


def token(desk: Desk, user: str, role: Role) -> dict[str, str]:
    """The header of a program of `user`."""
    return {"Authorization": bearer(desk, user, Grant(ALL, role)).headers["authorization"]}


def test_a_program_with_a_token_is_answered_inside(cluster: Desk) -> None:
    program = browser(cluster, url=f"http://{INSIDE}:8000", address="10.1.0.9")
    add_user(cluster, "nightly", Grant(ALL, Role.VIEWER))
    answer = program.get("/api/v1/pilots", headers=token(cluster, "nightly", Role.VIEWER))
    assert (answer.status_code, answer.json()["items"]) == (200, [])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/sign-in"),
        ("POST", "/sign-in"),
        ("GET", "/api/v1/pilots"),
        ("GET", "/static/app.js"),
    ],
)
def test_nobody_signs_in_inside_where_their_cookie_would_go_in_the_clear(
    cluster: Desk, method: str, path: str
) -> None:
    add_user(cluster, "ada", Grant(ALL, Role.ADMIN))
    client = browser(cluster, url=f"http://{INSIDE}:8000", address="10.1.0.9")
    form = {"name": "ada", "password": PASSWORD} if method == "POST" else None
    answer = client.request(method, path, data=form)
    assert answer.status_code == 403
    assert PEOPLE in answer.json()["remedy"]
    assert "set-cookie" not in answer.headers


def test_a_token_opens_no_page_inside(cluster: Desk) -> None:
    add_user(cluster, "nightly", Grant(ALL, Role.ADMIN))
    client = browser(cluster, url=f"http://{INSIDE}:8000")
    assert client.get("/", headers=token(cluster, "nightly", Role.ADMIN)).status_code == 403


def test_other_names_stay_refused(cluster: Desk) -> None:
    assert browser(cluster, url="http://pilotage-console.other.svc:8000").get("/").status_code == 422
    assert browser(cluster, url=PEOPLE).get("/sign-in").status_code == 200


@pytest.mark.parametrize("url", [f"http://{INSIDE}:8000", f"https://{INSIDE}", "http://127.0.0.1:8000"])
def test_commands_send_their_token_to_hosts_inside(url: str) -> None:
    assert Remote(settings.load(url=url, token="t", inside_hosts=(INSIDE,))).url == url


def test_commands_send_their_token_nowhere_else_in_the_clear() -> None:
    with pytest.raises(errors.SettingsError, match="could read the token"):
        Remote(settings.load(url="http://console.example.org", token="t", inside_hosts=(INSIDE,)))


def told_address(desk: Desk, peer: str, forwarded: str) -> str:
    """Where a failed attempt to sign in came from, as the limit of attempts sees it."""
    app = applications.create(desk, doors.authenticate)
    seen: list[str] = []

    @app.get("/where")
    def where(request: Request) -> str:
        seen.append(f"{doors.address_of(request)} {request.url.scheme}")
        return ""

    config = replicas._config(app, desk.settings, "0.0.0.0", 8000)
    config.load()
    client = TestClient(config.loaded_app, base_url="http://127.0.0.1", client=(peer, 4242))
    client.get("/where", headers={"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"})
    return seen[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.2.0.7", "203.0.113.9", "203.0.113.9 https"),
        ("10.2.0.7", "198.51.100.1, 203.0.113.9", "203.0.113.9 https"),
        ("10.3.0.7", "203.0.113.9", "10.3.0.7 http"),
    ],
    ids=["a proxy of ours", "what the caller made up", "a pod that is no proxy"],
)
def test_forwarded_addresses_are_believed_of_trusted_proxies_alone(
    home: Path, peer: str, forwarded: str, expected: str
) -> None:
    desk = Desk(settings.load(home=home, console_url=PEOPLE, trusted_proxies=("10.2.0.0/16",)))
    assert told_address(desk, peer, forwarded) == expected


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("trusted_proxies", ("everybody",), "no address or network"),
        ("trusted_proxies", ("0.0.0.0/0",), "say to be anybody"),
        ("trusted_proxies", ("::/0",), "say to be anybody"),
        ("inside_hosts", ("http://console",), "no name of a host"),
        ("inside_hosts", ("console:8000",), "no name of a host"),
    ],
)
def test_settings_that_would_trust_too_much_are_refused(name: str, value: tuple[str, ...], said: str) -> None:
    with pytest.raises(errors.SettingsError, match=said):
        settings.load(**{name: value})


def test_a_console_beyond_loopback_needs_the_address_that_people_use(home: Path) -> None:
    with pytest.raises(errors.SettingsError, match="PILOTAGE_CONSOLE_URL"):
        replicas.require_address(settings.load(home=home), "0.0.0.0")
    replicas.require_address(settings.load(home=home), "127.0.0.1")
    replicas.require_address(settings.load(home=home, console_url=PEOPLE), "::")
    with pytest.raises(errors.SettingsError, match="PILOTAGE_CONSOLE_URL"):
        settings.load(console_url="http://console.example.org")
