"""What the monitor found, over HTTP: filtered, in parts, and only for those who may look."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert
from tests.unit.console.desks import actor, client
from tests.unit.console.monitored import know, watch
from tests.unit.pipelines.drift_reports import HOUR, START, alarm, drift, estimated, realized, report, spec

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.core.specs import Cause
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

API = "/api/v1"


@pytest.fixture
def admin(desk: Desk) -> TestClient:
    """The console of two pilots; the first drifted in every third hour."""
    told = [
        report(
            hour,
            version=1 + hour // 6,
            effect=0.3 if hour % 3 == 2 else 0.01,
            alarms=(alarm(hour, version=1 + hour // 6),) if hour % 3 == 2 else (),
            performance=realized(0.72) if hour < 4 else None,
            estimated=estimated(0.74),
        )
        for hour in range(9)
    ]
    watch(desk, spec(), told, champion=2)
    watch(
        desk, spec("other"), [report(0, pilot="other", alarms=(alarm(0, Cause.PERFORMANCE, pilot="other"),))]
    )
    return client(desk)


def _all(asked: TestClient, path: str, **params: Any) -> list[dict[str, Any]]:
    """All parts of a list."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = asked.get(API + path, params={**params, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next"]
        if cursor is None:
            return found


@pytest.mark.databases
def test_windows_come_newest_first_and_each_once(admin: TestClient):
    whole = _all(admin, "/pilots/small/windows")
    assert [item["start"][11:13] for item in whole] == [f"{hour:02d}" for hour in reversed(range(9))]
    assert _all(admin, "/pilots/small/windows", limit=2) == whole
    assert whole[0]["alarms"] == [alarm(8, version=2).id]
    assert whole[-1]["realized"] == {"value": 0.72, "low": 0.7, "high": 0.74}
    assert admin.get(f"{API}/pilots/small/windows/2/{whole[0]['start']}").json() == whole[0]


@pytest.mark.parametrize(
    ("params", "hours"),
    [
        ({"version": 2}, [8, 7, 6]),
        ({"drifted": True}, [8, 5, 2]),
        ({"drifted": False, "version": 2}, [7, 6]),
        ({"since": (START + 2 * HOUR).isoformat(), "until": (START + 4 * HOUR).isoformat()}, [3, 2]),
        ({"version": 3}, []),
    ],
)
def test_windows_are_found_by_version_drift_and_time(admin: TestClient, params: Any, hours: list[int]):
    found = _all(admin, "/pilots/small/windows", **params)
    assert [int(item["start"][11:13]) for item in found] == hours


def test_windows_of_two_versions_at_one_time_are_both_listed(desk: Desk):
    watch(desk, spec(), [report(hour, version=version) for hour in range(3) for version in (1, 2)])
    found = _all(client(desk), "/pilots/small/windows", limit=1)
    assert [(item["start"][11:13], item["version"]) for item in found] == [
        ("02", 2),
        ("02", 1),
        ("01", 2),
        ("01", 1),
        ("00", 2),
        ("00", 1),
    ]


def test_the_matrix_has_a_row_a_feature_most_drifted_first(admin: TestClient):
    found = admin.get(f"{API}/pilots/small/monitor/matrix", params={"windows": 4}).json()
    assert found["features"] == ["distance", "carrier"]
    assert [cell["drifted"] for cell in found["cells"][0]] == [True, False, False, True]
    assert [window["start"][11:13] for window in found["windows"]] == ["05", "06", "07", "08"]
    assert found["limit"] == 0.1


def test_a_feature_that_came_later_has_no_cell_before(desk: Desk):
    later = report(1).model_copy(
        update={"features": (drift("distance"), drift("weather", 0.5, drifted=True))}
    )
    watch(desk, spec(), [report(0), later])
    found = client(desk).get(f"{API}/pilots/small/monitor/matrix").json()
    cells = dict(zip(found["features"], found["cells"], strict=True))
    assert cells["weather"][0] is None
    assert cells["weather"][1]["effect"] == 0.5
    assert cells["carrier"][1] is None


def test_a_distribution_is_the_windows_beside_the_references(admin: TestClient):
    place = f"{API}/pilots/small/windows/1/2026-03-02T02:00:00Z"
    found = admin.get(f"{place}/distribution", params={"feature": "distance"}).json()
    assert (found["reference"], found["window"], found["labels"]) == ([0.5, 0.5], [0.4, 0.6], ["low", "high"])
    assert found["drifting"]["drifted"]
    assert admin.get(f"{place}/distribution", params={"of": "score"}).json()["feature"] == "score"
    unknown = admin.get(f"{place}/distribution", params={"feature": "distanse"})
    assert (unknown.status_code, "distance, carrier" in unknown.json()["remedy"]) == (404, True)
    assert admin.get(f"{place}/distribution", params={"of": "prediction"}).status_code == 404
    assert admin.get(f"{place}/report").json()["alarms"][0]["id"] == alarm(2).id


@pytest.mark.databases
def test_where_each_pilot_stands_is_told_in_one_list(admin: TestClient, desk: Desk):
    know(desk, spec("young"))
    found = {item["pilot"]: item for item in _all(admin, "/monitors", limit=1)}
    assert found["young"]["last"] is None
    assert found["small"]["last"]["start"][11:13] == "08"
    assert {name: item["open_alarms"] for name, item in found.items()} == {"other": 1, "small": 1, "young": 0}
    assert admin.get(f"{API}/pilots/small/monitor").json() == found["small"]


@pytest.mark.databases
def test_alarms_are_listed_over_pilots_by_state_and_cause(admin: TestClient):
    whole = _all(admin, "/alarms")
    assert _all(admin, "/alarms", limit=1) == whole
    assert [item["pilot"] for item in whole] == ["small", "small", "small", "other"]
    assert [item["state"] for item in whole] == ["open", "closed", "closed", "open"]
    assert [item["pilot"] for item in _all(admin, "/alarms", cause="performance")] == ["other"]
    assert len(_all(admin, "/alarms", state="closed", pilot="small")) == 2
    assert _all(admin, "/pilots/small/alarms", version=2) == whole[:1]


@pytest.mark.databases
def test_an_alarm_is_acknowledged_once_by_name_and_reason(admin: TestClient, desk: Desk):
    place = f"{API}/pilots/small/alarms/{alarm(8, version=2).id}"
    operator = client(desk, actor(Role.OPERATOR, name="ann"))
    first = operator.post(f"{place}/acknowledge", json={"why": "known"}).json()
    again = admin.post(f"{place}/acknowledge", json={"why": "mine"}).json()
    assert first == again == admin.get(place).json()
    assert (first["state"], first["who"], first["why"]) == ("acknowledged", "ann", "known")
    over = admin.post(f"{API}/pilots/small/alarms/{alarm(2).id}/acknowledge", json={}).json()
    assert (over["state"], over["who"]) == ("closed", None)
    assert [line.action for line in audits.read(desk.engine)] == ["acknowledge"]
    assert admin.post(f"{API}/pilots/small/alarms/nothing/acknowledge", json={}).status_code == 404


@pytest.mark.databases
def test_triggers_are_listed_with_what_they_wait_for(admin: TestClient):
    whole = _all(admin, "/triggers")
    assert _all(admin, "/triggers", limit=1) == whole
    assert [item["alarm"] for item in whole[:3]] == [
        alarm(hour, version=1 + hour // 6).id for hour in (8, 5, 2)
    ]
    assert {item["pilot"] for item in _all(admin, "/pilots/other/triggers")} == {"other"}
    assert _all(admin, "/triggers", state="done") == []


def test_a_snooze_is_put_read_and_ended(admin: TestClient):
    place = f"{API}/pilots/small/snooze"
    assert admin.get(place).json() == {"snooze": None}
    made = admin.put(place, json={"duration": "2d", "why": "repairs"}).json()["snooze"]
    assert admin.get(place).json()["snooze"] == made
    assert (made["who"], made["why"]) == ("admin", "repairs")
    assert admin.delete(place).json()["snooze"] == made
    assert admin.delete(place).json() == {"snooze": None}


@pytest.mark.parametrize(
    "wish",
    [
        {"duration": "2d"},
        {"duration": "2d", "why": ""},
        {"duration": "2d", "why": "   "},
        {"duration": "soon", "why": "x"},
        {"duration": "400d", "why": "x"},
        {"duration": "0s", "why": "x"},
    ],
)
def test_a_snooze_without_end_or_reason_is_refused(admin: TestClient, desk: Desk, wish: dict[str, str]):
    assert admin.put(f"{API}/pilots/small/snooze", json=wish).status_code == 422
    assert audits.read(desk.engine) == []


def test_a_viewer_changes_nothing(admin: TestClient, desk: Desk):
    viewer = client(desk, actor(Role.VIEWER))
    assert len(_all(viewer, "/alarms")) == 4
    changed = (
        viewer.post(f"{API}/pilots/small/alarms/{alarm(8, version=2).id}/acknowledge", json={}),
        viewer.put(f"{API}/pilots/small/snooze", json={"duration": "1d", "why": "x"}),
        viewer.delete(f"{API}/pilots/small/snooze"),
        viewer.post(f"{API}/pilots/small/retrain", json={}),
    )
    assert [answer.status_code for answer in changed] == [403] * 4
    assert audits.read(desk.engine) == []


def test_others_pilots_are_as_if_they_were_not_there(admin: TestClient, desk: Desk):
    stranger = client(desk, actor(Role.ADMIN, pilot="other"))
    for path in ("/alarms", "/triggers", "/monitors"):
        assert {item["pilot"] for item in _all(stranger, path)} == {"other"}
    window = "windows/1/2026-03-02T02:00:00Z"
    places = (
        "monitor",
        "monitor/matrix",
        "windows",
        window,
        f"{window}/report",
        "alarms",
        "triggers",
        "value",
    )
    for place in (*places, "snooze", f"alarms/{alarm(2).id}"):
        asked = stranger.get(f"{API}/pilots/small/{place}")
        missing = stranger.get(f"{API}/pilots/nothing/{place}")
        assert asked.status_code == missing.status_code == 404
        assert asked.json()["detail"] == missing.json()["detail"].replace("nothing", "small")
    assert stranger.get(f"{API}/alarms", params={"pilot": "small"}).status_code == 404


def test_a_retraining_is_asked_for_by_name(admin: TestClient, desk: Desk):
    asked = admin.post(f"{API}/pilots/small/retrain", json={"why": "new prices"})
    assert (asked.status_code, asked.json()["asked_by"], asked.json()["why"]) == (201, "admin", "new prices")
    assert asked.json()["state"] == "pending"


def _cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


CURSORS = (
    "x",
    _cursor(),
    _cursor("2026-01-01T00:00:00", "a", "b"),
    _cursor("2026-01-01T00:00:00", 1),
    _cursor("0001-01-01T00:00:00+14:00", "a"),
    _cursor("2026-01-01T00:00:00+00:00", 10**30),
    _cursor("2026-01-01T00:00:00+00:00", True),
    _cursor(None, None),
    _cursor({}, [], "\0"),
)


def test_a_cursor_that_no_list_gave_is_refused(desk: Desk):
    know(desk, spec())
    admin = client(desk)
    for path in ("/alarms", "/triggers", "/pilots/small/windows", "/approvals"):
        answers = [admin.get(API + path, params={"cursor": cursor}) for cursor in CURSORS]
        assert {answer.status_code for answer in answers} == {422}


def test_a_version_that_cannot_be_is_refused(desk: Desk):
    know(desk, spec())
    admin = client(desk)
    for version in ("0", "-1", "x", str(2**40)):
        assert admin.get(f"{API}/pilots/small/windows/{version}/2026-03-02T02:00:00Z").status_code == 422
        assert admin.get(f"{API}/pilots/small/windows", params={"version": version}).status_code == 422


def test_many_equal_times_lose_nothing_between_parts(desk: Desk):
    rows = [
        {
            "id": f"t-{number:02d}", "pilot": "small", "version": 1, "alarm": f"a-{number}", "cause": "drift",
            "at": START, "reason": "", "state": "done", "opened_at": START, "attempts": 0,
        }
        for number in range(7)
    ]  # fmt: skip
    with desk.engine.begin() as connection:
        connection.execute(insert(tables.triggers), rows)
    assert [item["id"] for item in _all(client(desk), "/triggers", limit=2)] == [
        f"t-{number:02d}" for number in reversed(range(7))
    ]
