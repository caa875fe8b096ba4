"""Pilots over HTTP: taken in once, listed to those who may see them, and nobody else's business."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.console.desks import actor, client

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.pipelines.journals import audits


@pytest.fixture
def folder(write: Callable[..., Path]) -> Path:
    """A pilot named `small`."""
    return write("a,b,y\n1,2,0\n2,3,1\n")


def test_a_pilot_is_taken_in_once_and_read_back(desk: Desk, folder: Path):
    admin = client(desk)
    for _ in range(2):
        added = admin.post("/api/v1/pilots", json={"folder": str(folder)})
        assert added.status_code == 201
    assert admin.get("/api/v1/pilots/small").json() == added.json()
    assert [item["name"] for item in admin.get("/api/v1/pilots").json()["items"]] == ["small"]
    assert [line.action for line in audits.read(desk.engine)] == ["add"]


def test_those_who_may_not_are_told_so_and_change_nothing(desk: Desk, folder: Path):
    refused = client(desk, actor(Role.APPROVER)).post("/api/v1/pilots", json={"folder": str(folder)})
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
    assert "may not administer" in refused.json()["detail"]
    assert audits.read(desk.engine) == []


def test_a_pilot_of_others_is_as_if_it_were_not_there(desk: Desk, folder: Path):
    client(desk).post("/api/v1/pilots", json={"folder": str(folder)})
    stranger = client(desk, actor(Role.ADMIN, pilot="other"))
    missing = stranger.get("/api/v1/pilots/nothing").json()["detail"]
    assert stranger.get("/api/v1/pilots/small").json()["detail"] == missing.replace("nothing", "small")
    assert stranger.get("/api/v1/pilots").json()["items"] == []
    assert "small" not in stranger.get("/").text


def test_a_folder_without_a_pilot_is_a_problem_document(desk: Desk):
    answer = client(desk).post("/api/v1/pilots", json={"folder": "/nowhere"})
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:pilotage:problem:not-found"


def test_long_lists_come_in_pages(desk: Desk, write: Callable[..., Path]):
    admin = client(desk)
    folder = write("a,b,y\n1,2,0\n2,3,1\n")
    text = (folder / "pilot.yaml").read_text()
    for name in ("c", "a", "b"):
        (folder / "pilot.yaml").write_text(text.replace("pilot: small", f"pilot: {name}"))
        assert admin.post("/api/v1/pilots", json={"folder": str(folder)}).status_code == 201
    first = admin.get("/api/v1/pilots", params={"limit": 2}).json()
    rest = admin.get("/api/v1/pilots", params={"limit": 2, "cursor": first["next"]}).json()
    assert [item["name"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next"] is None
    assert admin.get("/api/v1/pilots", params={"cursor": "x"}).status_code == 422


def test_no_page_may_load_or_run_anything_from_elsewhere(desk: Desk):
    page = client(desk).get("/")
    assert page.status_code == 200
    assert "script-src 'self';" in page.headers["content-security-policy"]
