"""Pages of other sites, names that were pointed here, and tokens: what each can and cannot do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from tests.unit.console.browsers import add_user, bearer, browser, csrf, signed_in
from tests.unit.console.desks import actor

from pilotage.console.access import doors
from pilotage.console.access.accounts import UserState, parse_grant, text_of
from pilotage.console.access.actors import ALL, Actor, Grant, Permission, Role, meet
from pilotage.console.access.digests import digest_of
from pilotage.console.access.tokens import limited
from pilotage.console.operations.access import tokens, users
from pilotage.console.operations.desks import Desk
from pilotage.core import errors, settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

GRANTS = st.builds(Grant, st.sampled_from([ALL, "a", "b"]), st.sampled_from(list(Role)))
NEW_TOKEN = {"name": "x", "grants": ["viewer"], "days": 1}


def changed(desk: Desk) -> int:
    """How many changes were made."""
    return len(audits.read(desk.engine, limit=1000))


@pytest.mark.parametrize("shown", [None, "", "wrong", "é"])
def test_a_form_without_its_sessions_token_changes_nothing(desk: Desk, shown: str | None):
    client = signed_in(desk)
    before = changed(desk)
    form = {"name": "x", "role": "viewer", "days": "1"} | ({} if shown is None else {"csrf": shown})
    assert client.post("/settings/tokens", data=form).status_code == 403
    assert client.post("/api/v1/tokens", json=NEW_TOKEN).status_code == 403
    assert client.delete("/api/v1/tokens/x").status_code == 403
    assert client.put("/api/v1/users/ada/password", json={"password": "a fine password"}).status_code == 403
    assert client.patch("/api/v1/users/ada", json={}).status_code == 403
    assert changed(desk) == before


def test_the_token_of_another_session_is_wrong(desk: Desk):
    eve, ada = signed_in(desk, "eve"), signed_in(desk, "ada")
    before = changed(desk)
    answer = ada.post("/api/v1/tokens", json=NEW_TOKEN, headers={"X-CSRF-Token": csrf(eve)})
    assert answer.status_code == 403
    assert changed(desk) == before


def test_a_program_with_a_cookie_learns_the_token_and_may_then_change_something(desk: Desk):
    client = signed_in(desk)
    token = client.get("/api/v1/me").json()["csrf"]
    answer = client.post("/api/v1/tokens", json=NEW_TOKEN, headers={"X-CSRF-Token": token})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "https://127.0.0.1:8400"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_can_neither_change_nor_sign_in(desk: Desk, headers: dict[str, str]):
    client = signed_in(desk)
    before = changed(desk)
    form = {"csrf": csrf(client), "name": "x", "role": "viewer", "days": "1"}
    assert client.post("/settings/tokens", data=form, headers=headers).status_code == 403
    assert client.post("/sign-in", data={"name": "ada"}, headers=headers).status_code == 403
    assert browser(desk).post("/sign-in", data={"name": "ada"}, headers=headers).status_code == 403
    assert client.get("/settings", headers=headers).status_code == 200, (
        "a link from elsewhere may be followed"
    )
    assert changed(desk) == before


def test_our_own_pages_may(desk: Desk):
    client = signed_in(desk)
    form = {"csrf": csrf(client), "name": "x", "role": "viewer", "days": "1"}
    headers = {"Origin": "http://127.0.0.1:8400", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/settings/tokens", data=form, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "a@localhost",
        "localhost/x",
        "localhost?x",
        "localhost:x",
        "localhost:99999",
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8400",
        "",
        "[::1",
        "10.0.0.1:8400",
    ],
)
def test_a_name_that_was_pointed_here_is_not_answered(desk: Desk, host: str):
    answer = browser(desk).get("/sign-in", headers={"Host": host})
    assert answer.status_code == 422
    assert "PILOTAGE_CONSOLE_URL" in answer.json()["remedy"]


@pytest.mark.parametrize("host", ["127.0.0.1:8400", "localhost", "LOCALHOST:8400", "[::1]:8400", "127.8.8.8"])
def test_loopback_is_answered(desk: Desk, host: str):
    assert browser(desk).get("/sign-in", headers={"Host": host}).status_code == 200


def test_the_address_that_people_use_is_answered_and_no_other(home: Path):
    desk = Desk(settings.load(home=home, console_url="https://console.example.org/"))
    client = browser(desk)
    assert client.get("/sign-in", headers={"Host": "console.example.org"}).status_code == 200
    assert client.get("/sign-in", headers={"Host": "console.example.org:81"}).status_code == 422
    headers = {"Host": "console.example.org", "Origin": "https://console.example.org"}
    assert client.post("/sign-in", data={"name": "a"}, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "url", ["http://console.example.org", "console.example.org", "https://", "https://a:b@c", "ftp://x"]
)
def test_an_address_in_the_clear_is_no_setting(url: str, home: Path):
    with pytest.raises(errors.SettingsError, match="PILOTAGE_CONSOLE_URL"):
        settings.load(home=home, console_url=url)


@given(st.lists(GRANTS), st.lists(GRANTS))
def test_a_token_never_allows_more_than_its_owner_may_nor_than_it_says(held: list[Grant], asked: list[Grant]):
    owner, scope = Actor("o", frozenset(held)), Actor("s", frozenset(asked))
    token = Actor("t", limited(held, asked))
    for permission in Permission:
        for pilot in (ALL, "a", "b", "c"):
            both = owner.may(permission, pilot) and scope.may(permission, pilot)
            assert not token.may(permission, pilot) or both
    assert limited(held, held) >= frozenset(held)


@given(GRANTS, GRANTS)
def test_what_two_roles_have_in_common_is_a_role(left: Grant, right: Grant):
    found = meet(left, right)
    assert found == meet(right, left)
    assert (found is None) == (ALL not in (left.pilot, right.pilot) and left.pilot != right.pilot)


@given(GRANTS)
def test_a_role_is_read_as_it_is_written(grant: Grant):
    assert parse_grant(text_of(grant)) == grant


@pytest.mark.parametrize("text", ["", "root", "viewer@", "@a", "viewer a", "VIEWER"])
def test_what_is_no_role_is_refused(text: str):
    with pytest.raises(errors.SettingsError, match="is not a role"):
        parse_grant(text)


def test_a_token_is_kept_as_a_digest_and_needs_no_csrf_token(desk: Desk):
    add_user(desk, "ada", Grant(ALL, Role.ADMIN))
    client = bearer(desk, "ada", Grant(ALL, Role.ADMIN))
    secret = client.headers["authorization"].removeprefix("Bearer ")
    assert client.get("/api/v1/me").json()["csrf"] is None
    assert client.post("/api/v1/users/ada/grant", json={"role": "viewer", "pilot": "a"}).status_code == 200
    with desk.engine.connect() as connection:
        row = connection.execute(select(tables.tokens)).one()
    assert row.digest == digest_of(secret)
    assert secret not in str(row)
    assert secret.startswith("pilotage_")
    assert len(secret) == len("pilotage_") + 43


@pytest.mark.databases
def test_a_token_loses_what_its_owner_loses(desk: Desk):
    add_user(desk, "ada", Grant("a", Role.OPERATOR), Grant("b", Role.OPERATOR))
    client = bearer(desk, "ada", Grant("a", Role.OPERATOR), Grant("b", Role.VIEWER))
    assert held(client) == {("a", "operator"), ("b", "viewer")}
    users.take_role(desk, actor(), "ada", Grant("a", Role.OPERATOR))
    users.give_role(desk, actor(), "ada", Grant("a", Role.APPROVER))
    assert held(client) == {("a", "viewer"), ("b", "viewer")}
    users.change_user(desk, actor(), "ada", state=UserState.DISABLED)
    assert client.get("/api/v1/me").status_code == 401


def held(client: TestClient) -> set[tuple[str, str]]:
    """What whoever asks may do."""
    return {(grant["pilot"], grant["role"]) for grant in client.get("/api/v1/me").json()["grants"]}


def test_tokens_expire_and_are_revoked(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    add_user(desk, "ada", Grant(ALL, Role.VIEWER))
    old, revoked = (bearer(desk, "ada", Grant(ALL, Role.VIEWER), days=days) for days in (1, 5))
    listed = tokens.list_tokens(desk, actor(), user="ada").items
    tokens.revoke_token(desk, actor(), listed[0].id)
    tokens.revoke_token(desk, actor(), listed[0].id)
    assert "was revoked" in revoked.get("/api/v1/me").json()["detail"]
    assert old.get("/api/v1/me").status_code == 200
    later = tables.now() + timedelta(days=1)
    monkeypatch.setattr(tables, "now", lambda: later)
    assert "expired" in old.get("/api/v1/me").json()["detail"]


@pytest.mark.parametrize(
    "value",
    [
        "Bearer", "Bearer ", "bearer pilotage_", "Bearer nothing", "Bearer pilotage_" + "x" * 43,
        "Bearer pilotage_\ud800".encode("utf-8", "surrogatepass"), "Bearer a b", b"Bearer \xff\xfe",
    ],
)  # fmt: skip
def test_what_is_no_token_opens_nothing(desk: Desk, value: str | bytes):
    shown = value.encode() if isinstance(value, str) else value
    assert browser(desk).get("/api/v1/me", headers={b"Authorization": shown}).status_code == 401


def test_the_digest_of_a_token_is_none(desk: Desk):
    add_user(desk, "ada", Grant(ALL, Role.VIEWER))
    client = bearer(desk, "ada", Grant(ALL, Role.VIEWER))
    secret = client.headers["authorization"].removeprefix("Bearer ")
    for wrong in (digest_of(secret), secret[:-1], secret + "x", secret.upper()):
        answer = browser(desk).get("/api/v1/me", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401


def test_when_a_token_was_used_is_written_once_a_minute(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    add_user(desk, "ada", Grant(ALL, Role.VIEWER))
    client = bearer(desk, "ada", Grant(ALL, Role.VIEWER))
    start = tables.now()
    seen = set()
    for seconds in (0, 30, 59, 61, 90):
        monkeypatch.setattr(tables, "now", lambda seconds=seconds: start + timedelta(seconds=seconds))
        client.get("/api/v1/me")
        seen.add(tokens.list_tokens(desk, actor(), user="ada").items[0].used_at)
    assert seen == {start, start + timedelta(seconds=61)}


@pytest.mark.parametrize(
    ("grants", "asked"),
    [
        ([Grant("a", Role.OPERATOR)], Grant(ALL, Role.VIEWER)),
        ([Grant("a", Role.OPERATOR)], Grant("b", Role.VIEWER)),
        ([Grant("a", Role.OPERATOR)], Grant("a", Role.APPROVER)),
        ([Grant("a", Role.OPERATOR), Grant("a", Role.APPROVER)], Grant("a", Role.ADMIN)),
        ([], Grant("a", Role.VIEWER)),
    ],
)
def test_nobody_makes_a_token_that_may_more_than_they(desk: Desk, grants: list[Grant], asked: Grant):
    add_user(desk, "ada", *grants)
    ada = Actor("ada", frozenset(grants))
    with pytest.raises(errors.Forbidden, match="more than `ada` may"):
        tokens.make_token(desk, ada, "x", [asked], 1)
    with pytest.raises(errors.Forbidden, match="more than `ada` may"):
        tokens.make_token(desk, actor(), "x", [asked], 1, user="ada")
    with pytest.raises(errors.Forbidden, match="may not administer"):
        tokens.make_token(desk, Actor("eve", frozenset(grants)), "x", grants, 1, user="ada")


def test_a_token_may_hold_part_of_what_its_owner_holds_twice(desk: Desk):
    grants = [Grant("a", Role.OPERATOR), Grant(ALL, Role.VIEWER), Grant("a", Role.APPROVER)]
    add_user(desk, "ada", *grants)
    for asked in (grants, grants[:1], grants[1:]):
        made = tokens.make_token(desk, Actor("ada", frozenset(grants)), "x", asked, 1)
        assert set(made.grants) == {text_of(grant) for grant in asked}


def test_a_token_makes_no_token_that_outlives_it(desk: Desk):
    add_user(desk, "ada", Grant(ALL, Role.OPERATOR))
    client = bearer(desk, "ada", Grant(ALL, Role.OPERATOR))
    assert client.post("/api/v1/tokens", json=NEW_TOKEN | {"days": 365}).status_code == 403


def test_a_token_that_only_reads_ends_nothing_of_its_owners_but_itself(desk: Desk):
    owner = signed_in(desk, "ada", Grant(ALL, Role.VIEWER))
    other = tokens.make_token(desk, actor(Role.VIEWER, name="ada"), "x", [Grant(ALL, Role.VIEWER)], 1).id
    client = bearer(desk, "ada", Grant(ALL, Role.VIEWER))
    mine = client.get("/api/v1/me").json()["token"]
    (session,) = (item["id"] for item in owner.get("/api/v1/users/ada/sessions").json()["items"])
    before = changed(desk)
    assert client.delete(f"/api/v1/tokens/{other}").status_code == 404
    assert client.post(f"/settings/tokens/{other}/revoke").status_code == 404
    assert client.post("/api/v1/users/ada/sign-out").status_code == 403
    assert client.post("/settings/sign-out-everywhere").status_code == 403
    assert client.delete(f"/api/v1/users/ada/sessions/{session}").status_code == 403
    assert client.post(f"/settings/sessions/{session}/sign-out").status_code == 403
    assert changed(desk) == before
    assert owner.get("/settings").status_code == 200
    assert client.delete(f"/api/v1/tokens/{mine}").status_code == 200


def test_a_request_that_goes_on_is_of_the_same_roles_or_over(desk: Desk):
    client = signed_in(desk, "ada", Grant("a", Role.VIEWER))
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items()).encode()
    scope = {"type": "http", "app": client.app, "scheme": "http", "path": "/", "query_string": b""}
    request = Request({**scope, "headers": [(b"host", b"127.0.0.1:8400"), (b"cookie", cookie)]})
    who = doors.authenticate(request)
    assert doors.is_still(request, who)
    users.give_role(desk, actor(), "ada", Grant("b", Role.VIEWER))
    assert not doors.is_still(request, who)
    users.take_role(desk, actor(), "ada", Grant("b", Role.VIEWER))
    assert doors.is_still(request, who)
    client.post("/sign-out", data={"csrf": csrf(client)})
    assert not doors.is_still(request, who)


@pytest.mark.parametrize("days", [0, -1, 366, 10**9])
def test_no_token_is_for_ever(desk: Desk, days: int):
    client = signed_in(desk)
    headers = {"X-CSRF-Token": csrf(client)}
    answer = client.post("/api/v1/tokens", json=NEW_TOKEN | {"days": days}, headers=headers)
    assert answer.status_code == 422


def test_the_page_shows_a_token_once(desk: Desk):
    client = signed_in(desk)
    form = {"csrf": csrf(client), "name": "<b>nightly</b>", "role": "viewer", "days": "9"}
    made = client.post("/settings/tokens", data=form)
    assert "pilotage_" in made.text
    assert made.headers["cache-control"] == "no-store"
    later = client.get("/settings").text
    assert "pilotage_" not in later
    assert "&lt;b&gt;nightly&lt;/b&gt;" in later
    assert "<b>nightly" not in later


@pytest.mark.databases
def test_the_last_admin_stays(desk: Desk):
    add_user(desk, "ada", Grant(ALL, Role.ADMIN), Grant("a", Role.ADMIN))
    add_user(desk, "eve", Grant("a", Role.ADMIN), Grant(ALL, Role.OPERATOR))
    before = changed(desk)
    with pytest.raises(errors.Conflict, match="Nobody would be an admin"):
        users.take_role(desk, actor(), "ada", Grant(ALL, Role.ADMIN))
    with pytest.raises(errors.Conflict, match="Nobody would be an admin"):
        users.change_user(desk, actor(), "ada", state=UserState.DISABLED)
    assert changed(desk) == before
    assert users.get_user(desk, actor(), "ada").state == UserState.ACTIVE
    users.give_role(desk, actor(), "eve", Grant(ALL, Role.ADMIN))
    users.change_user(desk, actor(), "ada", state=UserState.DISABLED)
    with pytest.raises(errors.Conflict):
        users.take_role(desk, actor(), "eve", Grant(ALL, Role.ADMIN))


def test_the_admin_of_a_pilot_gives_roles_for_that_pilot_alone(desk: Desk):
    add_user(desk, "ada")
    eve = Actor("eve", frozenset({Grant("a", Role.ADMIN)}))
    users.give_role(desk, eve, "ada", Grant("a", Role.APPROVER))
    with pytest.raises(errors.Forbidden):
        users.give_role(desk, eve, "ada", Grant(ALL, Role.VIEWER))
    with pytest.raises(errors.NotFound):
        users.give_role(desk, eve, "ada", Grant("b", Role.VIEWER))


def test_the_admin_of_a_pilot_learns_nothing_else_about_a_user(desk: Desk):
    add_user(desk, "ada", Grant("b", Role.OPERATOR), Grant("a", Role.VIEWER), Grant(ALL, Role.APPROVER))
    eve = Actor("eve", frozenset({Grant("a", Role.ADMIN)}))
    for told in (
        users.give_role(desk, eve, "ada", Grant("a", Role.VIEWER)),
        users.take_role(desk, eve, "ada", Grant("a", Role.OPERATOR)),
    ):
        assert [(given.pilot, given.role) for given in told.grants] == [("a", Role.VIEWER)]
    assert len(users.give_role(desk, actor(), "ada", Grant("a", Role.VIEWER)).grants) == 3


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "*", "-a", "a" * 129, "openid:x", "é", "a\n"])
def test_names_that_cannot_be_told_apart_or_escaped_are_refused(desk: Desk, name: str):
    with pytest.raises(errors.SettingsError, match="cannot be the name"):
        users.add_user(desk, actor(), name)


def test_a_change_that_was_thought_for_another_state_is_refused(desk: Desk):
    client = signed_in(desk)
    add_user(desk, "eve")
    headers = {"X-CSRF-Token": csrf(client)}
    tag = client.get("/api/v1/users/eve").headers["etag"]
    first = client.patch("/api/v1/users/eve", json={"full_name": "Eve"}, headers={**headers, "If-Match": tag})
    second = client.patch("/api/v1/users/eve", json={"full_name": "E"}, headers={**headers, "If-Match": tag})
    assert (first.status_code, second.status_code) == (200, 412)
    assert second.json()["type"] == "urn:pilotage:problem:outdated"
    assert client.get("/api/v1/users/eve").json()["full_name"] == "Eve"


@pytest.mark.databases
def test_listing_many_tokens_comes_in_pages(desk: Desk):
    add_user(desk, "ada", Grant(ALL, Role.VIEWER))
    made = [
        tokens.make_token(desk, actor(), f"t{n}", [Grant(ALL, Role.VIEWER)], 1, user="ada").id
        for n in range(5)
    ]
    found, cursor = [], None
    while True:
        listing = tokens.list_tokens(desk, actor(), user="ada", cursor=cursor, limit=2)
        found += [token.id for token in listing.items]
        cursor = listing.next
        if cursor is None:
            break
    assert found == made[::-1]
    with desk.engine.begin() as connection:
        connection.execute(update(tables.tokens), {"created_at": tables.now()})
    first = tokens.list_tokens(desk, actor(), user="ada", limit=2)
    rest = tokens.list_tokens(desk, actor(), user="ada", cursor=first.next, limit=200)
    assert sorted(token.id for token in (*first.items, *rest.items)) == sorted(made)
