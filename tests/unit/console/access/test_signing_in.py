"""Coming in by password or link: who may, for how long, from where, and what is kept of the secrets."""

from __future__ import annotations

import base64
import logging
import threading
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update
from tests.unit.console.browsers import PASSWORD, URL, add_user, browser, csrf, sign_in, signed_in
from tests.unit.console.desks import actor

from pilotage.console.access import attempts, doors, links, passwords
from pilotage.console.access.accounts import UserState
from pilotage.console.access.actors import ALL, Grant, Permission, Role
from pilotage.console.access.digests import digest_of
from pilotage.console.operations.access import users
from pilotage.console.operations.desks import Desk
from pilotage.core import errors, settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

ADMIN = Grant(ALL, Role.ADMIN)


def everything(desk: Desk) -> str:
    """All rows of all tables."""
    with desk.engine.connect() as connection:
        return "\n".join(
            str(connection.execute(select(table)).all()) for table in tables.metadata.sorted_tables
        )


def test_a_hash_of_production_is_argon2id_with_its_recommended_cost():
    held = PasswordHasher().hash(PASSWORD)
    assert held.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.is_outdated(held), "these tests have a hasher of their own"


def test_a_password_opens_the_door_and_is_kept_nowhere(desk: Desk, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    client = signed_in(desk)
    cookie = client.cookies["pilotage-8400"]
    assert client.get("/").status_code == 200
    told = everything(desk) + caplog.text
    assert PASSWORD not in told
    assert cookie not in told
    assert digest_of(cookie) in everything(desk)
    assert "$argon2id$" in everything(desk)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "wrong wrong wrong"),
        ("nobody", PASSWORD),
        ("", ""),
        ("ada", ""),
        ("gone", PASSWORD),
        ("link", ""),
    ],
)
def test_every_refusal_says_the_same(desk: Desk, name: str, password: str):
    add_user(desk, "ada", ADMIN)
    add_user(desk, "gone")
    add_user(desk, "link", password=None)
    users.change_user(desk, actor(), "gone", state=UserState.DISABLED)
    answer = sign_in(browser(desk), name, password)
    assert answer.status_code == 401
    assert "The name or the password is wrong." in answer.text
    assert "pilotage-8400" not in answer.cookies


def test_an_unknown_user_costs_a_hash_as_a_known_one_does(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    add_user(desk, "ada", ADMIN)
    add_user(desk, "link", password=None)
    hashed: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, held: str | bytes, password: str | bytes) -> Literal[True]:
            hashed.append(str(held))
            return super().verify(held, password)

    monkeypatch.setattr(passwords, "_HASHER", Counting())
    for name in ("ada", "nobody", "link"):
        sign_in(browser(desk), name, "wrong wrong wrong")
    assert len(hashed) == 3


@pytest.mark.parametrize(
    "password", ["", "short", "a" * 12, "ab" * 10, "x" * 257, "correcthorse@example", "elpmaxe@esrohtcerroc"]
)
def test_weak_passwords_are_refused(desk: Desk, password: str):
    with pytest.raises(errors.SettingsError, match="The password"):
        users.add_user(desk, actor(), "correcthorse@example", password=password)
    assert audits.read(desk.engine) == []


@pytest.mark.parametrize("password", ["cafe\u0301 cafe\u0301 latte", "caf\u00e9 caf\u00e9 latte"])
def test_a_password_is_the_same_however_its_letters_are_composed(password: str):
    held = passwords.hash_password("caf\u00e9 caf\u00e9 latte", "ada")
    assert passwords.is_right(held, password)


def test_letters_that_are_none_are_wrong_and_no_failure():
    held = passwords.hash_password(PASSWORD, "ada")
    assert not passwords.is_right(held, "\ud800" * 20)
    assert not passwords.is_right("no hash", PASSWORD)


def test_an_old_hash_is_made_anew_at_the_next_sign_in(desk: Desk):
    add_user(desk, "ada", ADMIN)
    old = PasswordHasher(time_cost=1, memory_cost=512, parallelism=1).hash(PASSWORD)
    with desk.engine.begin() as connection:
        connection.execute(update(tables.users), {"password": old})
    assert sign_in(browser(desk), "ada").status_code == 303
    with desk.engine.connect() as connection:
        held = connection.execute(select(tables.users.c.password)).scalar_one()
    assert held != old
    assert not passwords.is_outdated(held)
    assert sign_in(browser(desk), "ada").status_code == 303


def test_too_many_failures_have_to_wait_and_success_forgets_them(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    add_user(desk, "ada", ADMIN)
    client = browser(desk)
    assert [sign_in(client, "ada", "wrong wrong wrong").status_code for _ in range(6)] == [401] * 5 + [429]
    answer = sign_in(client, "ada")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert sign_in(browser(desk, address="203.0.113.9"), "ADA ").status_code == 429
    add_user(desk, "eve", ADMIN)
    assert sign_in(client, "eve").status_code == 303
    later = tables.now() + timedelta(seconds=3)
    monkeypatch.setattr(tables, "now", lambda: later)
    assert sign_in(client, "ada", csrf=csrf(client)).status_code == 303
    with desk.engine.connect() as connection:
        keys = connection.execute(select(tables.sign_in_attempts.c.key)).scalars().all()
    assert digest_of("name ada") not in keys
    assert "ada" not in keys


def test_waiting_doubles_up_to_a_quarter_of_an_hour_and_failures_are_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    moment = tables.now()
    monkeypatch.setattr(tables, "now", lambda: moment)
    waits = []
    for _ in range(20):
        try:
            with attempts.counted(desk.engine, "ada", "203.0.113.1"):
                pass
        except errors.LimitReached as error:
            waits.append(error.details["seconds"])
            moment += timedelta(seconds=waits[-1])
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) <= 900
    moment += timedelta(hours=1, seconds=1)
    with attempts.counted(desk.engine, "ada", "203.0.113.1"):
        pass
    with desk.engine.connect() as connection:
        assert len(connection.execute(select(tables.sign_in_attempts)).all()) == 2


@pytest.mark.databases
def test_many_at_once_are_no_way_around_the_limit(desk: Desk):
    passed: list[bool] = []

    def attempt() -> None:
        try:
            with attempts.counted(desk.engine, "ada", "203.0.113.1"):
                passed.append(True)
        except errors.LimitReached:
            passed.append(False)

    threads = [threading.Thread(target=attempt) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 16
    assert sum(passed) == 5


def test_an_address_is_limited_whatever_names_it_tries(desk: Desk):
    for number in range(20):
        with attempts.counted(desk.engine, f"user{number}", "2001:db8::1"):
            pass
    with pytest.raises(errors.LimitReached), attempts.counted(desk.engine, "other", "2001:db8::ffff:1"):
        pass
    with attempts.counted(desk.engine, "other", "2001:db8:0:1::1"):
        pass
    assert attempts.network_of("::ffff:10.0.0.1") == "10.0.0.1"


def test_a_cookie_is_out_of_reach_of_scripts_and_bound_to_https_where_there_is_some(home: Path):
    desk = Desk(settings.load(home=home, console_url="https://console.example.org"))
    add_user(desk, "ada", ADMIN)
    near = sign_in(browser(desk), "ada").headers["set-cookie"]
    assert near.startswith("pilotage-8400=")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(near.split("; "))
    assert "Secure" not in near
    far = browser(desk, url="http://console.example.org", address="203.0.113.5")
    answer = sign_in(far, "ada")
    assert answer.headers["set-cookie"].startswith("__Host-pilotage=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} <= set(answer.headers["set-cookie"].split("; "))
    assert "max-age=" in answer.headers["strict-transport-security"]


def test_signing_in_again_ends_the_session_before(desk: Desk):
    client = signed_in(desk)
    before = client.cookies["pilotage-8400"]
    assert sign_in(client, "ada", csrf=csrf(client)).status_code == 303
    assert client.cookies["pilotage-8400"] != before
    thief = browser(desk)
    thief.cookies.set("pilotage-8400", before)
    assert thief.get("/").status_code == 303


def test_a_cookie_that_others_planted_is_never_taken_over(desk: Desk):
    add_user(desk, "ada", ADMIN)
    client = browser(desk)
    client.cookies.set("pilotage-8400", "planted", domain="127.0.0.1", path="/")
    answer = sign_in(client, "ada")
    assert "planted" not in answer.headers["set-cookie"]


@pytest.mark.parametrize(("hours", "valid"), [(11.9, True), (12.1, False)])
def test_disuse_ends_a_session(desk: Desk, monkeypatch: pytest.MonkeyPatch, hours: float, valid: bool):
    client = signed_in(desk)
    later = tables.now() + timedelta(hours=hours)
    monkeypatch.setattr(tables, "now", lambda: later)
    assert (client.get("/").status_code == 200) is valid


def test_use_keeps_a_session_but_not_for_ever(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    client = signed_in(desk)
    moment = tables.now()
    monkeypatch.setattr(tables, "now", lambda: moment)
    days = 0.0
    while client.get("/").status_code == 200:
        moment += timedelta(hours=10)
        days += 10 / 24
    assert 6.5 < days <= 7.5


def test_whoever_is_disabled_or_loses_a_role_feels_it_at_once(desk: Desk):
    client = signed_in(desk, "eve")
    add_user(desk, "ada", ADMIN)
    users.take_role(desk, actor(), "eve", ADMIN)
    assert client.get("/settings/users").status_code == 403
    users.change_user(desk, actor(), "eve", state=UserState.DISABLED)
    assert client.get("/").status_code == 303
    users.change_user(desk, actor(), "eve", state=UserState.ACTIVE)
    assert client.get("/").status_code == 303, "what was signed out stays signed out"


def test_signing_out_ends_the_session_not_only_the_cookie(desk: Desk):
    client = signed_in(desk)
    cookie = client.cookies["pilotage-8400"]
    assert client.post("/sign-out", data={"csrf": csrf(client)}).headers["location"] == "/sign-in"
    again = browser(desk)
    again.cookies.set("pilotage-8400", cookie)
    assert again.get("/").status_code == 303


@pytest.mark.databases
def test_signing_out_everywhere_reaches_all_browsers(desk: Desk):
    first = signed_in(desk)
    second = browser(desk)
    sign_in(second, "ada")
    answer = first.post("/settings/sign-out-everywhere", data={"csrf": csrf(first)})
    assert answer.status_code == 303
    assert [client.get("/").status_code for client in (first, second)] == [303, 303]


def test_a_new_password_signs_out_every_other_browser(desk: Desk):
    first = signed_in(desk)
    second = browser(desk)
    sign_in(second, "ada")
    form = {"csrf": csrf(first), "current": PASSWORD, "password": "another good one"}
    assert first.post("/settings/password", data={**form, "current": "wrong"}).status_code == 303
    assert second.get("/").status_code == 200
    first.post("/settings/password", data=form)
    assert [client.get("/").status_code for client in (first, second)] == [200, 303]
    assert sign_in(browser(desk), "ada").status_code == 401
    assert sign_in(browser(desk), "ada", "another good one").status_code == 303


def test_a_link_signs_in_once_with_a_button(desk: Desk):
    link = links.create_link(desk)
    client = browser(desk)
    for _ in range(3):
        assert "<button" in client.get(link).text, "looking at it uses nothing up"
    assert client.post(link).status_code == 303
    assert client.get("/api/v1/me").json()["name"] == "local"
    assert client.get("/api/v1/me").json()["permissions"] == list(Permission)
    again = browser(desk).post(link)
    assert again.status_code == 401
    assert "pilotage sign-in" in again.text
    assert link.rpartition("/")[2] not in everything(desk)


@pytest.mark.databases
def test_of_many_who_use_a_link_at_once_one_comes_in(desk: Desk):
    link = links.create_link(desk).rpartition("/")[2]
    came: list[str] = []

    def use() -> None:
        try:
            came.append(links.use(desk, link))
        except errors.Unauthenticated:
            pass

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came == ["local"]


def test_a_link_is_too_old_after_ten_minutes(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    link = links.create_link(desk)
    later = tables.now() + timedelta(minutes=10, seconds=1)
    monkeypatch.setattr(tables, "now", lambda: later)
    assert browser(desk).post(link).status_code == 401


def test_a_link_is_for_this_machine_alone(home: Path):
    desk = Desk(settings.load(home=home, console_url="https://console.example.org"))
    link = links.create_link(desk)
    assert browser(desk, address="203.0.113.7").post(link).status_code == 403
    assert browser(desk, url="https://console.example.org").post(link).status_code == 403
    assert browser(desk).post(link).status_code == 303


def test_no_link_is_made_for_somebody_who_may_not_come_in(desk: Desk):
    with pytest.raises(errors.NotFound, match="no user `eve`"):
        links.create_link(desk, "eve")
    links.create_link(desk)
    add_user(desk, "ada", ADMIN)
    users.change_user(desk, actor(), "local", state=UserState.DISABLED)
    with pytest.raises(errors.NotFound):
        links.create_link(desk)


@pytest.mark.parametrize(
    "text",
    [
        "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "\\\\evil",
        "evil",
        "/\tevil", "/\r\nSet-Cookie: a=b", "", "/é", "///evil.example",
    ],
)  # fmt: skip
def test_after_signing_in_nobody_is_sent_elsewhere(desk: Desk, text: str):
    assert doors.next_of(text) == "/"
    add_user(desk, "ada", ADMIN)
    assert sign_in(browser(desk), "ada", next=text).headers["location"] == "/"


def test_who_is_not_signed_in_comes_back_to_the_page_they_asked_for(desk: Desk):
    add_user(desk, "ada", ADMIN)
    client = browser(desk)
    sent = client.get("/settings/users?search=a%26b").headers["location"]
    assert sent == "/sign-in?next=%2Fsettings%2Fusers%3Fsearch%3Da%2526b"
    assert 'value="/settings/users?search=a%26b"' in client.get(sent).text
    answer = sign_in(client, "ada", next="/settings/users?search=a%26b")
    assert answer.headers["location"] == "/settings/users?search=a%26b"


def test_parts_of_pages_and_programs_are_told_and_not_redirected(desk: Desk):
    client = browser(desk)
    part = client.get("/", headers={"HX-Request": "true", "HX-Current-URL": f"{URL}/settings?x=1"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/sign-in?next=%2Fsettings%3Fx%3D1")
    assert client.get("/", headers={"Accept": "text/event-stream"}).status_code == 401
    program = client.get("/api/v1/me")
    assert (program.status_code, program.headers["content-type"]) == (401, "application/problem+json")
    assert program.headers["www-authenticate"].startswith("Bearer")


def test_signing_in_and_what_follows_is_in_the_audit(desk: Desk):
    client = signed_in(desk)
    client.post("/settings/sign-out-everywhere", data={"csrf": csrf(client)})
    lines = [(line.who, line.action) for line in audits.read(desk.engine)]
    assert lines == [("ada", "sign_out"), ("ada", "sign_in"), ("admin", "add_user")]


def test_signing_out_is_in_the_audit_once(desk: Desk):
    client = signed_in(desk)
    form = {"csrf": csrf(client)}
    cookies = dict(client.cookies)
    client.post("/sign-out", data=form)
    client.cookies.update(cookies)
    client.post("/sign-out", data=form)
    lines = [(line.who, line.action) for line in audits.read(desk.engine)]
    assert lines == [("ada", "sign_out"), ("ada", "sign_in"), ("admin", "add_user")]


@pytest.mark.parametrize("address", ["http://[", "http://[::1", "//", "http://a]b"])
def test_a_part_of_a_page_that_says_nonsense_of_its_page_is_told_to_sign_in(desk: Desk, address: str):
    answer = browser(desk).get("/runs", headers={"HX-Request": "true", "HX-Current-URL": address})
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"].startswith("/sign-in?next=")


def test_a_notice_that_is_none_of_ours_is_passed_over(desk: Desk):
    cookie = base64.urlsafe_b64encode(b"[" * 30_000).decode()
    assert browser(desk).get("/sign-in", headers={"Cookie": f"pilotage_notice={cookie}"}).status_code == 200
