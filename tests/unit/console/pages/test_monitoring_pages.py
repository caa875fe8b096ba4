"""The pages of the monitor: what is wrong is seen, in whichever way one looks, and done with."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient
from tests.unit.console.desks import actor, client
from tests.unit.console.monitored import know, watch
from tests.unit.pipelines.drift_reports import (
    alarm,
    brought,
    drift,
    estimated,
    realized,
    report,
    spec,
)

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.pipelines.journals import audits

HOSTILE = '<script>alert(1)</script>"x'


@pytest.fixture
def admin(desk: Desk) -> TestClient:
    """The console of a pilot whose third hour drifted."""
    told = [
        report(hour, performance=realized(0.72), estimated=estimated(0.74), brought=brought(400.0, 100.0))
        for hour in range(3)
    ]
    told.append(report(3, effect=0.3, alarms=(alarm(3),)))
    watch(desk, spec(), told)
    return client(desk)


def test_the_overview_says_what_is_wrong_and_where(admin: TestClient):
    page = admin.get("/monitoring").text
    assert "hour 3: drift" in page
    assert "1 open alarm<" in page
    assert 'href="/pilots/small/monitoring"' in page


def test_a_pilot_that_nothing_was_served_of_says_what_to_do(desk: Desk):
    know(desk, spec())
    page = client(desk).get("/pilots/small/monitoring").text
    assert "pilotage serve small" in page
    assert "none is closed yet" in client(desk).get("/monitoring").text


def test_the_map_has_a_cell_a_feature_and_window_and_the_same_as_a_table(admin: TestClient):
    page = admin.get("/pilots/small/monitoring").text
    (map_,) = re.findall(r'<svg [^>]*class="heat".*?</svg>', page, re.DOTALL)
    assert len(re.findall(r"<a ", map_)) == 2 * 4
    assert map_.count("<circle") == map_.count('class="drift"') == 1
    assert re.search(r"<th scope=\"row\">distance</th><td[^>]*>1 of 4<", page)


def test_the_window_that_is_asked_for_is_shown_with_its_feature(admin: TestClient):
    address = "/pilots/small/monitoring?version=1&start=2026-03-02T01:00:00Z&feature=carrier"
    page = admin.get(address).text
    assert "Window of 2026-03-02 01:00 UTC" in page
    assert "carrier: shares in the reference and in the window" in page
    assert admin.get(address.replace("01:00:00", "23:00:00")).status_code == 404
    scores = admin.get("/pilots/small/monitoring?version=1&start=2026-03-02T01:00:00Z&of=score").text
    assert "score: shares in the reference and in the window" in scores


def test_performance_and_money_are_told_with_their_intervals(admin: TestClient):
    page = admin.get("/pilots/small/monitoring").text
    assert "0.720 " in page
    assert "(0.700 to 0.740)" in page
    assert "+900 EUR" in page
    assert 'data-plot="/api/v1/pilots/small/value"' in page
    assert "measured on 300 labelled rows of 800" in re.sub(r"\s+", " ", page.replace("\u202f", ""))


def test_an_alarm_is_acknowledged_from_the_page_with_a_reason(desk: Desk, admin: TestClient):
    answer = admin.post(
        f"/pilots/small/alarms/{alarm(3).id}/acknowledge",
        data={"why": "the feed is being mended", "back": "all"},
        follow_redirects=False,
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/monitoring")
    assert "hour 3: drift" not in admin.get("/monitoring").text
    assert "the feed is being mended" in admin.get("/pilots/small/monitoring").text
    assert [line.action for line in audits.read(desk.engine)] == ["acknowledge"]


def test_a_retraining_is_snoozed_and_let_go_again(desk: Desk, admin: TestClient):
    snoozed = admin.post("/pilots/small/snooze", data={"duration": "1d", "why": "holiday"})
    assert snoozed.status_code == 200
    assert "“holiday”" in snoozed.text
    assert "End the snooze" in snoozed.text
    assert admin.post("/pilots/small/snooze", data={"duration": "soon", "why": "x"}).status_code == 422
    assert "“holiday”" not in admin.post("/pilots/small/unsnooze", data={}).text
    assert [line.action for line in audits.read(desk.engine)] == ["unsnooze", "snooze"]


def test_who_may_only_look_sees_no_buttons_and_can_press_none(desk: Desk, admin: TestClient):
    viewer = client(desk, actor(Role.VIEWER))
    page = viewer.get("/pilots/small/monitoring").text
    assert "hour 3: drift" in page
    assert "<form" not in page.replace('<form method="post" action="/sign-out">', "")
    for path, data in (
        (f"alarms/{alarm(3).id}/acknowledge", {}),
        ("snooze", {"duration": "1d", "why": "x"}),
        ("unsnooze", {}),
        ("retrain", {}),
    ):
        assert viewer.post(f"/pilots/small/{path}", data=data).status_code == 403
    assert audits.read(desk.engine) == []


def test_a_stranger_sees_nothing_of_it(desk: Desk, admin: TestClient):
    stranger = client(desk, actor(Role.ADMIN, pilot="other"))
    assert "small" not in stranger.get("/monitoring").text
    assert stranger.get("/pilots/small/monitoring").status_code == 404
    assert stranger.post(f"/pilots/small/alarms/{alarm(3).id}/acknowledge").status_code == 404


def test_names_from_data_are_never_markup(desk: Desk):
    named = report(0, effect=0.3, alarms=(alarm(0).model_copy(update={"message": HOSTILE}),))
    bad = drift(HOSTILE, 0.4, drifted=True).model_copy(update={"labels": (HOSTILE, "b"), "reason": HOSTILE})
    watch(desk, spec(), [named.model_copy(update={"features": (bad,)})])
    admin = client(desk)
    for path in ("/monitoring", "/pilots/small/monitoring"):
        page = admin.get(path).text
        assert "alert(1)" in page
        assert "<script>alert" not in page
        assert " style=" not in page


def test_a_report_that_is_gone_leaves_the_page_whole(desk: Desk, admin: TestClient):
    for path in desk.settings.home.glob("windows/**/drift.json"):
        path.unlink()
    page = admin.get("/pilots/small/monitoring")
    assert page.status_code == 200
    assert "is not in the storage any more" in page.text
