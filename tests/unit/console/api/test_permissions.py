"""Every route of the API by every role: who may do what, and that a refusal changes no row of any table.

A route that is not in the table fails, so that nobody adds one without deciding whose it is.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.unit.console.browsers import add_user, bearer, browser
from tests.unit.console.desks import client
from tests.unit.pipelines import drift_reports

from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.operations.desks import Desk
from pilotage.pipelines import tables
from pilotage.pipelines.studies import launches

ROLES = ("viewer", "operator", "monitor", "approver", "admin")
READ, OPERATE, REPORT, APPROVE, ADMINISTER = (
    ROLES,
    ("operator", "admin"),
    ("monitor", "admin"),
    ("approver", "admin"),
    ("admin",),
)
"""Who may, by what has to be allowed."""
OF_A_PILOT, OF_NONE = True, False


@dataclass(frozen=True)
class Route:
    """Who may, and what is sent."""

    allowed: tuple[str, ...]
    of_a_pilot: bool
    """Whether it is as if it were not there for those who may not look at the pilot."""
    body: Any = None
    refused: int = 403


WHY = {"why": "because"}
NEW_RUN = Route(OPERATE, OF_A_PILOT, WHY)
LOOK, LIST = Route(READ, OF_A_PILOT), Route(READ, OF_NONE)
DECIDE = Route(APPROVE, OF_A_PILOT, WHY)
ADMIN = Route(ADMINISTER, OF_NONE)
REPORTED = drift_reports.report(1).model_dump(mode="json")
SCHEDULE = {"pilot": "small", "cron": "0 3 * * *", "time_zone": "UTC"}
ROUTES: dict[str, Route] = {
    "GET /pilots": LIST,
    "POST /pilots": Route(ADMINISTER, OF_NONE, {"folder": "pilot"}),
    "GET /pilots/{pilot}": LOOK,
    "GET /pilots/{pilot}/costs": LOOK,
    "GET /runs": LIST,
    "GET /pilots/{pilot}/runs": LOOK,
    "POST /pilots/{pilot}/runs": NEW_RUN,
    "GET /runs/{run}": LOOK,
    "GET /runs/{run}/costs": LOOK,
    "GET /runs/{run}/steps": LOOK,
    "POST /runs/{run}/cancel": NEW_RUN,
    "POST /runs/{run}/retry": NEW_RUN,
    "GET /runs/{run}/logs": LOOK,
    "GET /runs/{run}/report": LOOK,
    "GET /runs/{run}/snapshot": LOOK,
    "GET /schedules": LIST,
    "POST /schedules": Route(OPERATE, OF_A_PILOT, SCHEDULE),
    "GET /schedules/{schedule}": LOOK,
    "DELETE /schedules/{schedule}": NEW_RUN,
    "POST /schedules/{schedule}/pause": NEW_RUN,
    "POST /schedules/{schedule}/resume": NEW_RUN,
    "POST /schedules/{schedule}/run": NEW_RUN,
    "GET /services": LIST,
    "GET /snapshots": LIST,
    "GET /snapshots/{digest}": LIST,
    "GET /live": LIST,
    "GET /pilots/{pilot}/versions": LOOK,
    "GET /pilots/{pilot}/versions/{version}": LOOK,
    "GET /pilots/{pilot}/versions/{version}/bundle": LOOK,
    "GET /pilots/{pilot}/versions/{version}/scorecard": LOOK,
    "GET /pilots/{pilot}/versions/{version}/card": LOOK,
    "GET /pilots/{pilot}/versions/{version}/card/told": LOOK,
    "GET /pilots/{pilot}/versions/{version}/export": LOOK,
    "POST /pilots/{pilot}/versions/{version}/approve": DECIDE,
    "POST /pilots/{pilot}/versions/{version}/reject": DECIDE,
    "POST /pilots/{pilot}/versions/{version}/promote": DECIDE,
    "POST /pilots/{pilot}/rollback": DECIDE,
    "GET /approvals": LIST,
    "GET /pilots/{pilot}/releases": LOOK,
    "GET /pilots/{pilot}/environments": LOOK,
    "GET /pilots/{pilot}/environments/{environment}/diff": LOOK,
    "POST /pilots/{pilot}/environments/{environment}/release": Route(APPROVE, OF_A_PILOT, {"version": 1}),
    "POST /pilots/{pilot}/environments/{environment}/rollback": DECIDE,
    "GET /pilots/{pilot}/transitions": LOOK,
    "GET /pilots/{pilot}/observations": LOOK,
    "POST /pilots/{pilot}/observations": Route(REPORT, OF_A_PILOT, {"reports": [REPORTED]}),
    "GET /monitors": LIST,
    "GET /pilots/{pilot}/monitor": LOOK,
    "GET /pilots/{pilot}/monitor/matrix": LOOK,
    "GET /pilots/{pilot}/windows": LOOK,
    "GET /pilots/{pilot}/windows/{version}/{start}": LOOK,
    "GET /pilots/{pilot}/windows/{version}/{start}/report": LOOK,
    "GET /pilots/{pilot}/windows/{version}/{start}/distribution": LOOK,
    "GET /pilots/{pilot}/value": LOOK,
    "GET /pilots/{pilot}/readiness": LOOK,
    "GET /pilots/{pilot}/readiness/history": LOOK,
    "GET /pilots/{pilot}/readiness/badge": LOOK,
    "GET /pilots/{pilot}/readiness/notes": LOOK,
    "POST /pilots/{pilot}/readiness/notes": Route(APPROVE, OF_A_PILOT, {"test": "data-5", "text": "done"}),
    "DELETE /pilots/{pilot}/readiness/notes/{note}": Route(APPROVE, OF_A_PILOT),
    "GET /pilots/{pilot}/studies": LOOK,
    "POST /pilots/{pilot}/studies": Route(OPERATE, OF_A_PILOT, {"kind": "forecast"}),
    "GET /pilots/{pilot}/studies/{study}": LOOK,
    "POST /pilots/{pilot}/studies/{study}/cancel": NEW_RUN,
    "GET /pilots/{pilot}/studies/{study}/plots/{plot}": LOOK,
    "GET /pilots/{pilot}/studies/{study}/scores": LOOK,
    "POST /pilots/{pilot}/tables": Route(OPERATE, OF_A_PILOT, [{"a": 1}]),
    "POST /adoptions": Route(OPERATE, OF_NONE, {"file": "a.py", "content": "x = 1"}),
    "GET /pilots/{pilot}/studies/{study}/rows": LOOK,
    "GET /pilots/{pilot}/privacy": LOOK,
    "GET /pilots/{pilot}/deletions": LOOK,
    "POST /pilots/{pilot}/erasures": Route(ADMINISTER, OF_A_PILOT, {"keys": ["a"], "why": "asked"}),
    "POST /pilots/{pilot}/purge": Route(ADMINISTER, OF_A_PILOT, {"dry_run": True}),
    "GET /alarms": LIST,
    "GET /pilots/{pilot}/alarms": LOOK,
    "GET /pilots/{pilot}/alarms/{alarm}": LOOK,
    "POST /pilots/{pilot}/alarms/{alarm}/acknowledge": NEW_RUN,
    "GET /triggers": LIST,
    "GET /pilots/{pilot}/triggers": LOOK,
    "GET /pilots/{pilot}/snooze": LOOK,
    "PUT /pilots/{pilot}/snooze": Route(OPERATE, OF_A_PILOT, {"duration": "6h", "why": "quiet"}),
    "DELETE /pilots/{pilot}/snooze": Route(OPERATE, OF_A_PILOT),
    "POST /pilots/{pilot}/retrain": NEW_RUN,
    "GET /audit": LIST,
    "GET /audit/export": LIST,
    "GET /audit/chain": LIST,
    "GET /me": LIST,
    "GET /users": ADMIN,
    "POST /users": Route(ADMINISTER, OF_NONE, {"name": "new"}),
    "GET /users/{user}": ADMIN,
    "PATCH /users/{user}": Route(ADMINISTER, OF_NONE, {"full_name": "x"}),
    "POST /users/{user}/grant": Route(ADMINISTER, OF_NONE, {"role": "viewer"}),
    "POST /users/{user}/revoke": Route(ADMINISTER, OF_NONE, {"role": "viewer"}),
    "PUT /users/{user}/password": Route(ADMINISTER, OF_NONE, {"password": "correct horse battery"}),
    "GET /users/{user}/sessions": ADMIN,
    "POST /users/{user}/sign-out": ADMIN,
    "DELETE /users/{user}/sessions/{session}": ADMIN,
    "GET /tokens": LIST,
    "POST /tokens": Route(ADMINISTER, OF_NONE, {"name": "x", "grants": ["viewer"], "days": 1}),
    "DELETE /tokens/{token}": Route(ADMINISTER, OF_NONE, refused=404),
    "GET /webhooks": ADMIN,
    "GET /webhooks/deliveries": ADMIN,
    "POST /webhooks/deliveries/{delivery}/replay": ADMIN,
    "POST /webhooks/{webhook}/test": ADMIN,
}
QUERIES = {"tables": {"name": "rows.jsonl"}, "logs": {"step": "train"}, "distribution": {"feature": "a"}}


@pytest.fixture
def names(
    desk: Desk, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """An installation with a pilot, a run, a schedule, a user and a token: what paths name."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*_: object) -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen([sys.executable, "-c", ""]))
        return begun[-1]

    monkeypatch.setattr(launches, "_starter", lambda _: begin)
    write("a,b,y\n1,2,0\n2,3,1\n")
    add_user(desk, "victim", Grant(ALL, Role.VIEWER), password=None)
    bearer(desk, "victim", Grant(ALL, Role.VIEWER))
    admin = client(desk)
    assert admin.post("/api/v1/pilots", json={"folder": str(Path("pilot").absolute())}).status_code == 201
    run = admin.post("/api/v1/pilots/small/runs", json={}).json()["id"]
    schedule = admin.post("/api/v1/schedules", json=SCHEDULE).json()["id"]
    with desk.engine.connect() as connection:
        token = connection.execute(select(tables.tokens.c.id)).scalar_one()
    yield {
        "pilot": "small", "run": run, "schedule": schedule, "user": "victim", "token": token, "version": "1",
        "start": "2026-01-01T00:00:00Z", "alarm": "x", "digest": "sha256:" + "0" * 64, "session": "x",
        "delivery": "1", "webhook": "x", "note": "x", "environment": "production", "study": "x",
        "plot": "x.svg",
    }  # fmt: skip
    for process in begun:
        process.wait()


def rows(desk: Desk) -> list[str]:
    """Every row of every table, but for when tokens were used."""
    with desk.engine.connect() as connection:
        return [
            str([value for key, value in row._mapping.items() if key != "used_at"])
            for table in tables.metadata.sorted_tables
            for row in connection.execute(select(table))
        ]


def ask(who: TestClient, route: str, names: dict[str, str]) -> Any:
    """The answer to a request that is as it should be."""
    method, _, path = route.partition(" ")
    query = QUERIES.get(path.rpartition("/")[2], {})
    return who.request(method, "/api/v1" + path.format(**names), json=ROUTES[route].body, params=query)


def test_every_route_is_somebodys(desk: Desk):
    paths = client(desk).get("/api/v1/openapi.json").json()["paths"]
    found = {f"{method.upper()} {path.removeprefix('/api/v1')}" for path in paths for method in paths[path]}
    assert found == set(ROUTES)


def people(desk: Desk) -> Iterator[tuple[str, TestClient]]:
    """A program with a token of each role."""
    for role in ROLES:
        add_user(desk, role, Grant(ALL, Role(role)), password=None)
        yield role, bearer(desk, role, Grant(ALL, Role(role)))


def test_who_may_not_is_told_so_and_changes_nothing(desk: Desk, names: dict[str, str]):
    everyone = list(people(desk))
    before = rows(desk)
    for role, who in everyone:
        for route, found in ROUTES.items():
            if role not in found.allowed:
                answer = ask(who, route, names)
                assert answer.status_code == found.refused, (role, route, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
    assert rows(desk) == before


def test_a_viewer_who_may_everything_else_by_a_token_of_less_may_nothing(desk: Desk, names: dict[str, str]):
    add_user(desk, "boss", Grant(ALL, Role.ADMIN), password=None)
    who = bearer(desk, "boss", Grant(ALL, Role.VIEWER))
    before = rows(desk)
    for route, found in ROUTES.items():
        if "viewer" not in found.allowed:
            assert ask(who, route, names).status_code == found.refused, route
    assert rows(desk) == before


def test_nobody_may_nothing(desk: Desk, names: dict[str, str]):
    before, who = rows(desk), browser(desk)
    for route in ROUTES:
        assert ask(who, route, names).status_code == 401, route
    assert rows(desk) == before


def test_another_pilots_admin_does_not_even_learn_that_it_is_there(desk: Desk, names: dict[str, str]):
    grants = [Grant("other", Role.ADMIN)]
    add_user(desk, "stranger", *grants, password=None)
    who = bearer(desk, "stranger", *grants)
    before = rows(desk)
    for route, found in ROUTES.items():
        answer = ask(who, route, names)
        if found.of_a_pilot:
            assert answer.status_code == 404, (route, answer.text)
        elif "viewer" not in found.allowed:
            assert answer.status_code == found.refused, (route, answer.text)
        else:
            assert answer.status_code in (200, 404), (route, answer.text)
            assert "small" not in answer.text
    assert rows(desk) == before


def test_who_may_does(desk: Desk, names: dict[str, str]):
    for role, who in people(desk):
        for route, found in ROUTES.items():
            if role in found.allowed:
                answer = ask(who, route, names)
                assert answer.status_code not in (401, 403), (role, route, answer.text)
                assert answer.status_code < 500, (role, route, answer.text)
