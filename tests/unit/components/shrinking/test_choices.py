"""Which candidate is chosen: never one that failed, the smallest of those that passed, or none with why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pilotage.components.shrinking import choices, objectives, trials
from pilotage.core import errors
from pilotage.core.artifacts import Candidate, Objective, Share, Technique

LIMITS = trials.Limits(max_drop=0.01, at_most=0.5)


def share(value: float) -> Share:
    return Share(value=value, low=value, high=value)


def candidate(name: str, size: float, row: float = 1.0, batch: float = 1.0, **more: Any) -> Candidate:
    times = {"row": share(row), "batch": share(batch)}
    facts: dict[str, Any] = {"drop": 0.0, "metric": 0.9, **times, **more}
    made = Candidate(
        name=name,
        technique=Technique.PRUNED,
        how="smaller",
        passed=False,
        size=size,
        **facts,
    )
    return trials.limit(made, LIMITS)


def test_the_smallest_of_those_that_passed_is_chosen() -> None:
    found = choices.choose([candidate("a", 0.4), candidate("b", 0.5, 0.5, 0.5), candidate("c", 0.3)])
    assert found[0] == "b"
    assert "3 that passed" in found[1]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"reasons": ("roc_auc >= 0.9: 0.5 is below 0.9",)}, "is below 0.9"),
        ({"drop": 0.02}, "it loses 0.02, more than 0.01"),
        ({"drop": None}, "was not measured"),
    ],
    ids=["gate", "drop", "unmeasured"],
)
def test_one_that_failed_is_not_chosen_however_small_it_is(more: dict[str, Any], reason: str) -> None:
    bad, good = candidate("tiny", 0.001, 0.01, 0.01, **more), candidate("good", 0.5)
    assert reason in "; ".join(bad.reasons)
    assert choices.choose([bad, good])[0] == "good"
    assert choices.choose([bad, good], "tiny")[0] is None
    alone, why = choices.choose([bad])
    assert alone is None
    assert reason in why


def test_one_that_saves_too_little_is_not_chosen() -> None:
    large = candidate("large", 0.51, 0.9, 1.2)
    assert not large.passed
    assert "it saves too little" in large.reasons[0]
    assert candidate("quick", 1.3, 1.0, 0.5).passed


@pytest.mark.parametrize(
    ("objective", "passed", "chosen"),
    [
        (Objective.BALANCED, {"even"}, "even"),
        (Objective.SIZE, {"tiny", "even"}, "tiny"),
        (Objective.LATENCY, {"even", "quick"}, "quick"),
        (Objective.THROUGHPUT, {"wide"}, "wide"),
    ],
    ids=str,
)
def test_the_objective_says_what_counts_and_where_a_model_may_not_be_slower(
    objective: Objective, passed: set[str], chosen: str
) -> None:
    limits = replace(LIMITS, objective=objective)
    known = [
        trials.limit(item.model_copy(update={"reasons": ()}), limits)
        for item in (
            candidate("tiny", 0.1, 3.0, 0.9),
            candidate("even", 0.4, 0.5, 0.9),
            candidate("quick", 0.9, 0.2, 1.3),
            candidate("late", 0.9, 0.1, 0.6, row_p99=share(1.4)),
            candidate("wide", 0.9, 1.2, 0.2),
        )
    ]
    assert {item.name for item in known if item.passed} == passed
    name, why = choices.choose(known, objective=objective)
    assert name == chosen
    assert objectives.COSTS[objective] in why
    assert objectives.COSTS[objective] in objectives.rule(objective)


@pytest.mark.parametrize("name", ["row", "row_p99", "batch"])
def test_a_time_is_longer_where_its_whole_interval_is(name: str) -> None:
    unsure = candidate("a", 0.4).model_copy(update={name: Share(value=1.2, low=1.04, high=1.4)})
    assert list(objectives.slower(unsure)) == []
    slow = candidate("a", 0.4).model_copy(update={name: share(1.06)})
    (told,) = objectives.slower(slow)
    assert told.startswith("1.06 of the ")
    assert f"it is slower: {told}" in trials.limit(slow, LIMITS).reasons


def test_what_failed_by_least_is_named_where_none_passed() -> None:
    near = candidate("near", 0.2, reasons=("roc_auc against champion: worse",))
    far = candidate("far", 0.9, drop=0.5)
    assert choices.choose([far, near]) == (
        None,
        "none passed; `near` fails only by this: roc_auc against champion: worse",
    )


def test_where_nothing_can_be_made_that_is_said() -> None:
    unmade = Candidate(
        name="x", technique=Technique.PRUNED, how="not made", passed=False, reasons=("no trees",)
    )
    assert choices.choose([trials.limit(unmade, LIMITS)]) == (
        None,
        "none of the candidates can be made of this version",
    )


def test_a_name_that_no_candidate_has_is_refused_with_those_that_are() -> None:
    with pytest.raises(errors.NotFound, match="Candidates are a, b"):
        choices.choose([candidate("a", 0.4), candidate("b", 0.4)], "c")
