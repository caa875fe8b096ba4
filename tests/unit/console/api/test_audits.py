"""The audit over HTTP: filtered, paged, taken out, and only as far as somebody may read."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from tests.unit.console.desks import actor, client

from pilotage.console.access.actors import Role
from pilotage.console.operations import chains
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.evidence import audits as operations
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

pytestmark = pytest.mark.databases

FORMULA = '=HYPERLINK("http://evil.example","x")'
LINES = [
    ("add", "small", "ann", "", None),
    ("promote", "small", "bob@host", "better", 1),
    ("sign-in", None, "mallory", "", None),
    ("reject", "other", "ann", FORMULA, 2),
    ("promote", "small", "ann", "<script>alert(1)</script>", 3),
]


@pytest.fixture
def desk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Five records, one a day from 2026-01-01 on."""
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with monkeypatch.context() as patch, desk.engine.begin() as connection:
        for action, pilot, who, why, version in LINES:
            patch.setattr(tables, "now", lambda moment=moment: moment)
            audits.write(connection, action, pilot, who, why, version=version, gate=0.5)
            moment += timedelta(days=1)
    return desk


def ids(desk: Desk, reader=None, **parameters) -> list[int]:
    answer = client(desk, reader).get("/api/v1/audit", params=parameters)
    assert answer.status_code == 200, answer.text
    return [line["id"] for line in answer.json()["items"]]


FILTERS: list[tuple[dict[str, str], list[int]]] = [
    ({}, [5, 4, 3, 2, 1]),
    ({"pilot": "small"}, [5, 2, 1]),
    ({"pilot": "nothing"}, []),
    ({"who": "ann"}, [5, 4, 1]),
    ({"who": "@host"}, [2]),
    ({"who": "%"}, []),
    ({"action": "promote"}, [5, 2]),
    ({"since": "2026-01-02T12:00:00Z", "until": "2026-01-04T12:00:00Z"}, [3, 2]),
    ({"since": "2026-01-04"}, [5, 4]),
    ({"until": "2026-01-02T14:00:00+02:00"}, [1]),
    ({"pilot": "small", "who": "ann", "action": "promote", "since": "2026-01-02"}, [5]),
]


def test_records_are_filtered(desk: Desk):
    admin = client(desk)
    for parameters, expected in FILTERS:
        found = admin.get("/api/v1/audit", params=parameters).json()["items"]
        assert [line["id"] for line in found] == expected, parameters


def test_records_come_in_pages_that_fit_together(desk: Desk):
    found: list[int] = []
    cursor = None
    for _ in range(3):
        page = client(desk).get(
            "/api/v1/audit", params={"limit": 2, **({"cursor": cursor} if cursor else {})}
        )
        found += [line["id"] for line in page.json()["items"]]
        cursor = page.json()["next"]
        with desk.engine.begin() as connection:
            audits.write(connection, "test", None, "me", "while somebody turns pages")
    assert (found, cursor) == ([5, 4, 3, 2, 1], None)


IMPOSSIBLE: list[dict[str, str]] = [
    {"cursor": "x"},
    {"cursor": "WyJhIl0"},
    {"cursor": "WzFlMzAwXQ"},
    {"cursor": "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5XQ"},
    {"who": "a\0b"},
    {"since": "0001-01-01T00:00:00+14:00"},
    {"until": "soon"},
    {"limit": "0"},
    {"pilot": "x" * 64},
]


def test_what_cannot_be_asked_is_refused(desk: Desk):
    admin = client(desk)
    for parameters in IMPOSSIBLE:
        answer = admin.get("/api/v1/audit", params=parameters)
        found = answer.status_code, answer.headers["content-type"]
        assert found == (422, "application/problem+json"), parameters


def test_only_those_who_read_everything_see_what_is_about_the_installation(desk: Desk):
    viewer = actor(Role.VIEWER, pilot="small")
    assert ids(desk, viewer) == [5, 2, 1]
    assert ids(desk, actor(Role.VIEWER)) == [5, 4, 3, 2, 1]
    asked = client(desk, viewer)
    assert asked.get("/api/v1/audit", params={"pilot": "other"}).status_code == 404
    assert asked.get("/api/v1/audit/export", params={"pilot": "other"}).status_code == 404
    assert [line["id"] for line in asked.get("/api/v1/audit/export").json()] == [1, 2, 5]
    assert asked.get("/api/v1/audit/chain").json() is None
    page = asked.get("/audit").text
    assert "mallory" not in page
    assert "sign-in" not in page
    assert "Verified" not in page


def test_the_export_is_all_of_it_and_can_be_verified(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    admin = client(desk)
    monkeypatch.setattr(operations, "_BATCH", 2)
    answer = admin.get("/api/v1/audit/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.json"'
    lines = json.loads(answer.text)
    assert [line["id"] for line in lines] == [1, 2, 3, 4, 5]
    for line in lines:
        digest = line.pop("digest")
        assert audits.digest_of({**line, "at": datetime.fromisoformat(line["at"])}) == digest
    assert admin.get("/api/v1/audit/export", params={"action": "nothing"}).json() == []


def test_a_spreadsheet_calculates_nothing_from_the_export(desk: Desk):
    answer = client(desk).get("/api/v1/audit/export", params={"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[3]["why"] == f"'{FORMULA}"
    assert not any(value.startswith(tuple("=+-@\t\r")) for row in rows for value in row.values())


def test_the_page_shows_who_did_what_and_runs_nothing_of_it(desk: Desk):
    page = client(desk).get("/audit")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "Up to record 5, the last one" in page.text
    assert '<th scope="col">Who</th>' in page.text


def test_days_on_the_page_are_whole_days_and_its_links_keep_the_filter(desk: Desk):
    admin = client(desk)
    for number in range(60):
        with desk.engine.begin() as connection:
            audits.write(connection, "many", "small", "ann & bob", str(number))
    one = admin.get("/audit", params={"since": "2026-01-02", "until": "2026-01-03"}).text
    assert ['id="record-2"' in one, 'id="record-3"' in one, 'id="record-4"' in one] == [True, True, False]
    assert "since=2026-01-02T00%3A00%3A00&amp;until=2026-01-04T00%3A00%3A00%2B00%3A00&amp;format=csv" in one
    first = admin.get("/audit", params={"who": "ann & bob"}).text
    link = next(part.split('"')[0] for part in first.split('href="')[1:] if "cursor=" in part)
    second = admin.get("/audit" + link.replace("&amp;", "&")).text
    assert 'value="ann &amp; bob"' in second
    assert "First page" in second
    assert second.count('<tr id="record-') == 10
    assert admin.get("/audit", params={"until": "9999-12-31"}).status_code == 200
    assert admin.get("/audit", params={"until": "yesterday"}).status_code == 422


def test_a_page_looks_at_the_chain_a_bit_at_a_time_and_tells_of_what_is_wrong(desk: Desk, monkeypatch):
    admin = client(desk)
    monkeypatch.setattr(chains, "STEP", 2)
    seen = [admin.get("/api/v1/audit/chain").json()["verified"] for _ in range(4)]
    assert seen == [2, 4, 5, 5]
    monkeypatch.setattr(chains, "AGAIN", timedelta(0))
    admin.get("/api/v1/audit/chain")
    with desk.engine.begin() as connection:
        if desk.engine.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_is_not_updated"))
        else:
            connection.execute(text("DROP TRIGGER audit_is_not_changed ON audit"))
        connection.execute(text("UPDATE audit SET who = 'nobody' WHERE id = 1"))
    chain = admin.get("/api/v1/audit/chain").json()
    assert (chain["verified"], chain["last"]) == (0, 5)
    assert "Record 1 was changed" in chain["problem"]
    assert "The audit was tampered with. Record 1 was changed" in admin.get("/audit").text
