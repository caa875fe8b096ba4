"""Model cards: complete, honest about what nobody said, and never markup of somebody else's making."""

from __future__ import annotations

import re

import pytest
from tests.unit.components import scorecards
from tests.unit.components.scorecards import HOSTILE

from pilotage.components import cards
from pilotage.components.cards.evaluations import NO_GROUPS
from pilotage.components.cards.origins import NO_PRICE
from pilotage.core.artifacts import PersonalFinding, Synthetic, TrainingCost, Usage
from pilotage.core.specs import PersonalKind, Policy

SAID = {
    "intended_use": "To plan parcels.",
    "intended_users": ["planners", "drivers"],
    "out_of_scope": "Paying drivers.",
    "limits": "Snow.",
    "ethical_considerations": "Rural depots.",
    "data_collection": "Scanned at depots.",
    "data_license": "Ours.",
    "contact": "planning@example.org",
}


def test_a_page_holds_no_markup_of_the_data_and_loads_nothing() -> None:
    page = cards.page(cards.build(scorecards.known()))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"""\s(src|href|action|style|on\w+)=(?!"#)""", page)
    assert not re.search(r"""url\(|@import|https?://""", page)
    assert "default-src 'none'" in page


def test_markdown_holds_no_markup_of_the_data() -> None:
    text = cards.markdown(cards.build(scorecards.known()))
    assert "alert(1)" in text
    for line in text.splitlines():
        for place in (found.start() for found in re.finditer(r"<script|\*x", line)):
            assert line[place - 1] == "\\", line
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in tables]
    assert len(tables) > 20
    assert all(width >= 3 for width in widths)


def test_every_question_of_a_model_card_has_a_section() -> None:
    card = cards.build(scorecards.known())
    assert [section.key for section in card.sections] == [
        *("use", "limits", "metrics", "gates", "slices", "fairness", "reasons", "calibration"),
        *("worth", "data", "training", "ethics"),
    ]
    assert not card.passed
    page = cards.page(card)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert all(f'href="#{key}"' in page for key in ids)


@pytest.mark.parametrize("key", SAID)
def test_what_nobody_said_is_named_with_where_to_say_it_until_somebody_does(key: str) -> None:
    remedy = f"add `card.{key}`"
    silent = cards.build(scorecards.known("x"))
    assert remedy in {gap.remedy for gap in silent.gaps}
    assert f"not stated – {remedy}" in cards.page(silent)
    spoken = cards.build(scorecards.known("x", spec=scorecards.spec(card={key: SAID[key]})))
    assert remedy not in {gap.remedy for gap in spoken.gaps}
    page = cards.page(spoken)
    said = SAID[key]
    assert all(text in page for text in ([said] if isinstance(said, str) else said))
    assert len(spoken.gaps) == len(cards.build(scorecards.known("x", spec=scorecards.spec())).gaps) - 1


def test_a_card_on_which_everything_is_said_has_no_gap() -> None:
    whole = scorecards.spec(
        card=SAID,
        owner="planning",
        description="Late parcels",
        goal={"metric": "roc_auc", "value": {"true_positive": 1, "currency": "EUR"}},
    )
    card = cards.build(scorecards.known("x", spec=whole))
    assert card.gaps == ()
    assert "not stated" not in cards.page(card).replace("Not told", "")


def test_what_is_gone_is_a_gap_and_takes_nothing_else_away() -> None:
    bare = scorecards.scorecard("x", fairness=(), explanations=None, slices=(), calibration=(), worth=None)
    card = cards.build(scorecards.known("x", scorecard=bare, model=None, snapshot=None, report=None))
    page = cards.page(card)
    assert NO_GROUPS in card.gaps
    assert "Data sheet" in {gap.what for gap in card.gaps}
    assert "run the pilot again" in page
    assert "roc_auc" in page


def test_groups_that_differ_beyond_chance_are_an_ethical_matter_without_anybody_saying_so() -> None:
    card = cards.build(scorecards.known("team"))
    page = cards.page(card)
    assert "By team, groups differ beyond chance in demographic parity difference" in page
    assert "Groups of fewer than 50 rows are left out, with 7 rows: team small (7)." in page


def test_the_data_sheet_says_how_much_is_missing_of_each_column() -> None:
    text = cards.markdown(cards.build(scorecards.known("weight")))
    assert "| weight | number | feature, number | 25 % | over 10000 |" in text
    assert "| late | integer | target | 0 % | 2 |" in text
    assert HOSTILE not in text


def test_a_version_tells_what_was_decided() -> None:
    decided = (("Decision", "promoted: every gate passed"), ("Decided by", "ann"))
    card = cards.build(scorecards.known("x", version=3, decisions=decided))
    assert card.title == "parcels, version 3"
    assert "Decided by: ann" in cards.markdown(card)
    assert "Nothing was decided" in cards.page(cards.build(scorecards.known("x", version=3)))


def test_personal_and_synthetic_data_are_on_the_data_sheet() -> None:
    nothing = cards.markdown(cards.build(scorecards.known("x")))
    assert "No personal data was found in the source." in nothing
    assert "No synthetic row was used." in nothing
    snapshot = scorecards.snapshot("x").model_copy(
        update={
            "personal": (
                PersonalFinding(
                    column="mail", kind=PersonalKind.EMAIL, hits=9, looked=10, rows=10, policy=Policy.HASH
                ),
                PersonalFinding(column="town", kind=PersonalKind.EMAIL, hits=1, looked=10, rows=10),
            ),
            "forgotten": 4,
        }
    )
    made = Synthetic(method="gaussian copula", rows=50, seed=1, fitted_rows=400, notes=("not measured",))
    model = scorecards.model("x").model_copy(update={"synthetic": made})
    text = cards.markdown(cards.build(scorecards.known("x", snapshot=snapshot, model=model)))
    assert "| mail | email | 90 % | hash |" in text
    assert "| town | email | 10 % | stored as it is; pilot.yaml says nothing of it |" in text
    assert "4 rows of the source, by their keys" in text
    assert "Synthetic rows: 50, in training alone" in text
    assert "- not measured" in text


def test_what_training_used_is_told_and_what_it_cost_where_there_is_a_price() -> None:
    used = Usage(wall_seconds=3.5, cpu_seconds=3.0, peak_memory_bytes=1 << 28, processor="X", processors=2)
    free = scorecards.known("x", scorecard=scorecards.scorecard("x", training=used))
    assert NO_PRICE in cards.page(cards.build(free))
    paid = scorecards.scorecard("x", training=used, training_cost=TrainingCost(currency="EUR", total=0.02))
    card = cards.build(scorecards.known("x", scorecard=paid))
    text = cards.markdown(card)
    assert NO_PRICE not in text
    assert "Cost: 0.02 EUR" in text
    assert "Most memory: 256 MiB" in text
