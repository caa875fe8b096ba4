"""The page Responsible: what a pilot has to answer for, and that no part of it takes the others away."""

from __future__ import annotations

import pytest
from tests.unit.console.desks import actor, client
from tests.unit.console.monitored import know
from tests.unit.pipelines.drift_reports import spec

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.console.pages import responsible
from pilotage.console.pages.sections.bases import Section, Subject
from pilotage.core import errors

PAGE = "/pilots/small/responsible"


def broken(subject: Subject) -> Section | None:
    raise errors.NotFound(f"`{subject.pilot}` <b>is torn</b>.", remedy="Mend it.")


def test_a_pilot_without_a_version_is_told_how_to_get_one(desk: Desk):
    know(desk, spec())
    answer = client(desk).get(PAGE)
    assert answer.status_code == 200
    assert "pilotage run small" in answer.text


def test_a_pilot_leads_to_its_page(desk: Desk):
    know(desk, spec())
    assert f'href="{PAGE}"' in client(desk).get("/pilots/small").text


def test_who_may_not_look_at_the_pilot_learns_nothing(desk: Desk):
    know(desk, spec())
    assert client(desk, actor(Role.VIEWER)).get(PAGE).status_code == 200
    assert client(desk, actor(Role.ADMIN, pilot="other")).get(PAGE).status_code == 404
    assert client(desk).get("/pilots/nobody/responsible").status_code == 404
    assert client(desk).get(f"{PAGE}?version=7").status_code == 404


def test_a_section_that_cannot_be_shown_says_why_and_leaves_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    know(desk, spec())
    monkeypatch.setattr(responsible, "SECTIONS", (broken, *responsible.SECTIONS))
    page = client(desk).get(PAGE).text
    assert "is torn" in page
    assert "<b>is torn" not in page
    assert "Mend it." in page
