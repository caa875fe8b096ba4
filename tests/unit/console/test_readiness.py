"""`pilotage readiness`, its API and its page, of a pilot that has earned nothing yet."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.unit.console.calls import Call
from tests.unit.console.desks import actor, client
from tests.unit.console.monitored import know
from tests.unit.pipelines.drift_reports import spec

from pilotage.console.access.actors import Role
from pilotage.console.operations import studies
from pilotage.console.operations.desks import Desk
from pilotage.console.pages.figures import badges
from pilotage.core import errors, settings
from pilotage.pipelines.journals import audits
from pilotage.pipelines.readiness import histories, proofs, rubrics
from pilotage.pipelines.readiness.subjects import Subject
from pilotage.pipelines.studies import Kind

HOSTILE = "<script>alert(1)</script>"
BASE = "/api/v1/pilots/small/readiness"


@pytest.fixture
def admin(desk: Desk) -> TestClient:
    know(desk, spec())
    return client(desk)


@pytest.fixture
def folder(write: Callable[..., Path]) -> Path:
    return write("a,b,y\n1,2,0\n2,3,1\n")


def test_the_document_has_four_sections_of_seven_tests(call: Call, folder: Path):
    called = call("readiness", folder, "--json")
    assert called.code == 0
    found = called.document
    assert (found["score"], found["version"], found["pilot"]) == (0.0, None, "small")
    assert [section["name"] for section in found["sections"]] == list(rubrics.Section)
    for section in found["sections"]:
        assert len(section["tests"]) == 7
        assert section["score"] == sum(test["points"] for test in section["tests"])
        for test in section["tests"]:
            assert {"id", "points", "evidence", "next"} <= set(test)
            assert (test["points"], test["evidence"]) == (0.0, [])
            assert test["next"], test["id"]
    assert found["band"] == "more of a research project than a productionized system"


def test_a_terminal_is_told_what_is_missing_and_what_to_do(call: Call, folder: Path):
    printed = call("readiness", folder).out
    assert "ML Test Score 0 of 7" in " ".join(printed.split())
    assert "data-1 Feature expectations are captured in a schema" in printed
    assert "missing: The pilot has no champion yet." in printed
    assert "run: pilotage run small" in printed


def test_the_command_keeps_the_score_once(call: Call, folder: Path):
    for _ in range(2):
        call("readiness", folder)
    assert len(call("readiness", "small", "--history", "--json").document["history"]) == 1
    assert "0" in call("readiness", "small", "--history").out


def test_a_note_is_half_a_point_and_can_be_taken_back(call: Call, folder: Path):
    words = ("--note", "data-5", "--text", "We asked legal", "--until", "2030-01-01", "--who", "ann")
    refused = call("readiness", folder, *words)
    assert (refused.code, "cannot hold until 2030-01-01" in refused.err) == (2, True)
    day = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    made = call("readiness", folder, *words[:4], "--until", day, "--who", "ann", "--json").document
    assert (made["who"], made["until"][:10]) == ("ann", day)
    found = call("readiness", folder, "--json").document
    test = next(test for test in found["sections"][0]["tests"] if test["id"] == "data-5")
    assert (test["points"], test["how"], test["until"][:10]) == (0.5, "manual", day)
    listed = call("readiness", folder, "--notes", "--json").document["notes"]
    assert [note["id"] for note in listed] == [made["id"]]
    assert "We asked legal" in call("readiness", folder, "--notes").out
    gone = call("readiness", folder, "--withdraw", made["id"], "--why", "it was another pilot")
    assert "is withdrawn" in gone.out
    assert call("readiness", folder, "--json").document["sections"][0]["score"] == 0.0
    lines = audits.read(Desk(settings.load()).engine, "small")
    assert [line.action for line in lines] == ["readiness-withdraw", "readiness-note"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--note", "data-9", "--text", "x"), "has no test `data-9`"),
        (("--note", "data-1"), "1 to 2000 letters"),
        (("--note", "data-1", "--text", "x", "--until", "soon"), "`--until soon` is not a time"),
        (("--note", "data-1", "--text", "x", "--until", "2020-01-01"), "cannot hold until 2020-01-01"),
        (("--text", "x"), "belong to `--note`"),
        (("--note", "data-1", "--history"), "are two things"),
        (("--withdraw", "nothing"), "no note `nothing`"),
        (("--prove", "repeat"), "has no champion yet"),
        (("--prove", "simple"), "has no champion yet"),
        (("--badge", "missing/badge.svg"), "cannot be written"),
    ],
)
def test_what_is_wrong_is_named(call: Call, folder: Path, words: tuple[str, ...], told: str):
    (folder / "pilot.yaml").touch()
    if words[0] == "--badge":
        Path("missing").write_text("a file, no folder")
    called = call("readiness", folder, *words)
    assert (called.code, told in called.err) == (2, True), called.err


def test_a_least_score_is_an_exit_code(call: Call, folder: Path):
    assert call("readiness", folder, "--min", "0").code == 0
    assert call("readiness", folder, "--min", "0.5").code == 3


def test_a_pilot_that_is_not_here_is_named(call: Call):
    called = call("readiness", "nothing")
    assert (called.code, "no pilot `nothing`" in called.err) == (2, True)


def test_a_badge_is_a_picture_with_its_words(call: Call, folder: Path):
    call("readiness", folder, "--badge", "badge.svg")
    root = ET.fromstring(Path("badge.svg").read_text())
    told = " ".join(text.strip() for text in root.itertext() if text.strip())
    assert "ML Test Score: 0 of 7" in told
    assert "research project" in told


@pytest.mark.parametrize("score", [0, 0.5, 1, 2.5, 3, 5, 5.5, 7])
def test_a_badge_can_be_read(score: float):
    text = str(badges.badge(score, "x"))
    grounds = re.findall(r'fill="#([0-9a-f]{6})"', text)
    for ground in grounds[:2]:
        assert 1.05 / (luminance(ground) + 0.05) >= 4.5, ground


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("score", "band"),
    [(0, "research"), (0.5, "holes"), (1, "holes"), (2, "first pass"), (2.5, "reasonably"), (3, "reasonably"),
     (3.5, "strong"), (5, "strong"), (5.5, "exceptional"), (7, "exceptional")],
)  # fmt: skip
def test_a_score_stands_for_what_the_paper_says(score: float, band: str):
    assert band in rubrics.band(score)


def test_the_api_gives_score_badge_history_and_notes(desk: Desk, admin: TestClient):
    assert admin.get(BASE).json()["score"] == 0.0
    badge = admin.get(f"{BASE}/badge")
    assert (badge.headers["content-type"], badge.text[:4]) == ("image/svg+xml", "<svg")
    assert "default-src 'none'" in badge.headers["content-security-policy"]
    assert admin.get(f"{BASE}/history").json()["items"] == []
    made = admin.post(f"{BASE}/notes", json={"test": "model-1", "text": "Two of us read it"})
    assert made.status_code == 201
    assert made.json()["who"] == "admin"
    ended = admin.delete(f"{BASE}/notes/{made.json()['id']}", params={"why": "we did not"})
    assert ended.json()["withdrawn_by"] == "admin"
    assert [note["id"] for note in admin.get(f"{BASE}/notes").json()["items"]] == [made.json()["id"]]
    assert admin.post(f"{BASE}/notes", json={"test": "model-8", "text": "x"}).status_code == 422
    assert admin.get("/api/v1/pilots/nothing/readiness").status_code == 404


def test_a_note_that_is_sent_twice_is_kept_once(desk: Desk, admin: TestClient):
    key = {"Idempotency-Key": "0f8fad5b-d9cb-469f-a165-70867728950e"}
    wish = {"test": "model-1", "text": "Two of us read it"}
    answers = [admin.post(f"{BASE}/notes", json=wish, headers=key) for _ in range(2)]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(audits.read(desk.engine, "small")) == 1


def test_the_page_shows_each_test_and_lets_who_may_approve_vouch(desk: Desk, admin: TestClient):
    page = admin.get("/pilots/small/readiness").text
    for rule in rubrics.RULES:
        assert f'id="{rule.id}"' in page
    assert page.count("Vouch for it") >= 28
    assert 'href="/pilots/small/readiness"' in admin.get("/pilots/small").text
    day = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    sent = admin.post(
        "/pilots/small/readiness/notes",
        data={"test": "data-5", "text": "We asked legal", "until": day},
        follow_redirects=False,
    )
    assert (sent.status_code, sent.headers["location"]) == (303, "/pilots/small/readiness#data-5")
    page = admin.get("/pilots/small/readiness").text
    assert "½ point" in page
    assert "admin: We asked legal" in page
    [path] = re.findall(r'action="([^"]+/withdraw)"', page)
    assert admin.post(path, data={"why": "no"}).status_code == 200
    assert "½ point" not in admin.get("/pilots/small/readiness").text


def test_who_may_only_look_sees_no_forms(desk: Desk, admin: TestClient):
    for role in (Role.VIEWER, Role.OPERATOR):
        viewer = client(desk, actor(role))
        page = viewer.get("/pilots/small/readiness")
        assert (page.status_code, "Vouch for it" in page.text) == (200, False)
        assert (
            viewer.post("/pilots/small/readiness/notes", data={"test": "data-5", "text": "x"}).status_code
            == 403
        )
    stranger = client(desk, actor(Role.ADMIN, pilot="other"))
    assert stranger.get("/pilots/small/readiness").status_code == 404
    assert audits.read(desk.engine) == []


def test_what_people_write_is_never_markup(desk: Desk, admin: TestClient):
    admin.post(f"{BASE}/notes", json={"test": "data-5", "text": HOSTILE})
    page = admin.get("/pilots/small/readiness").text
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_the_past_is_drawn_and_told(desk: Desk, admin: TestClient):
    from pilotage.pipelines.readiness import judgements

    found = judgements.assess(desk.settings, "small", engine=desk.engine)
    for day in range(3):
        histories.record(desk.engine, found.model_copy(update={"at": found.at + timedelta(days=2 * day)}))
    page = admin.get("/pilots/small/readiness").text
    assert "ML Test Score over time" in page
    assert page.count('<tr><th scope="row">') == 3
    assert len(json.loads(admin.get(f"{BASE}/history").text)["items"]) == 3


def test_tests_of_the_folder_are_run_with_what_they_call(call: Call, folder: Path):
    (folder / "made.py").write_text("def double(x):\n    return 2 * x\n\n\ndef unused():\n    return 1\n")
    test = folder / "test_made.py"
    test.write_text("import made\n\n\ndef test_it():\n    assert made.double(2) == 4\n")
    told = call("readiness", folder, "--prove", "tests", "--json")
    [proof] = told.document["proofs"]
    assert (told.code, proof["passed"], proof["summary"]) == (0, True, "1 of 1 tests in the folder passed")
    desk = Desk(settings.load())
    with desk.engine.connect() as connection:
        found = proofs.latest(connection, "small")[proofs.Kind.TESTS]
    assert found.details["called"] == ["made:double"]
    assert audits.read(desk.engine, "small")[0].action in (proofs.PROVED, "study")
    about = Subject(desk.settings, desk.engine, desk.registry, "small")
    assert about.proof(proofs.Kind.TESTS) is not None
    test.write_text(test.read_text().replace("== 4", "== 5"))  # what was proved is not what is there
    assert Subject(desk.settings, desk.engine, desk.registry, "small").proof(proofs.Kind.TESTS) is None
    failed = call("readiness", folder, "--prove", "tests", "--json")
    [proof] = failed.document["proofs"]
    assert (failed.code, proof["passed"]) == (3, False)
    assert "1 of 1 tests in the folder failed" in proof["summary"]


def test_what_is_to_be_tried_out_is_checked():
    found = studies.check(Kind.READINESS, {})
    assert found == {"prove": ["tests", "repeat", "simple"]}
    with pytest.raises(errors.SettingsError, match=r"Option `prove.0` of a readiness is wrong"):
        studies.check(Kind.READINESS, {"prove": ["x"]})


def test_a_button_tries_out_what_no_run_shows(admin: TestClient, desk: Desk):
    page = admin.get("/pilots/small/readiness").text
    assert page.count("Try it out now") == 4
    assert 'action="/pilots/small/readiness/prove"' in page
    sent = admin.post("/pilots/small/readiness/prove", data={"what": "tests"})
    assert "notice failed" in sent.text  # its folder is not on this machine
    viewer = client(desk, actor(Role.VIEWER))
    assert viewer.post("/pilots/small/readiness/prove", data={"what": "tests"}).status_code == 403
