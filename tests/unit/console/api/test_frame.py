"""What every route of the API has: tags, keys of repeats, limits, headers, and refusals of one form."""

from __future__ import annotations

import base64
import json
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from tests.unit.console.browsers import add_user, browser, csrf, signed_in
from tests.unit.console.desks import actor, client

from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.api import bodies, replays
from pilotage.console.operations.access import users
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.tags import require_same, tag_of
from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, repeats
from pilotage.pipelines.journals.repeats import Key

KEY = {"Idempotency-Key": "5f1c2f6e"}
NEW = {"name": "ada"}


def keys(desk: Desk) -> list[Any]:
    """The keys that are kept."""
    with desk.engine.connect() as connection:
        return list(connection.execute(select(tables.idempotency_keys)).all())


@pytest.mark.databases
def test_a_repeat_gets_the_first_answer_and_changes_nothing(desk: Desk):
    admin = client(desk)
    first = admin.post("/api/v1/users", json=NEW, headers=KEY)
    again = client(desk).post("/api/v1/users", json=NEW, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len(audits.read(desk.engine)) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/users", {"name": "eve"}),
        ("/api/v1/users/ada/grant", {"name": "ada"}),
        ("/api/v1/users?a=1", NEW),
    ],
)
def test_the_key_of_another_request_is_refused(desk: Desk, path: str, body: dict[str, str]):
    admin = client(desk)
    admin.post("/api/v1/users", json=NEW, headers=KEY)
    answer = admin.post(path, json=body, headers=KEY)
    assert answer.status_code == 422
    assert "another request" in answer.json()["detail"]
    assert len(audits.read(desk.engine)) == 1


def test_two_people_may_have_the_same_key(desk: Desk):
    for name in ("one", "two"):
        asked = client(desk, actor(name=name)).post("/api/v1/users", json={"name": name}, headers=KEY)
        assert asked.status_code == 201


def test_what_was_refused_may_be_tried_again_under_its_key(desk: Desk):
    add_user(desk, "ada", password=None)
    admin = client(desk)
    assert admin.post("/api/v1/users", json=NEW, headers=KEY).status_code == 409
    assert keys(desk) == []
    assert admin.post("/api/v1/users", json={"name": "eve"}, headers=KEY).status_code == 201


@pytest.mark.parametrize("key", ["", "é", "a" * 129, "a\x01b"])
def test_what_is_no_key_is_refused(desk: Desk, key: str):
    answer = client(desk).post(
        "/api/v1/users",
        json=NEW,
        headers={b"Idempotency-Key": key.encode("latin-1")},
    )
    assert answer.status_code == 422
    assert audits.read(desk.engine) == []


@pytest.mark.databases
def test_of_many_at_once_one_is_carried_out(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    original = users.add_user

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.3)
        return original(*arguments, **named)

    monkeypatch.setattr(users, "add_user", slow)
    answers: list[Any] = []
    admins = [client(desk) for _ in range(6)]

    def ask(admin: Any) -> None:
        answers.append(admin.post("/api/v1/users", json=NEW, headers=KEY))

    threads = [threading.Thread(target=ask, args=(admin,)) for admin in admins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fresh = [
        found for found in answers if found.status_code == 201 and "idempotent-replayed" not in found.headers
    ]
    waiting = [found for found in answers if found.status_code == 409]
    assert len(fresh) == 1
    assert len(waiting) >= 1
    assert all(found.headers["retry-after"] == "1" for found in waiting)
    assert len(audits.read(desk.engine)) == 1


def test_a_key_whose_process_died_before_the_change_is_free_after_a_while(desk: Desk):
    admin = client(desk)
    admin.post("/api/v1/users", json=NEW, headers=KEY)
    forget_answer(desk, carried_out=False, minutes=1)
    assert admin.post("/api/v1/users", json=NEW, headers=KEY).status_code == 409
    forget_answer(desk, carried_out=False, minutes=6)
    with desk.engine.begin() as connection:
        connection.execute(tables.users.delete())
    assert admin.post("/api/v1/users", json=NEW, headers=KEY).status_code == 201


def test_a_change_whose_answer_was_lost_is_not_made_twice(desk: Desk):
    admin = client(desk)
    admin.post("/api/v1/users", json=NEW, headers=KEY)
    forget_answer(desk, carried_out=True, minutes=6)
    with desk.engine.begin() as connection:
        connection.execute(tables.users.delete())
    answer = admin.post("/api/v1/users", json=NEW, headers=KEY)
    assert answer.status_code == 409
    assert "was carried out" in answer.json()["detail"]
    assert len(audits.read(desk.engine)) == 1


def forget_answer(desk: Desk, *, carried_out: bool, minutes: float) -> None:
    """Leave the key as a process does that dies before it answers."""
    moment = tables.now() - timedelta(minutes=minutes)
    values: dict[str, Any] = {"status": None, "headers": None, "body": None, "created_at": moment}
    values["carried_out_at"] = moment if carried_out else None
    with desk.engine.begin() as connection:
        connection.execute(update(tables.idempotency_keys), values)


@pytest.mark.databases
def test_a_change_and_the_note_of_it_are_one_transaction(desk: Desk):
    key = repeats.Key("ada", "k")
    with desk.engine.begin() as connection:
        row = {"who": "ada", "key": "k", "request": "x", "created_at": tables.now()}
        connection.execute(tables.idempotency_keys.insert(), row)
    with repeats.carrying_out(key), desk.engine.connect() as connection:
        audits.write(connection, "add", None, "ada", "")
        connection.rollback()
    assert keys(desk)[0].carried_out_at is None
    with repeats.carrying_out(key), desk.engine.begin() as connection:
        audits.write(connection, "add", None, "ada", "")
    assert keys(desk)[0].carried_out_at is not None


def test_keys_are_forgotten_after_a_day(desk: Desk):
    admin = client(desk)
    admin.post("/api/v1/users", json=NEW, headers=KEY)
    with desk.engine.begin() as connection:
        connection.execute(
            update(tables.idempotency_keys), {"created_at": tables.now() - timedelta(days=1, seconds=1)}
        )
    admin.post("/api/v1/users", json={"name": "eve"}, headers={"Idempotency-Key": "other"})
    assert [row.key for row in keys(desk)] == ["other"]


def test_an_answer_with_a_secret_is_not_kept(desk: Desk):
    add_user(desk, "admin", Grant(ALL, Role.ADMIN), password=None)
    admin = client(desk)
    wanted = {"name": "x", "grants": ["viewer"], "days": 1}
    secret = admin.post("/api/v1/tokens", json=wanted, headers=KEY).json()["secret"]
    again = admin.post("/api/v1/tokens", json=wanted, headers=KEY)
    assert again.status_code == 409
    assert "holds a secret" in again.json()["detail"]
    assert secret not in str(keys(desk))


def test_a_document_that_is_known_is_not_sent_again(desk: Desk):
    admin = client(desk)
    first = admin.get("/api/v1/users")
    tag = first.headers["etag"]
    for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        again = admin.get("/api/v1/users", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    add_user(desk, "ada", password=None)
    fresh = admin.get("/api/v1/users", headers={"If-None-Match": tag})
    assert fresh.status_code == 200
    assert fresh.headers["etag"] != tag


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON, JSON)
def test_tags_tell_documents_apart_and_not_how_they_are_written(left: Any, right: Any):
    assert tag_of(json.loads(json.dumps(left, indent=3))) == tag_of(left)
    same = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
    assert (tag_of(left) == tag_of(right)) is same
    require_same(None, left)
    require_same(f'"x", W/{tag_of(left)}', left)
    with pytest.raises(errors.Outdated):
        require_same('"x"', left)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404), ("GET", "/api/", 404), ("DELETE", "/api/v1/users", 405),
        ("GET", "/api/v1/users?limit=0", 422), ("GET", "/api/v1/users?cursor=%00", 422),
        ("GET", "/api/v1/webhooks/deliveries?cursor=WzEyMzQ1Njc4OTAxMjNd", 422),
        ("POST", "/api/v1/webhooks/deliveries/99999999999999999999/replay", 422),
        ("POST", "/api/v1/webhooks/deliveries/1/replay", 404),
    ],
)  # fmt: skip
def test_every_refusal_is_a_problem_document(desk: Desk, method: str, path: str, status: int):
    answer = client(desk).request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"name": "\\ud800"}',
        b'{"name": 1e999}',
        b"\xff",
        b"[" * 5000,
        b'{"name": "\\u0000"}',
    ],
)
def test_hostile_bodies_are_refused(desk: Desk, body: bytes):
    headers = {"Content-Type": "application/json"}
    for extra in ({}, KEY):
        answer = client(desk).post("/api/v1/users", content=body, headers={**headers, **extra})
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["status"] == answer.status_code
        assert audits.read(desk.engine) == []


@pytest.mark.parametrize(
    "path", ["/api/v1/users", "/api/v1/pilots/none", "/api/v1/audit/export", "/settings", "/none", "/sign-in"]
)
def test_nothing_that_is_somebodys_is_kept_by_what_is_between(desk: Desk, path: str):
    kept = signed_in(desk).get(path).headers["cache-control"]
    assert "no-store" in kept or kept == "private, no-cache"


ZONED = "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("path", "position"),
    [
        ("pilots", ["\ud800"]),
        ("monitors", ["\ud800"]),
        ("users", ["\ud800"]),
        ("snapshots", ["\ud800"]),
        ("schedules", ["\ud800", "x"]),
        ("schedules", ["x", "\ud800"]),
        ("tokens", [ZONED, "\ud800"]),
        ("tokens", ["0001-01-01T00:00:00+14:00", "x"]),
        ("runs", [ZONED, "\ud800"]),
        ("runs", ["0001-01-01T00:00:00+14:00", "x"]),
        ("runs", ["9999-12-31T23:59:59-14:00", "x"]),
        ("runs", ["0001-01-01T00:00:00", "x"]),
        ("alarms", [ZONED, "\ud800", "x"]),
        ("approvals", [ZONED, "\ud800", 1]),
        ("triggers", [ZONED, "\ud800"]),
        ("audit", [True]),
        ("webhooks/deliveries", [True]),
        ("pilots", [None]),
        ("pilots", [1]),
        ("pilots", ["\0"]),
    ],
)
def test_a_cursor_that_somebody_made_up_is_refused(desk: Desk, path: str, position: list[Any]):
    cursor = base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")
    answer = client(desk).get(f"/api/v1/{path}", params={"cursor": cursor})
    assert answer.status_code == 422, answer.text
    assert "cursor" in answer.json()["detail"]


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_zone_can_tell_is_refused(desk: Desk, since: str):
    assert client(desk).get("/api/v1/runs", params={"since": since}).status_code == 422


def test_what_is_too_long_is_refused_whether_it_says_so_or_not(desk: Desk):
    admin = client(desk)
    long = b" " * (bodies.MOST_BYTES + 1)
    said = admin.post("/api/v1/users", content=long)
    unsaid = admin.post("/api/v1/users", content=iter([long[:1000], long[1000:]]))
    keyed = admin.post("/api/v1/users", content=iter([long]), headers=KEY)
    assert [said.status_code, unsaid.status_code, keyed.status_code] == [413, 413, 413]
    assert said.json()["status"] == 413


def test_what_fails_unforeseen_tells_nothing_of_the_inside(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(users, "list_users", fail)
    for path in ("/api/v1/users", "/settings/users"):
        answer = client(desk).get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 500
        assert "secret inside" not in answer.text
        assert "content-security-policy" in answer.headers


def test_every_route_of_the_description_says_how_it_refuses_and_who_may_ask(desk: Desk):
    found = client(desk).get("/api/v1/openapi.json").json()
    assert found["security"] == [{"bearer": []}, {"session": []}]
    assert set(found["components"]["securitySchemes"]) == {"bearer", "session"}
    assert len(found["paths"]) > 8
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            assert {"401", "403", "404", "422"} <= set(operation["responses"]), path
            assert "application/problem+json" in operation["responses"]["422"]["content"], path
            names = [parameter["name"] for parameter in operation["parameters"]]
            assert ("Idempotency-Key" in names) is (method == "post"), path
    text = json.dumps(found)
    assert "HTTPValidationError" not in text
    for reference in {part.split('"')[0] for part in text.split('"$ref": "')[1:]}:
        assert reference.rpartition("/")[2] in found["components"]["schemas"], reference


def test_sessions_and_keys_outlive_the_console(desk: Desk):
    first = signed_in(desk)
    headers = {"X-CSRF-Token": csrf(first), **KEY}
    made = first.post("/api/v1/users", json={"name": "eve"}, headers=headers)
    second = browser(Desk(desk.settings))
    second.cookies.update(first.cookies)
    again = second.post("/api/v1/users", json={"name": "eve"}, headers=headers)
    assert (again.status_code, again.content) == (201, made.content)
    assert again.headers["idempotent-replayed"] == "true"


def test_what_is_kept_of_equal_requests_differs(desk: Desk):
    content = b'POST\n/api/v1/users\n\n{"password": "correct horse battery"}'
    for text in ("1", "2"):
        assert replays._insert(desk.engine, Key("ada", text), content) is None
    with pytest.raises(errors.RequestError, match="another request"):
        replays._insert(desk.engine, Key("ada", "1"), content + b" ")
    with pytest.raises(errors.Conflict, match="being carried out"):
        replays._insert(desk.engine, Key("ada", "1"), content)
    with tables.reading(desk.engine) as connection:
        kept = set(connection.scalars(select(tables.idempotency_keys.c.request)))
    assert len(kept) == 2
