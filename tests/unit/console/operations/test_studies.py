"""Studies through the API and the page: started as a process, followed, stopped, shown with their result."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.unit.console.desks import actor, client

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.pipelines import studies, tables
from pilotage.pipelines.forecasts import answers
from pilotage.pipelines.studies import Kind, launches

ANSWERS = [{"question": "What would more rows bring?", "verdict": "told", "words": "A <little> more."}]
PLACE = "/api/v1/pilots/small/studies"


def document(study: str) -> dict[str, Any]:
    """What a forecast found, such as it is."""
    bounds = {"value": 0.8, "low": 0.7, "high": 0.9}
    return answers.Document.model_validate(
        {
            **{
                "study": study,
                "pilot": "small",
                "metric": "roc_auc",
                "greater_is_better": True,
                "target": 0.85,
            },
            **{"estimator": "xgboost", "snapshot": "a" * 64, "rows": 1000, "test_rows": 200, "level": 0.8},
            **{"current": 0.78, "refused": "", "behaviour": "", "target_rows": None, "answers": ANSWERS},
            "forecast": [
                {"n": 2000, "factor": 2.0, **bounds},
                {"n": 10_000, "factor": 10.0, **bounds, "only_interval": True},
            ],
            "costs": [
                {
                    "n": 2000,
                    "factor": 2.0,
                    "cpu_seconds": bounds,
                    "energy_kwh": 0.001,
                    "co2_kg": None,
                    "price": 0.5,
                    "currency": "EUR",
                }
            ],
            "points": [
                {
                    "n": n,
                    "scale": scale,
                    "value": 0.7 + n / 1e4,
                    "stderr": 0.01,
                    "repeats": 3,
                    "cpu_seconds": 0.5,
                }
                for n, scale in ((100, 1.0), (1000, 1.0), (1000, 2.0))
            ],
            "drawn": [{"n": n, **bounds} for n in (100, 1000, 5000, 16_000)],
            "backtest": {"n": 1000, "known_until": 500, "actual": 0.8, **bounds},
            **{"floor": bounds, "bigger_model": bounds, "fewer_features": None, "law": None},
            **{"cpu_seconds": 3.0, "trained": 20, "kept": 4},
        }
    ).model_dump(mode="json")


@pytest.fixture
def known(desk: Desk, write: Callable[..., Path]) -> TestClient:
    """An admin of an installation that knows a pilot."""
    write("a,b,y\n1,2,0\n2,3,1\n")
    admin = client(desk)
    assert admin.post("/api/v1/pilots", json={"folder": str(Path("pilot").absolute())}).status_code == 201
    return admin


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[Any]]]:
    """Processes that were started in place of studies' commands; each waits to be ended."""
    found: list[subprocess.Popen[Any]] = []

    def starter(_: object) -> studies.Launch:
        def start(*_: object) -> subprocess.Popen[Any]:
            found.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
            return found[-1]

        return start

    monkeypatch.setattr(launches, "_starter", starter)
    yield found
    for child in found:
        child.communicate(b"\n")


def find(desk: Desk) -> str:
    """Leave a forecast that succeeded; its id."""
    with studies.carry_out(desk.settings, "small", Kind.FORECAST, {}, "ann") as work:
        found = document(work.study.id)
        work.write("forecast.svg", b"<svg/>")
        work.finish(found, {"answers": ANSWERS})
    return work.study.id


def test_a_study_is_started_once_followed_and_stopped(
    desk: Desk, known: TestClient, started: list[subprocess.Popen[Any]]
):
    made = known.post(PLACE, json={"kind": "forecast", "options": {"at": [5000], "repeats": 2}})
    assert made.status_code == 201
    study = made.json()
    assert made.headers["location"] == f"{PLACE}/{study['id']}"
    assert study["options"] == {"at": [5000.0], "repeats": 2, "models": True, "features": True}
    assert study["state"] == "pending"
    assert len(started) == 1
    busy = known.post(PLACE, json={"kind": "forecast"})
    assert busy.status_code == 409
    assert study["id"] in busy.json()["detail"]
    page = known.get("/pilots/small/scaling").text
    assert "Stop the forecast" in page
    stopped = known.post(f"{PLACE}/{study['id']}/cancel", json={"why": "enough"})
    assert stopped.json()["state"] == "cancelled"
    assert known.get(f"{PLACE}?kind=forecast").json()["items"][0]["state"] == "cancelled"


def test_a_repeated_request_starts_one(desk: Desk, known: TestClient, started: list[subprocess.Popen[Any]]):
    headers = {"Idempotency-Key": "once"}
    first = known.post(PLACE, json={"kind": "forecast"}, headers=headers)
    again = known.post(PLACE, json={"kind": "forecast"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert len(started) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"repeats": 1}, "`repeats`", id="repeats"),
        pytest.param({"at": [-1]}, "`at.0`", id="at"),
        pytest.param({"what": 1}, "`what`", id="unknown"),
    ],
)
def test_a_wrong_option_is_named(desk: Desk, known: TestClient, options: dict[str, Any], said: str):
    answer = known.post(PLACE, json={"kind": "forecast", "options": options})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    with desk.engine.connect() as connection:
        assert not connection.execute(select(tables.studies)).all()


def test_a_pilot_of_another_machine_is_refused(desk: Desk, known: TestClient):
    Path("pilot/pilot.yaml").unlink()
    answer = known.post(PLACE, json={"kind": "forecast"})
    assert answer.status_code == 409
    assert "not on this console's machine" in answer.json()["detail"]


def test_what_a_study_found_is_told_and_drawn(desk: Desk, known: TestClient):
    study = find(desk)
    found = known.get(f"{PLACE}/{study}").json()
    assert found["document"]["answers"] == ANSWERS
    assert found["files"] == ["forecast.svg"]
    picture = known.get(f"{PLACE}/{study}/plots/forecast.svg")
    assert (picture.text, picture.headers["content-type"]) == ("<svg/>", "image/svg+xml")
    assert "sandbox" in picture.headers["content-security-policy"]
    assert known.get(f"{PLACE}/{study}/plots/other.svg").status_code == 404
    assert known.get(f"{PLACE}/none").status_code == 404


def test_studies_are_listed_in_pages(desk: Desk, known: TestClient):
    names = [find(desk) for _ in range(3)]
    first = known.get(f"{PLACE}?limit=2").json()
    assert [item["id"] for item in first["items"]] == names[:0:-1]
    rest = known.get(f"{PLACE}?limit=2&cursor={first['next']}").json()
    assert [item["id"] for item in rest["items"]] == names[:1]
    assert rest["next"] is None


def test_the_page_tells_what_was_found_and_escapes_it(desk: Desk, known: TestClient):
    assert "No forecast yet" in known.get("/pilots/small/scaling").text
    find(desk)
    page = known.get("/pilots/small/scaling").text
    assert "A &lt;little&gt; more." in page
    assert '<svg class="forecast"' in page
    assert "target 0.85" in page
    assert "EUR" in page
    assert known.get("/pilots/other/scaling").status_code == 404


def test_a_failure_is_told_beside_what_was_found_before(desk: Desk, known: TestClient):
    find(desk)
    with (
        pytest.raises(ZeroDivisionError),
        studies.carry_out(desk.settings, "small", Kind.FORECAST, {}, "ann"),
    ):
        raise ZeroDivisionError("a nought")
    page = known.get("/pilots/small/scaling").text
    assert "a nought" in page
    assert "A &lt;little&gt; more." in page


def test_the_button_starts_one_and_who_may_not_has_none(
    desk: Desk, known: TestClient, started: list[subprocess.Popen[Any]]
):
    viewer = client(desk, actor(Role.VIEWER))
    assert "scaling/forecast" not in viewer.get("/pilots/small/scaling").text
    assert viewer.post("/pilots/small/scaling/forecast").status_code == 403
    assert "scaling/forecast" in known.get("/pilots/small/scaling").text
    begun = known.post("/pilots/small/scaling/forecast", follow_redirects=False)
    assert (begun.status_code, begun.headers["location"]) == (303, "/pilots/small/scaling")
    again = known.post("/pilots/small/scaling/forecast")
    assert "already has a forecast in progress" in again.text
    study = studies.latest(desk.engine, "small", Kind.FORECAST)
    assert study is not None
    known.post(f"/pilots/small/scaling/studies/{study.id}/cancel")
    assert studies.find(desk.engine, study.id).ended
    assert "cancelled" in known.get("/pilots/small/scaling").text


def test_the_process_that_is_started_carries_the_study_out(desk: Desk, known: TestClient):
    """The real command, on a pilot that cannot be trained: the failure comes back, and its log is kept."""
    made = known.post(PLACE, json={"kind": "forecast"}).json()
    child = launches._children[-1]
    assert child.wait(120) == 2
    found = known.get(f"{PLACE}/{made['id']}").json()
    assert found["state"] == "failed"
    assert found["message"]
    log = (desk.settings.logs / made["id"] / "study.log").read_text()
    assert found["message"] in json.loads(log[log.index("{") :])["error"]["message"]
