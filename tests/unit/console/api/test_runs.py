"""Runs over HTTP: asked for, listed, cancelled, retried, read; and nobody else's business."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from sqlalchemy import event, insert, update
from tests.unit.console.browsers import add_user
from tests.unit.console.desks import actor, client

from pilotage.components import outcomes
from pilotage.console import applications
from pilotage.console.access import doors
from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.api import streams
from pilotage.console.operations.access import tokens
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution.run_files import read_log
from pilotage.core.artifacts import Outcome
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, records
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import STEPS, State
from pilotage.pipelines.queue import requests


@pytest.fixture
def admin(desk: Desk, write: Callable[..., Path]) -> TestClient:
    """An admin's client of a console that knows the pilot `small`."""
    found = client(desk)
    assert (
        found.post("/api/v1/pilots", json={"folder": str(write("a,b,y\n1,2,0\n2,3,1\n"))}).status_code == 201
    )
    return found


def start(admin: TestClient, **content: Any) -> dict[str, Any]:
    answer = admin.post("/api/v1/pilots/small/runs", json=content)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/runs/{answer.json()['id']}"
    found: dict[str, Any] = answer.json()
    return found


def many(desk: Desk, count: int, pilot: str = "small") -> None:
    """So many runs that ended, one a minute."""
    began = tables.now() - timedelta(days=60)
    rows: list[dict[str, Any]] = [
        {
            "id": f"r{number:05}",
            "pilot": pilot,
            "state": State.SUCCEEDED if number % 2 else State.FAILED,
            "asked_at": began + timedelta(minutes=number),
            "asked_by": "ann",
            "why": "",
            "parameters": {},
            "schedule": "sch_1" if number % 3 == 0 else None,
            "folder": "/p",
            "spec": {},
            "started_at": began,
            "ended_at": began + timedelta(seconds=5),
        }
        for number in range(count)
    ]
    with desk.engine.begin() as connection:
        connection.execute(insert(tables.runs), rows)
        steps = [step for row in rows for step in records.pending_steps(str(row["id"]), STEPS)]
        connection.execute(insert(tables.steps), steps)


def logged(desk: Desk, run: str, content: bytes, state: State = State.SUCCEEDED) -> Path:
    """Give the step `ingest` of a run a log."""
    log = desk.settings.logs / run / "ingest.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(content)
    Records(desk.engine).update_step(run, "ingest", state=state, log=str(log))
    return log


def test_a_run_is_asked_for_with_parameters_and_waits(desk: Desk, admin: TestClient):
    made = start(admin, why="to see", parameters={"cache": False, "overrides": {"train.seed": 9}})
    assert (made["state"], made["why"], made["asked_by"]) == ("pending", "to see", "admin")
    assert made["spec"]["train"] == {"seed": 9}
    assert [step["state"] for step in made["steps"]] == ["pending"] * 5
    assert admin.get(f"/api/v1/runs/{made['id']}").json() == made
    assert admin.get(f"/api/v1/runs/{made['id'][:-2]}").json() == made
    assert admin.get(f"/api/v1/runs/{made['id']}/steps").json()["items"] == made["steps"]


def test_a_run_is_of_pilot_yaml_as_it_is_now(desk: Desk, admin: TestClient):
    folder = Path(admin.get("/api/v1/pilots/small").json()["folder"])
    text = (folder / "pilot.yaml").read_text()
    (folder / "pilot.yaml").write_text(text + "train: {seed: 77}\n")
    assert start(admin)["spec"]["train"] == {"seed": 77}
    (folder / "pilot.yaml").write_text(text + "train: {sede: 77}\n")
    refused = admin.post("/api/v1/pilots/small/runs", json={})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:pilotage:problem:spec-error")
    (folder / "pilot.yaml").unlink()
    assert start(admin)["spec"]["train"] == {"seed": 77}


@pytest.mark.parametrize(
    "content",
    [
        {"parameters": {"overrides": {"gates": []}}},
        {"parameters": {"overrides": {"train.seed": -1}}},
        {"parameters": {"cash": False}},
        {"parameters": {"overrides": []}},
        {"why": "x" * 2001},
        {"pilot": "other"},
    ],
)
def test_wrong_parameters_are_refused_and_leave_nothing(desk: Desk, admin: TestClient, content: Any):
    assert admin.post("/api/v1/pilots/small/runs", json=content).status_code == 422
    assert admin.get("/api/v1/runs").json()["items"] == []


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e999", r'"\ud800"', r'{"\udfff": 1}', r'"\u0000"', "[" * 900 + "]" * 900]
)
def test_a_value_that_cannot_be_kept_is_refused_and_leaves_nothing(desk: Desk, admin: TestClient, value: str):
    body = f'{{"parameters": {{"overrides": {{"train.params.x": {value}}}}}}}'
    headers = {"Content-Type": "application/json"}
    answer = admin.post("/api/v1/pilots/small/runs", content=body, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:pilotage:problem:spec-error")
    page = admin.post("/pilots/small/runs", data={"overrides": f"train.params.x = {value}"})
    assert page.status_code == 422
    assert admin.get("/api/v1/runs").json()["items"] == []


def test_only_operators_of_the_pilot_start_cancel_and_retry(desk: Desk, admin: TestClient):
    run = start(admin)["id"]
    before = len(audits.read(desk.engine))
    calls = ("/api/v1/pilots/small/runs", f"/api/v1/runs/{run}/cancel", f"/api/v1/runs/{run}/retry")
    for role in (Role.VIEWER, Role.APPROVER):
        some = client(desk, actor(role, "small"))
        assert some.get(f"/api/v1/runs/{run}").status_code == 200
        assert [some.post(call, json={}).status_code for call in calls] == [403] * 3
    stranger = client(desk, actor(Role.ADMIN, "other"))
    assert [stranger.post(call, json={}).status_code for call in calls] == [404] * 3
    for path in ("", "/steps", "/logs?step=ingest", "/report", "/snapshot"):
        assert stranger.get(f"/api/v1/runs/{run}{path}").status_code == 404
    assert stranger.get("/api/v1/runs").json()["items"] == []
    assert stranger.get("/api/v1/runs", params={"pilot": "small"}).status_code == 404
    assert len(audits.read(desk.engine)) == before
    assert client(desk, actor(Role.OPERATOR, "small")).post(calls[1], json={}).status_code == 200


def test_cancelling_twice_is_cancelling_once(desk: Desk, admin: TestClient):
    run = start(admin)["id"]
    for _ in range(2):
        answer = admin.post(f"/api/v1/runs/{run}/cancel", json={"why": "no need"})
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    again = admin.post(f"/api/v1/runs/{run}/retry", json={}).json()
    assert (again["retry_of"], again["state"]) == (run, "pending")
    conflict = admin.post(f"/api/v1/runs/{again['id']}/retry", json={})
    assert (conflict.status_code, conflict.json()["title"]) == (409, "Conflict")


def test_a_run_that_goes_on_is_asked_to_stop(desk: Desk, admin: TestClient):
    run = start(admin)["id"]
    requests.claim(desk.engine, run)
    found = admin.post(f"/api/v1/runs/{run}/cancel", json={}).json()
    assert (found["state"], found["cancel_asked_by"]) == ("running", "admin")


def test_long_lists_come_in_pages_newest_first_and_filtered(desk: Desk, admin: TestClient):
    many(desk, 45)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = admin.get(
            "/api/v1/runs", params={"limit": 20, **({"cursor": cursor} if cursor else {})}
        ).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [f"r{number:05}" for number in reversed(range(45))]
    count: dict[str, Any] = {"state": "failed", "schedule": "any", "limit": 200}
    found = admin.get("/api/v1/runs", params=count).json()["items"]
    assert [item["id"] for item in found] == [f"r{number:05}" for number in reversed(range(0, 45, 6))]
    assert admin.get("/api/v1/runs", params={"trigger": "any"}).json()["items"] == []
    since = admin.get("/api/v1/runs/r00040").json()["asked_at"]
    assert len(admin.get("/api/v1/runs", params={"since": since}).json()["items"]) == 5
    assert len(admin.get("/api/v1/pilots/small/runs", params={"state": "failed"}).json()["items"]) == 23
    for wrong in (
        {"cursor": "x"},
        {"cursor": "WzEsMl0"},
        {"state": "lost"},
        {"since": "today"},
        {"limit": 0},
    ):
        assert admin.get("/api/v1/runs", params=wrong).status_code == 422


def test_runs_asked_for_in_the_same_moment_are_each_listed_once(desk: Desk, admin: TestClient):
    many(desk, 7)
    with desk.engine.begin() as connection:
        connection.execute(update(tables.runs).values(asked_at=tables.now()))
    first = admin.get("/api/v1/runs", params={"limit": 4}).json()
    rest = admin.get("/api/v1/runs", params={"limit": 4, "cursor": first["next"]}).json()
    assert len({item["id"] for item in first["items"] + rest["items"]}) == 7


def test_a_list_takes_two_queries_however_long(desk: Desk, admin: TestClient):
    many(desk, 60)
    asked: list[str] = []
    event.listen(desk.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    items = admin.get("/api/v1/runs", params={"limit": 50}).json()["items"]
    assert [len(item["steps"]) for item in items] == [5] * 50
    assert len([text for text in asked if text.startswith("SELECT")]) == 2


def test_a_log_is_read_in_parts_that_split_no_character(desk: Desk, admin: TestClient):
    run = start(admin)["id"]
    text = "".join(f"line {number}: ä€😀\n" for number in range(40))
    logged(desk, run, text.encode())
    for limit in (16, 17, 18, 19, 1000):
        offset, found, parts = 0, "", 0
        while True:
            query: dict[str, Any] = {"step": "ingest", "offset": offset, "limit": limit}
            part = admin.get(f"/api/v1/runs/{run}/logs", params=query).json()
            assert part["offset"] == offset
            found, offset, parts = found + part["text"], part["next"], parts + 1
            if part["complete"]:
                break
        assert found == text
        assert parts >= len(text.encode()) // limit


def test_a_log_that_goes_on_ends_with_a_whole_character(desk: Desk, admin: TestClient):
    run = start(admin)["id"]
    log = logged(desk, run, "a😀".encode()[:-1], State.RUNNING)
    part = admin.get(f"/api/v1/runs/{run}/logs", params={"step": "ingest"}).json()
    assert (part["text"], part["next"], part["complete"]) == ("a", 1, False)
    log.write_bytes("a😀".encode())
    part = admin.get(f"/api/v1/runs/{run}/logs", params={"step": "ingest", "offset": 1}).json()
    assert (part["text"], part["next"], part["complete"]) == ("😀", 5, False)


def test_a_log_of_broken_text_is_read_all_the_same(desk: Desk, admin: TestClient):
    run = start(admin)["id"]
    logged(desk, run, b"\xff\xfe\x80\x80\x80\x80\x80\x80 x \xe2\x82", State.RUNNING)
    part = admin.get(f"/api/v1/runs/{run}/logs", params={"step": "ingest"}).json()
    assert part["text"].endswith(" x ")
    logged(desk, run, b"x \xe2\x82")
    part = admin.get(f"/api/v1/runs/{run}/logs", params={"step": "ingest"}).json()
    assert (part["text"], part["complete"]) == ("x \ufffd", True)


def test_what_wrote_no_log_has_none(desk: Desk, admin: TestClient):
    run = start(admin)["id"]
    part = admin.get(f"/api/v1/runs/{run}/logs", params={"step": "train"}).json()
    assert (part["text"], part["next"], part["complete"]) == ("", 0, False)
    missing = admin.get(f"/api/v1/runs/{run}/logs", params={"step": "../../etc/passwd"})
    assert missing.status_code == 404
    assert "has no step" in missing.json()["detail"]
    wrongs: tuple[dict[str, Any], ...] = (
        {},
        {"step": "train", "offset": -1},
        {"step": "train", "limit": 10**9},
    )
    for wrong in wrongs:
        assert admin.get(f"/api/v1/runs/{run}/logs", params=wrong).status_code == 422


def test_a_stream_ends_with_the_step_and_resumes_where_it_was_left(desk: Desk, admin: TestClient):
    run = start(admin)["id"]
    logged(desk, run, b'one\n\n"two"\n')
    asked = {"Accept": "text/event-stream"}
    stream = admin.get(f"/api/v1/runs/{run}/logs", params={"step": "ingest"}, headers=asked)
    assert stream.headers["content-type"].startswith("text/event-stream")
    log, end = (
        dict(line.split(": ", 1) for line in part.splitlines()) for part in stream.text.split("\n\n")[:2]
    )
    assert (log["event"], log["id"], json.loads(log["data"])["text"]) == ("log", "11", 'one\n\n"two"\n')
    assert (end["event"], json.loads(end["data"])["run"]) == ("end", run)
    later = admin.get(
        f"/api/v1/runs/{run}/logs", params={"step": "ingest"}, headers={**asked, "Last-Event-ID": "5"}
    )
    assert json.loads(later.text.splitlines()[2].removeprefix("data: "))["text"] == '"two"\n'


def test_the_stream_of_a_log_ends_with_the_token_that_opened_it(
    desk: Desk, admin: TestClient, monkeypatch: pytest.MonkeyPatch
):
    run = start(admin)["id"]
    logged(desk, run, b"one\n", State.RUNNING)
    add_user(desk, "ada", Grant(ALL, Role.VIEWER), password=None)
    made = tokens.make_token(desk, actor(Role.VIEWER, name="ada"), "x", [Grant(ALL, Role.VIEWER)], 1)
    app = applications.create(desk, doors.authenticate)
    headers = [(b"authorization", f"Bearer {made.secret}".encode())]
    request = Request({"type": "http", "app": app, "headers": headers}, receive=_listening)
    who = doors.authenticate(request)
    monkeypatch.setattr(streams, "_WHO_SECONDS", 0.0)
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 0.01)

    async def listen() -> list[bytes]:
        told = []
        async for told_now in streams.follow_log(request, desk, who, read_log(desk, who, run, "ingest")):
            told.append(told_now)
            tokens.revoke_token(desk, who, made.id)
        return told

    assert len(asyncio.run(asyncio.wait_for(listen(), 5))) == 1


async def _listening() -> Any:
    await asyncio.sleep(60)


def test_a_run_without_report_or_snapshot_says_so(desk: Desk, admin: TestClient):
    run = start(admin)["id"]
    for path in ("report", "snapshot"):
        answer = admin.get(f"/api/v1/runs/{run}/{path}")
        assert answer.status_code == 404
        assert f"has no {path}" in answer.json()["detail"]


def test_a_reports_page_can_do_nothing(desk: Desk, admin: TestClient, tmp_path: Path):
    run = start(admin)["id"]
    (tmp_path / "report.html").write_text("<script>alert(1)</script>")
    outputs = {"report": {"uri": str(tmp_path), "digest": "x"}}
    Records(desk.engine).update_step(run, "validate", state=State.SUCCEEDED, outputs=outputs)
    page = admin.get(f"/api/v1/runs/{run}/report", headers={"Accept": "text/html"})
    assert page.text == "<script>alert(1)</script>"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none';")
    assert "script" not in policy
    (tmp_path / "report.html").unlink()
    assert admin.get(f"/api/v1/runs/{run}/report", headers={"Accept": "text/html"}).status_code == 404


def test_the_page_of_a_run_leads_to_its_report_which_can_do_nothing(
    desk: Desk, admin: TestClient, tmp_path: Path
):
    run = start(admin)["id"]
    (tmp_path / "report.html").write_text("<script>alert(1)</script>")
    outputs = {"report": {"uri": str(tmp_path), "success": True, "checks": 3, "failed": 0}}
    Records(desk.engine).update_step(run, "validate", state=State.SUCCEEDED, outputs=outputs)
    shown = admin.get(f"/runs/{run}").text
    (address,) = re.findall(r'<a href="([^"]+)">Every check', shown)
    page = admin.get(address, headers={"Accept": "text/html"})
    assert (page.status_code, page.text) == (200, "<script>alert(1)</script>")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none';")
    assert "script" not in policy
    other = client(desk, actor(Role.ADMIN, "other"))
    assert other.get(address).status_code == 404
    (tmp_path / "report.html").unlink()
    assert admin.get(address).status_code == 404


def test_snapshots_are_known_from_runs(desk: Desk, admin: TestClient):
    first, second = start(admin)["id"], start(admin)["id"]
    for run in (first, second):
        outputs = {"snapshot": {"digest": "d" * 64, "uri": "/nowhere/snapshot.json"}}
        Records(desk.engine).update_step(run, "ingest", outputs=outputs)
    (found,) = admin.get("/api/v1/snapshots").json()["items"]
    assert (found["digest"], found["pilot"], found["runs"]) == ("d" * 64, "small", 2)
    assert found["last_run"] == max(first, second)
    assert admin.get("/api/v1/snapshots", params={"pilot": "small"}).json()["items"] == [found]
    assert admin.get(f"/api/v1/snapshots/{'d' * 64}").status_code == 404
    assert admin.get(f"/api/v1/snapshots/{'e' * 64}").json()["detail"].startswith("There is no snapshot")
    assert client(desk, actor(Role.ADMIN, "other")).get("/api/v1/snapshots").json()["items"] == []


def test_what_a_run_elsewhere_left_is_fetched_from_the_storage(desk: Desk, admin: TestClient, tmp_path: Path):
    """The console that followed it had a disk of its own: paths in the records lead nowhere here."""
    run, kept, gone = start(admin)["id"], Storage(desk.settings.storage), tmp_path / "another-pod"
    moment = tables.now()
    told = Outcome(
        run=run, step="validate", attempt=1, state="succeeded", started_at=moment, ended_at=moment,
        outputs={"report": {"digest": "x"}}, files={"report": ("report.html",)},
    )  # fmt: skip
    place = outcomes.place(run, "validate")
    kept.write(f"{place}/{Outcome.FILE}", told.model_dump_json().encode())
    kept.write(f"{place}/report/report.html", b"<p>All well</p>")
    kept.write(f"{place}/{outcomes.LOG}", b"looked at 600 rows\n")
    Records(desk.engine).update_step(
        run, "validate", state=State.SUCCEEDED, log=str(gone / "validate.log"),
        outputs={"report": {"uri": str(gone / "report")}},
    )  # fmt: skip
    page = admin.get(f"/api/v1/runs/{run}/report", headers={"Accept": "text/html"})
    assert (page.status_code, page.text) == (200, "<p>All well</p>")
    assert admin.get(f"/api/v1/runs/{run}/logs?step=validate").json()["text"] == "looked at 600 rows\n"
    Records(desk.engine).update_step(run, "train", state=State.FAILED, log=str(gone / "train.log"))
    assert admin.get(f"/api/v1/runs/{run}/logs?step=train").json()["text"] == ""
