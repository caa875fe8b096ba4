"""Versions over API and pages, on a real MLflow registry: seen by those who may, decided by those who may."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.unit.console.desks import actor, client
from tests.unit.console.monitored import know
from tests.unit.pipelines.drift_reports import spec

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.core import settings
from pilotage.core.artifacts import (
    Decision,
    Estimate,
    Fairness,
    Group,
    Latency,
    Rival,
    Scorecard,
    Slice,
    Verdict,
    Worth,
)
from pilotage.core.registry import Alias
from pilotage.core.registry.clients import RUN_TAG
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.journals import audits

DIGEST = "0" * 64
HOSTILE = "<script>alert(1)</script>"
CARD = f"<!doctype html><title>card</title>{HOSTILE}"


@pytest.fixture(scope="module")
def module_desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One installation for the module: creating MLflow's store takes seconds."""
    return Desk(settings.load(home=tmp_path_factory.mktemp("home")))


@pytest.fixture
def pilot(request: pytest.FixtureRequest, module_desk: Desk, tmp_path: Path) -> str:
    """A pilot with a champion, a version that waits for a person, and one whose gate said no."""
    name: str = re.sub(r"[^a-z0-9]+", "-", request.node.name)[:40].strip("-")
    know(module_desk, spec(name))
    for number, passed in enumerate((True, True, False)):
        _add(module_desk, name, tmp_path / str(number), passed, f"{name}-{number + 1}")
    promotions.promote(module_desk.settings, name, 1, who="ann", why="the first")
    promotions.record_decision(module_desk.engine, name, 2, Decision.PENDING, f"{name}-2", "waits", None)
    return name


def _add(desk: Desk, pilot: str, folder: Path, passed: bool, run_id: str) -> None:
    registry = desk.registry
    run = registry.start_run(pilot, "run", {RUN_TAG: run_id})
    (folder / "model" / "pilotage").mkdir(parents=True)
    (folder / "model" / "pilotage" / "model.json").write_text("{}")
    uri = registry.log_model(pilot, run, folder / "model", {})
    card = Scorecard(
        pilot=pilot,
        model=DIGEST,
        snapshot=DIGEST,
        metric="roc_auc",
        target=0.7,
        test_rows=10,
        metrics={"roc_auc": Estimate(value=0.75 if passed else 0.5, low=0.4, high=0.8)},
        baseline=Rival(name="baseline", metrics={"roc_auc": 0.5}, guess=0),
        slices=(Slice(column="carrier", value=HOSTILE, rows=7, metric=Estimate(value=0.6)),),
        fairness=(Fairness(by="origin", groups=(Group(value="north", rows=5),)),),
        latency=Latency(p50_ms=1, p90_ms=1, p99_ms=1, calls=10),
        worth=Worth(currency="EUR", per_row=2.5, total=25, baseline_per_row=1.0),
        gates=(Verdict(gate="roc_auc", passed=passed, value=0.5, limit=0.5, reason="not better"),),
        passed=passed,
        created_at=datetime.now(UTC),
    )
    registry.log_file(run, card.write(folder))
    (folder / Scorecard.CARD_FILE).write_text(CARD)
    registry.log_file(run, folder / Scorecard.CARD_FILE)
    registry.end_run(run)
    registry.register(pilot, run, uri, {RUN_TAG: run_id, "pilotage.snapshot": DIGEST})


def _asked_by(desk: Desk, pilot: str, run: str, who: str) -> None:
    row = {
        "id": run, "pilot": pilot, "state": "succeeded", "asked_at": tables.now(), "asked_by": who, "why": "",
        "parameters": {}, "folder": "", "spec": {},
    }  # fmt: skip
    with desk.engine.begin() as connection:
        connection.execute(insert(tables.runs), row)


def _actions(desk: Desk, pilot: str) -> list[tuple[str, str, str]]:
    return [(line.action, line.who, line.why) for line in audits.read(desk.engine, pilot)][::-1]


def test_versions_come_with_scores_gates_and_what_people_said(module_desk: Desk, pilot: str):
    admin = client(module_desk)
    versions = admin.get(f"/api/v1/pilots/{pilot}/versions").json()["items"]
    assert [item["version"] for item in versions] == [3, 2, 1]
    assert [item["aliases"] for item in versions] == [[], [], ["champion"]]
    assert [item["passed"] for item in versions] == [False, True, True]
    assert versions[1]["approval"]["state"] == "pending"
    assert versions[0]["estimate"] == {"value": 0.5, "low": 0.4, "high": 0.8}
    assert versions[0]["tags"]["pilotage.snapshot"] == DIGEST
    one = admin.get(f"/api/v1/pilots/{pilot}/versions/2").json()
    assert one == versions[1]
    card = admin.get(f"/api/v1/pilots/{pilot}/versions/2/scorecard").json()
    assert (card["metric"], card["baseline"]["guess"]) == ("roc_auc", 0)
    assert admin.get(f"/api/v1/pilots/{pilot}/versions/9").status_code == 404
    first = admin.get(f"/api/v1/pilots/{pilot}/versions", params={"limit": 2}).json()
    rest = admin.get(f"/api/v1/pilots/{pilot}/versions", params={"cursor": first["next"]}).json()
    assert [item["version"] for item in rest["items"]] == [1]


def test_a_yes_makes_the_version_champion_once(module_desk: Desk, pilot: str):
    approver = client(module_desk, actor(Role.APPROVER, name="bob"))
    waiting = approver.get("/api/v1/approvals", params={"pilot": pilot}).json()["items"]
    assert [item["version"] for item in waiting] == [2]
    for changed in (True, False):
        done = approver.post(f"/api/v1/pilots/{pilot}/versions/2/approve", json={"why": "fine"})
        assert (done.status_code, done.json()["version"], done.json()["changed"]) == (200, 2, changed)
    assert approver.get("/api/v1/approvals", params={"pilot": pilot}).json()["items"] == []
    assert _actions(module_desk, pilot)[-1] == ("approve", "bob", "fine")
    assert module_desk.registry.aliases(pilot) == {Alias.CHAMPION: 2, Alias.PREVIOUS: 1}
    releases = approver.get(f"/api/v1/pilots/{pilot}/releases").json()["items"]
    assert [(item["version"], item["replaced"], item["who"]) for item in releases] == [
        (2, 1, "bob"),
        (1, None, "ann"),
    ]
    assert (releases[0]["until"], releases[1]["until"]) == (None, releases[0]["at"])


def test_a_no_needs_a_reason_and_keeps_the_version_out(module_desk: Desk, pilot: str):
    approver = client(module_desk, actor(Role.APPROVER, name="bob"))
    place = f"/api/v1/pilots/{pilot}/versions/2"
    for empty in ({}, {"why": ""}, {"why": "  "}):
        assert approver.post(f"{place}/reject", json=empty).status_code == 422
    rejected = approver.post(f"{place}/reject", json={"why": "too slow"}).json()
    assert (rejected["approval"]["state"], rejected["approval"]["why"]) == ("rejected", "too slow")
    assert approver.post(f"{place}/promote", json={}).status_code == 409
    assert approver.post(f"{place}/promote", json={"force": True}).status_code == 403
    assert client(module_desk).post(f"{place}/promote", json={"force": True}).status_code == 200


def test_a_version_whose_gate_said_no_is_promoted_by_force_and_taken_back(module_desk: Desk, pilot: str):
    admin = client(module_desk)
    refused = admin.post(f"/api/v1/pilots/{pilot}/versions/3/promote", json={})
    assert (refused.status_code, refused.json()["details"]["gates"]) == (409, ["roc_auc"])
    forced = admin.post(f"/api/v1/pilots/{pilot}/versions/3/promote", json={"force": True, "why": "a test"})
    assert forced.json()["replaced"] == 1
    back = admin.post(f"/api/v1/pilots/{pilot}/rollback", json={"why": "enough"}).json()
    assert (back["version"], back["replaced"]) == (1, 3)
    assert admin.post(f"/api/v1/pilots/{pilot}/rollback", json={}).status_code == 404
    assert [action for action, _, _ in _actions(module_desk, pilot)] == [
        "promote",
        "pending",
        "promote",
        "rollback",
    ]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_may_not_decide_is_refused_everywhere(module_desk: Desk, pilot: str, role: Role):
    asked = client(module_desk, actor(role))
    before = _actions(module_desk, pilot)
    for what in ("versions/2/approve", "versions/2/reject", "versions/2/promote", "rollback"):
        assert asked.post(f"/api/v1/pilots/{pilot}/{what}", json={"why": "x"}).status_code == 403
    for what in ("models/2/approve", "models/2/reject", "models/2/promote", "rollback"):
        assert asked.post(f"/pilots/{pilot}/{what}", data={"why": "x"}).status_code == 403
    assert _actions(module_desk, pilot) == before
    assert "<summary" not in asked.get("/models").text
    assert "Approve" not in asked.get(f"/pilots/{pilot}/models").text


def test_a_stranger_learns_nothing(module_desk: Desk, pilot: str):
    stranger = client(module_desk, actor(Role.ADMIN, pilot="other"))
    for path in ("versions", "versions/1", "versions/1/scorecard", "versions/1/card", "releases"):
        assert stranger.get(f"/api/v1/pilots/{pilot}/{path}").status_code == 404
    assert stranger.post(f"/api/v1/pilots/{pilot}/versions/2/approve", json={}).status_code == 404
    assert pilot not in stranger.get("/models").text + stranger.get("/api/v1/live").text
    assert stranger.get("/api/v1/approvals").json()["items"] == []


def test_four_eyes_keep_who_asked_for_the_run_from_deciding(module_desk: Desk, pilot: str):
    strict = Desk(module_desk.settings.model_copy(update={"four_eyes": True}))
    _asked_by(module_desk, pilot, f"{pilot}-2", "bob")
    place = f"/api/v1/pilots/{pilot}/versions/2"
    same = client(strict, actor(name="bob"))
    for what in ("approve", "promote"):
        assert same.post(f"{place}/{what}", json={}).status_code == 403
    assert client(strict, actor(name="cleo")).post(f"{place}/approve", json={}).status_code == 200


def test_the_card_may_neither_run_nor_load_anything(module_desk: Desk, pilot: str):
    admin = client(module_desk)
    for path in (f"/api/v1/pilots/{pilot}/versions/1/card", f"/pilots/{pilot}/models/1/card"):
        card = admin.get(path)
        assert f"<h1>{pilot}, version 1</h1>" in card.text
        assert "carrier is &lt;script&gt;" in card.text
        assert "<script" not in card.text
        assert card.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_pages_show_versions_beside_each_other_and_decide(module_desk: Desk, pilot: str):
    admin = client(module_desk)
    overview = admin.get("/models").text
    assert f'href="/pilots/{pilot}/models"' in overview
    page = admin.get(f"/pilots/{pilot}/models").text
    heads = re.findall(r'<th scope="col">Version (\d)', page)
    assert heads == ["3", "2", "1"]
    assert "0.750 (0.400 to 0.800)" in page
    assert "2.50 EUR" in page
    assert "Fairness by origin" in page
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert re.findall(r'<th scope="col">Version (\d)', admin.get(f"/pilots/{pilot}/models?v=1&v=3").text) == [
        "1",
        "3",
    ]
    no = admin.post(f"/pilots/{pilot}/models/2/reject", data={"why": " "})
    assert no.status_code == 422
    assert "needs a reason" in no.text
    yes = admin.post(f"/pilots/{pilot}/models/2/approve", data={"why": "good"}, follow_redirects=False)
    assert (yes.status_code, yes.headers["location"]) == (303, f"/pilots/{pilot}/models")
    after = admin.get(f"/pilots/{pilot}/models").text
    assert "Version 2 serves." in after
    assert "waits for approval" not in after


def test_a_version_without_a_scorecard_is_listed_all_the_same(module_desk: Desk, pilot: str, tmp_path: Path):
    registry = module_desk.registry
    run = registry.start_run(pilot, "bare", {})
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "MLmodel").write_text("flavors: {}\n")
    uri = registry.log_model(pilot, run, tmp_path / "bare", {})
    registry.end_run(run)
    registry.register(pilot, run, uri, {})
    admin = client(module_desk)
    newest = admin.get(f"/api/v1/pilots/{pilot}/versions/4").json()
    assert (newest["metric"], newest["gates"], newest["run"]) == (None, [], None)
    assert admin.get(f"/api/v1/pilots/{pilot}/versions/4/scorecard").status_code == 404
    assert admin.get(f"/pilots/{pilot}/models").status_code == 200
