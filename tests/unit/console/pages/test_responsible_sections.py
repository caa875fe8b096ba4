"""Sections of the page Responsible on a scorecard whose every name tries to be markup."""

from __future__ import annotations

import pytest
from tests.unit.components import scorecards
from tests.unit.components.scorecards import HOSTILE
from tests.unit.console.desks import actor

from pilotage.console.operations.desks import Desk
from pilotage.console.operations.models.versions import Version
from pilotage.console.pages import rendering
from pilotage.console.pages.sections import explanations, fairness
from pilotage.console.pages.sections.bases import Section, Show, Subject
from pilotage.core.artifacts import Scorecard


def subject(desk: Desk, card: Scorecard | None) -> Subject:
    version = Version(
        pilot="small", version=3, aliases=(), created_at=scorecards.NOW, run=None, mlflow_run="m", tags={}
    )
    return Subject(desk, actor(), "small", version, card, None)


def rendered(section: Section | None, of: Subject) -> str:
    assert section is not None
    return rendering.fragment(section.template, section=section, subject=of, pilot="small", shown=of.version)


@pytest.mark.parametrize("show", [fairness.show, explanations.show], ids=["fairness", "explanations"])
def test_names_from_data_are_never_markup(desk: Desk, show: Show) -> None:
    of = subject(desk, scorecards.scorecard())
    page = rendered(show(of), of)
    assert "alert(1)" in page
    assert "<script" not in page
    assert " style=" not in page


def test_groups_are_told_with_intervals_and_what_was_left_out(desk: Desk) -> None:
    of = subject(desk, scorecards.scorecard("team"))
    page = rendered(fairness.show(of), of)
    assert "0.2 (0.1 to 0.3)" in page
    assert "team 0 and team 1" in page
    assert "Groups of fewer than 50 rows are left out, with 7 rows" in page
    assert page.count('<circle class="dot"') == 2 * 2


def test_only_the_gates_of_a_grouping_stand_beside_it(desk: Desk) -> None:
    card = scorecards.scorecard("team")
    gates = tuple(
        card.gates[0].model_copy(update={"gate": f"equalized_odds_difference by {by} <= 0.2", "reason": by})
        for by in ("team", "team × place")
    )
    of = subject(desk, card.model_copy(update={"gates": gates}))
    page = rendered(fairness.show(of), of)
    assert "by team &lt;= 0.2" in page
    assert "team × place" not in page


def test_where_nobody_compares_groups_the_page_says_how(desk: Desk) -> None:
    of = subject(desk, scorecards.scorecard("x", fairness=()))
    assert "by: COLUMN" in rendered(fairness.show(of), of)


def test_a_scorecard_without_reasons_says_so(desk: Desk) -> None:
    of = subject(desk, scorecards.scorecard("x", explanations=None))
    assert "Run the pilot again" in rendered(explanations.show(of), of)
    assert explanations.show(subject(desk, None)) is None
    assert HOSTILE not in rendered(explanations.show(of), of)
