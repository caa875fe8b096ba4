"""Signing in at a real, small OpenID provider: who comes in, and every lie that must not be believed."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import RSAKey
from sqlalchemy import select, update
from tests.unit.console.access.openid import CLIENT, SECRET, Provider, providing
from tests.unit.console.browsers import add_user, browser
from tests.unit.console.desks import actor

from pilotage.console.access import identities, links, providers
from pilotage.console.access.accounts import UserState
from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.operations.access import users
from pilotage.console.operations.desks import Desk
from pilotage.core import errors, settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    """One provider for all tests."""
    with providing() as found:
        yield found


@pytest.fixture
def provider(running: Provider) -> Iterator[Provider]:
    """A provider that tells the truth."""
    providers._discover.cache_clear()
    kept = dict(vars(running))
    yield running
    vars(running).update(kept, codes={})
    running.claims, running.metadata = {}, {}
    running.person = {"sub": "1234", "preferred_username": "Ada", "name": "Ada L."}


@pytest.fixture
def desk(provider: Provider, home: Path) -> Desk:
    """An installation that signs in there."""
    return Desk(open_settings(provider, home))


def open_settings(provider: Provider, home: Path, **more: Any) -> settings.Settings:
    """Settings that name the provider."""
    named = {"oidc_issuer": provider.url, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    return settings.load(home=home, **{**named, "oidc_roles_claim": "groups", **more})


def go(client: TestClient, following: str = "/") -> str:
    """Begin, agree at the provider; returns the path that it sends back to."""
    begun = client.get("/sign-in/oidc", params={"next": following})
    assert begun.status_code == 303, begun.text
    there = httpx.get(begun.headers["location"])
    return there.headers["location"].removeprefix("http://127.0.0.1:8400")


def test_somebody_whom_the_provider_knows_comes_in(desk: Desk):
    client = browser(desk)
    answer = client.get(go(client, "/settings?a=1"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings?a=1")
    assert client.get("/api/v1/me").json()["name"] == "ada"
    found = users.get_user(desk, actor(), "ada")
    assert (found.full_name, found.issuer, found.has_password) == ("Ada L.", desk.settings.oidc_issuer, False)
    assert [line.action for line in audits.read(desk.engine)] == ["sign_in", "add_user"]


def test_the_button_is_there_where_a_provider_is(desk: Desk):
    assert "/sign-in/oidc" in browser(desk).get("/sign-in").text


def test_roles_follow_the_claim_and_those_of_admins_stay(desk: Desk, provider: Provider):
    client = browser(desk)
    provider.claims = {"groups": ["staff", "pilotage:operator@flights", "pilotage:viewer", "pilotage:k", 7]}
    client.get(go(client))
    assert roles(desk) == {"operator@flights", "viewer"}
    users.give_role(desk, actor(), "ada", Grant("other", Role.APPROVER))
    provider.claims = {"groups": "pilotage:viewer, pilotage:admin@x"}
    client.get(go(client))
    assert roles(desk) == {"viewer", "admin@x", "approver@other"}
    provider.claims = {}
    client.get(go(client))
    assert roles(desk) == {"approver@other"}


def roles(desk: Desk) -> set[str]:
    """What the user `ada` was given."""
    found = users.get_user(desk, actor(), "ada").grants
    return {given.role if given.pilot == ALL else f"{given.role}@{given.pilot}" for given in found}


@pytest.mark.parametrize(
    ("claims", "claim", "expected"),
    [
        ({"a": {"b": ["pilotage:viewer"]}}, "a.b", {"viewer"}),
        ({"a.b": ["pilotage:viewer"], "a": {"b": ["pilotage:admin"]}}, "a.b", {"viewer"}),
        ({"a": "pilotage:viewer"}, "a.b", set()),
        ({"a": {"b": 1}}, "a.b", set()),
        ({"a": ["admin", "viewer", "pilotage:", "pilotage:admin@", "xpilotage:admin"]}, "a", set()),
    ],
)
def test_claims_give_what_they_say_and_nothing_else(claims: dict[str, Any], claim: str, expected: set[str]):
    assert {str(grant.role) for grant in identities.roles_of(claims, claim)} == expected


def test_a_name_that_is_taken_stays_with_its_user(desk: Desk, provider: Provider):
    add_user(desk, "ada", Grant(ALL, Role.ADMIN))
    client = browser(desk)
    client.get(go(client))
    name = client.get("/api/v1/me").json()["name"]
    assert name.startswith("ada-")
    assert users.get_user(desk, actor(), "ada").issuer is None
    assert client.get("/settings/users").status_code == 403


@pytest.mark.parametrize("name", ["../../x", "<script>", "", None, "Ä" * 500, "openid:x", "a\x00b"])
def test_whatever_a_person_is_called_there_the_name_here_is_one(desk: Desk, provider: Provider, name: Any):
    provider.person = {"sub": "77", "preferred_username": name}
    client = browser(desk)
    assert client.get(go(client)).status_code == 303
    assert client.get("/settings").status_code == 200


def test_nobody_at_the_provider_is_whoever_is_at_this_machine(desk: Desk, provider: Provider):
    provider.person = {"sub": "77", "preferred_username": links.LOCAL}
    client = browser(desk)
    client.get(go(client))
    links.create_link(desk)
    found = {user.name: user for user in users.list_users(desk, actor()).items}
    assert found[links.LOCAL].issuer is None
    assert [given.role for given in found[links.LOCAL].grants] == [Role.ADMIN]
    assert len(found) == 2


def test_somebody_stays_the_same_user_whatever_they_are_called(desk: Desk, provider: Provider):
    for name in ("Ada", "Countess"):
        provider.person = {"sub": "1234", "preferred_username": name}
        client = browser(desk)
        client.get(go(client))
        assert client.get("/api/v1/me").json()["name"] == "ada"


def test_who_is_disabled_here_does_not_come_in(desk: Desk):
    client = browser(desk)
    client.get(go(client))
    users.change_user(desk, actor(), "ada", state=UserState.DISABLED)
    again = browser(desk)
    answer = again.get(go(again))
    assert answer.status_code == 401
    assert "is disabled" in answer.text


def unsigned(claims: dict[str, Any]) -> str:
    """An id token whose header says that it needs no signature."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


LIES: dict[str, dict[str, Any]] = {
    "nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "audience": {"aud": "another client"},
    "audiences without a party": {"aud": [CLIENT, "other"], "azp": "other"},
    "issuer": {"iss": "https://evil.example"},
    "no subject": {"sub": None},
    "expired": {"exp": int(time.time()) - 300},
    "no expiry": {"exp": None},
    "not yet": {"nbf": int(time.time()) + 3600},
    "from the future": {"iat": int(time.time()) + 3600},
}


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_token_that_is_wrong_is_not_believed(desk: Desk, provider: Provider, lie: str):
    provider.claims = LIES[lie]
    refuse(desk)


def test_a_token_without_a_signature_is_not_believed(desk: Desk, provider: Provider):
    provider.sign = unsigned
    refuse(desk)


def test_a_token_of_another_key_is_not_believed(desk: Desk, provider: Provider):
    other = RSAKey.generate_key(2048, {"kid": "one"}, private=True, auto_kid=False)
    provider.sign = lambda claims: provider.signed(claims, other)
    refuse(desk)
    provider.sign = lambda claims: provider.signed(claims, kid="two")
    refuse(desk)


def test_a_public_key_is_no_secret_to_sign_with(desk: Desk, provider: Provider):
    def confused(claims: dict[str, Any]) -> str:
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "one"}, claims)]
        text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        digest = hmac.digest(provider.key.as_pem(private=False), text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"

    provider.sign = confused
    refuse(desk)


def test_a_token_that_was_changed_is_not_believed(desk: Desk, provider: Provider):
    def changed(claims: dict[str, Any]) -> str:
        head, _, signature = provider.signed(claims).split(".")
        body = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "1"}).encode()).decode().rstrip("=")
        return f"{head}.{body}.{signature}"

    provider.sign = changed
    refuse(desk)
    for rubbish in ("", "a.b", "a.b.c", "…"):
        provider.sign = partial(said, rubbish)
        refuse(desk)


def said(text: str, _: dict[str, Any]) -> str:
    """`text` as an id token, whatever the claims."""
    return text


def refuse(desk: Desk) -> None:
    """Nobody comes in, and nobody is added."""
    client = browser(desk)
    answer = client.get(go(client))
    assert answer.status_code == 401, answer.text
    assert client.get("/").status_code == 303
    with desk.engine.connect() as connection:
        assert connection.execute(select(tables.users)).all() == []
        assert connection.execute(select(tables.web_sessions)).all() == []


def test_a_state_is_used_once_and_by_the_browser_that_began(desk: Desk, provider: Provider):
    client = browser(desk)
    back = go(client)
    victim = browser(desk)
    assert victim.get(back).status_code == 401
    assert "not begun in this browser" in victim.get(back).text
    assert client.get(back.replace("state=", "state=x")).status_code == 401
    cookie = client.cookies["pilotage-oidc"]
    assert client.get(back).status_code == 303
    client.cookies.set("pilotage-oidc", cookie, path=providers.CALLBACK)
    assert client.get(back).status_code == 401


def test_a_code_that_was_used_is_refused_by_the_provider_and_so_by_us(desk: Desk, provider: Provider):
    client = browser(desk)
    back = go(client)
    provider.codes.clear()
    answer = client.get(back)
    assert answer.status_code == 401
    assert "invalid_grant" in answer.text


def test_a_sign_in_that_takes_too_long_is_begun_again(desk: Desk):
    client = browser(desk)
    back = go(client)
    with desk.engine.begin() as connection:
        connection.execute(update(tables.oidc_requests), {"expires_at": tables.now()})
    assert client.get(back).status_code == 401


def test_what_the_provider_refuses_is_told(desk: Desk):
    answer = browser(desk).get("/sign-in/oidc/callback?error=access_denied&state=x")
    assert answer.status_code == 401
    assert "access_denied" in answer.text
    hostile = browser(desk).get("/sign-in/oidc/callback?error=%3Cscript%3E&state=x")
    assert "<script>alert" not in hostile.text
    assert "&lt;script&gt;" in hostile.text


def test_a_wrong_secret_is_told_as_what_it_is(provider: Provider, home: Path):
    client = browser(Desk(open_settings(provider, home, oidc_client_secret="wrong")))
    answer = client.get(go(client))
    assert answer.status_code == 401
    assert "invalid_client" in answer.text


def test_the_secret_may_be_in_a_file_and_is_never_told(provider: Provider, home: Path, tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    found = open_settings(provider, home, oidc_client_secret="", oidc_client_secret_file=file)
    client = browser(Desk(found))
    assert client.get(go(client)).status_code == 303
    assert SECRET not in repr(open_settings(provider, home))


@pytest.mark.parametrize(
    ("metadata", "status", "told"),
    [
        ({"issuer": "https://other.example"}, 422, "is of the issuer"),
        ({"token_endpoint": "http://evil.example/token"}, 422, "no https:// URL"),
        ({"jwks_uri": "file:///etc/passwd"}, 422, "no https:// URL"),
        ({"authorization_endpoint": None}, 422, "no https:// URL"),
    ],
)
def test_a_provider_that_is_set_up_wrong_is_told(
    desk: Desk, provider: Provider, metadata: dict[str, Any], status: int, told: str
):
    provider.metadata = metadata
    answer = browser(desk).get("/sign-in/oidc")
    assert answer.status_code == status
    assert told in answer.text


def test_a_provider_that_does_not_answer_is_told(home: Path):
    found = settings.load(home=home, oidc_issuer="http://127.0.0.1:1", oidc_client_id="x")
    answer = browser(Desk(found)).get("/sign-in/oidc")
    assert answer.status_code == 503
    assert "PILOTAGE_OIDC_ISSUER" in answer.text


def test_without_a_provider_there_is_none(home: Path):
    answer = browser(Desk(settings.load(home=home))).get("/sign-in/oidc")
    assert answer.status_code == 422
    with pytest.raises(errors.SettingsError, match="PILOTAGE_OIDC_ISSUER"):
        settings.load(home=home, oidc_issuer="http://login.example.org")
