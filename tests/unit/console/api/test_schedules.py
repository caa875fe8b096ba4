"""Schedules over HTTP and on their page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.unit.console.desks import actor, client

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.pipelines.journals import audits
from pilotage.pipelines.retraining import schedules


@pytest.fixture
def known(desk: Desk, write: Callable[..., Path]) -> TestClient:
    """An admin's client of a console whose pilot `small` has a schedule in its pilot.yaml."""
    found = client(desk)
    folder = write("a,b,y\n1,2,0\n2,3,1\n")
    with (folder / "pilot.yaml").open("a") as stream:
        stream.write('retrain: {schedule: "0 3 * * 1"}\n')
    assert found.post("/api/v1/pilots", json={"folder": str(folder)}).status_code == 201
    schedules.sync(desk.engine)
    return found


def add(known: TestClient, **values: str) -> Any:
    content = {"pilot": "small", "cron": "30 6 * * *", "time_zone": "Europe/Berlin", **values}
    return known.post("/api/v1/schedules", json=content)


def test_schedules_say_in_words_when_they_are_due(desk: Desk, known: TestClient):
    made = add(known)
    assert made.status_code == 201
    assert made.headers["location"] == f"/api/v1/schedules/{made.json()['id']}"
    listed = known.get("/api/v1/schedules").json()["items"]
    assert sorted(item["source"] for item in listed) == ["person", "pilot.yaml"]
    found = known.get(f"/api/v1/schedules/{made.json()['id']}").json()
    assert found["words"] == "At 06:30 every day (Europe/Berlin)"
    assert len(found["coming"]) == 5
    assert all("T06:30:00+0" in moment for moment in found["coming"])
    yaml = known.get("/api/v1/schedules/small").json()
    assert (yaml["words"], yaml["created_by"]) == ("At 03:00 on Monday (UTC)", "pilot.yaml")
    page = known.get("/api/v1/schedules", params={"limit": 1}).json()
    rest = known.get("/api/v1/schedules", params={"limit": 1, "cursor": page["next"]}).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == [item["id"] for item in listed]


def test_they_are_paused_resumed_run_and_removed(desk: Desk, known: TestClient):
    made = add(known).json()["id"]
    paused = known.post(f"/api/v1/schedules/{made}/pause", json={"why": "holidays"}).json()
    assert (paused["state"], paused["next_at"]) == ("paused", None)
    run = known.post(f"/api/v1/schedules/{made}/run", json={})
    assert (run.status_code, run.json()["schedule"], run.json()["state"]) == (201, made, "pending")
    resumed = known.post(f"/api/v1/schedules/{made}/resume", json={}).json()
    assert (resumed["state"], resumed["last_run"], resumed["last_state"]) == (
        "active",
        run.json()["id"],
        "pending",
    )
    assert known.delete(f"/api/v1/schedules/{made}").status_code == 204
    assert known.delete(f"/api/v1/schedules/{made}").status_code == 404
    assert known.delete("/api/v1/schedules/small").status_code == 409
    assert known.get(f"/api/v1/runs/{run.json()['id']}").status_code == 200
    told = [line.action for line in reversed(audits.read(desk.engine))]
    assert told == ["add", "schedule", "schedule", "pause", "run", "resume", "unschedule"]


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"cron": "nonsense"}, 422),
        ({"cron": "0 3 * * *" * 50}, 422),
        ({"time_zone": "Mars/Olympus"}, 422),
        ({"time_zone": "/etc/passwd"}, 422),
        ({"time_zone": "UTC\0"}, 422),
        ({"pilot": "other"}, 404),
        ({"colour": "red"}, 422),
    ],
)
def test_what_cannot_be_is_refused(desk: Desk, known: TestClient, values: dict[str, str], status: int):
    assert add(known, **values).status_code == status
    assert len(known.get("/api/v1/schedules").json()["items"]) == 1


def test_only_operators_of_the_pilot_change_them(desk: Desk, known: TestClient):
    made = add(known).json()["id"]
    calls = [f"/api/v1/schedules/{made}/{verb}" for verb in ("pause", "resume", "run")]
    viewer, stranger = client(desk, actor(Role.VIEWER, "small")), client(desk, actor(Role.ADMIN, "other"))
    assert [viewer.post(call, json={}).status_code for call in calls] == [403] * 3
    assert [stranger.post(call, json={}).status_code for call in calls] == [404] * 3
    assert (add(viewer).status_code, add(stranger).status_code) == (403, 404)
    assert viewer.delete(f"/api/v1/schedules/{made}").status_code == 403
    assert stranger.get("/api/v1/schedules").json()["items"] == []
    page = viewer.get("/schedules").text
    assert "At 03:00 on Monday" in page
    assert "<form" not in page.split("<main", 1)[1].split("</main>", 1)[0]


def test_the_page_does_what_the_api_does(desk: Desk, known: TestClient):
    form = {"pilot": "small", "cron": "30 6 * * *", "time_zone": "Europe/Berlin"}
    gone = known.post("/schedules", data=form, follow_redirects=False)
    assert (gone.status_code, gone.headers["location"]) == (303, "/schedules")
    made = next(
        item["id"] for item in known.get("/api/v1/schedules").json()["items"] if item["source"] == "person"
    )
    page = known.get("/schedules").text
    assert "At 06:30 every day (Europe/Berlin)" in page
    assert page.count("<time ") == 10
    for verb, state in (("pause", "paused"), ("resume", "active")):
        assert known.post(f"/schedules/{made}/{verb}", follow_redirects=False).status_code == 303
        assert known.get(f"/api/v1/schedules/{made}").json()["state"] == state
    run = known.post(f"/schedules/{made}/run", follow_redirects=False)
    assert run.headers["location"].startswith("/runs/2")
    assert known.post(f"/schedules/{made}/remove", follow_redirects=False).status_code == 303
    assert known.get(f"/api/v1/schedules/{made}").status_code == 404


def test_the_page_says_what_was_wrong_and_keeps_what_was_written(desk: Desk, known: TestClient):
    form = {"pilot": "small", "cron": "<script>alert(1)</script>", "time_zone": "UTC"}
    answer = known.post("/schedules", data=form)
    assert answer.status_code == 422
    assert "is not a cron expression" in answer.text
    assert "<script>alert" not in answer.text
    assert 'value="&lt;script&gt;alert(1)&lt;/script&gt;"' in answer.text
