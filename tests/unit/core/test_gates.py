"""A gate's verdict depends on what was measured and nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pilotage.core import gates
from pilotage.core.gates import Span
from pilotage.core.specs import Against, Gate


def verdict(gate: Gate, value: float | None, rival: float | None = None, *, no_rival: bool = False):
    key = gate.subject
    return gates.judge(gate, {key: value}, None if no_rival else {key: rival})


@pytest.mark.parametrize(
    ("limits", "value", "passed"),
    [
        ({"min": 0.65}, 0.65, True),
        ({"min": 0.65}, 0.6499, False),
        ({"max": 20.0}, 20.0, True),
        ({"max": 20.0}, 20.1, False),
        ({"min": 0.1, "max": 0.2}, 0.15, True),
        ({"min": 0.1, "max": 0.2}, 0.25, False),
    ],
)
def test_limits_include_their_ends(limits: dict[str, float], value: float, passed: bool) -> None:
    assert verdict(Gate(metric="roc_auc", **limits), value).passed is passed


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_was_not_measured_never_passes(value: float | None) -> None:
    found = verdict(Gate(metric="roc_auc", min=-10.0), value)
    assert not found.passed
    assert found.value is None


def test_a_tie_beats_the_champion_but_not_the_baseline() -> None:
    assert verdict(Gate(metric="roc_auc", against=Against.CHAMPION), 0.5, 0.5).passed
    assert not verdict(Gate(metric="roc_auc", against=Against.BASELINE), 0.5, 0.5).passed


@pytest.mark.parametrize(
    ("metric", "margin", "value", "champion", "passed"),
    [
        ("roc_auc", -0.005, 0.696, 0.70, True),
        ("roc_auc", -0.005, 0.694, 0.70, False),
        ("roc_auc", 0.01, 0.705, 0.70, False),
        ("latency_p99_ms", -1.0, 10.9, 10.0, True),
        ("latency_p99_ms", -1.0, 11.1, 10.0, False),
        ("neg_mean_absolute_error", 0.0, -9.0, -10.0, True),
    ],
)
def test_the_margin_counts_in_the_direction_that_is_better(
    metric: str, margin: float, value: float, champion: float, passed: bool
) -> None:
    gate = Gate(metric=metric, against=Against.CHAMPION, margin=margin)
    assert verdict(gate, value, champion).passed is passed


def test_a_first_version_has_no_champion_to_lose_to() -> None:
    found = verdict(Gate(metric="roc_auc", against=Against.CHAMPION), 0.4, no_rival=True)
    assert found.passed
    assert "no champion yet" in found.reason


def test_a_champion_that_cannot_be_measured_is_not_beaten() -> None:
    assert not verdict(Gate(metric="roc_auc", against=Against.CHAMPION), 0.9, None).passed


def test_all_gates_are_judged_in_order_each_against_its_own_rival() -> None:
    judged = gates.judge_all(
        [
            Gate(metric="roc_auc", against=Against.BASELINE),
            Gate(metric="roc_auc", against=Against.CHAMPION),
            Gate(metric="demographic_parity_difference", by="sex", max=0.2),
        ],
        {("roc_auc", None): 0.7, ("demographic_parity_difference", "sex"): 0.3},
        {Against.BASELINE: {("roc_auc", None): 0.5}, Against.CHAMPION: {("roc_auc", None): 0.8}},
    )
    assert [item.passed for item in judged] == [True, False, False]
    assert judged[2].gate == "demographic_parity_difference by sex <= 0.2"


@pytest.mark.parametrize(
    ("at", "limits", "passed"),
    [
        ("value", {"max": 0.2}, True),
        ("high", {"max": 0.2}, False),
        ("high", {"max": 0.31}, True),
        ("low", {"max": 0.04}, False),
        ("low", {"min": 0.05}, True),
        ("high", {"min": 0.05, "max": 0.25}, False),
    ],
)
def test_a_gate_may_be_judged_at_an_end_of_the_interval(
    at: str, limits: dict[str, float], passed: bool
) -> None:
    gate = Gate.model_validate(
        {"metric": "demographic_parity_difference", "by": ["sex", "age"], "at": at, **limits}
    )
    span = Span(0.05, 0.3, ("w × young", "m × old"))
    found = gates.judge(gate, {gate.subject: 0.15}, None, {gate.subject: span})
    assert found.passed is passed
    assert (found.value, found.low, found.high, found.groups) == (0.15, *span)
    if not passed:
        assert "between w × young and m × old" in found.reason
    assert gate.subject == ("demographic_parity_difference", "sex × age")
    assert ("end of" in found.gate) == (at != "value")


def test_a_gate_at_the_end_of_an_interval_that_is_not_there_fails() -> None:
    gate = Gate.model_validate({"metric": "roc_auc", "min": 0.1, "at": "low"})
    for spans in ({}, {gate.subject: Span(None, None)}):
        found = gates.judge(gate, {gate.subject: 0.9}, None, spans)
        assert not found.passed
        assert "no interval" in found.reason


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"metric": "roc_auc", "min": 0.5, "min_group": 50}, "go with `by`"),
        ({"metric": "roc_auc", "min": 0.5, "small_groups": "merge"}, "go with `by`"),
        ({"metric": "roc_auc", "against": "champion", "at": "low"}, "goes with `min` and `max`"),
        ({"metric": "latency_p99_ms", "max": 5, "at": "high"}, "has no interval"),
        ({"metric": "group_metric_difference", "by": ["a", "a"], "max": 1}, "twice"),
        ({"metric": "group_metric_difference", "by": [], "max": 1}, "at least 1"),
        ({"metric": "demographic_parity_ratio", "min": 0.8}, "needs `by`"),
    ],
)
def test_a_gate_on_groups_that_means_nothing_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Gate.model_validate(more)


def test_gates_that_part_rows_differently_have_different_names() -> None:
    plain = {"metric": "demographic_parity_difference", "by": "a", "max": 0.1}
    told = {
        Gate.model_validate({**plain, **more}).label
        for more in ({}, {"min_group": 50}, {"small_groups": "merge"}, {"at": "high"}, {"by": ["a", "b"]})
    }
    assert len(told) == 5
