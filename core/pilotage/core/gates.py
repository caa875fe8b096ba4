"""Gates as pure functions: a condition and what was measured give a verdict.

A value that could not be measured never passes, nor one whose interval a gate asks
for and that has none; a gate against a champion passes when there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pilotage.core.artifacts import Verdict
from pilotage.core.metrics import greater_is_better
from pilotage.core.specs import Against, At, Gate

Measured = Mapping[tuple[str, str | None], float | None]
"""Values by `Gate.subject`: the metric or measure, and the name of the grouping or None."""


class Span(NamedTuple):
    """How far a value may be off."""

    low: float | None
    high: float | None
    groups: tuple[str, ...] = ()
    """The two groups that are furthest apart."""


Spans = Mapping[tuple[str, str | None], Span]
"""Likewise, of the values that have an interval."""


def judge(gate: Gate, measured: Measured, rival: Measured | None, spans: Spans | None = None) -> Verdict:
    """The verdict of one gate.

    Args:
        gate: the condition.
        measured: the candidate's values.
        rival: the values of the model that `gate.against` names, on the same rows;
            None when there is no such model.
        spans: the candidate's intervals.
    """
    span = (spans or {}).get(gate.subject)
    found = _judge(gate, measured, rival, span)
    if span is None:
        return found
    return found.model_copy(update={"low": span.low, "high": span.high, "groups": span.groups})


def _judge(gate: Gate, measured: Measured, rival: Measured | None, span: Span | None) -> Verdict:
    value = _number(measured, gate)
    if value is None:
        return Verdict(gate=gate.label, passed=False, value=None, limit=None, reason="was not measured")
    if gate.against is None:
        return _within(gate, value, span)
    if rival is None:
        return Verdict(
            gate=gate.label, passed=True, value=value, limit=None, reason=f"there is no {gate.against} yet"
        )
    other = _number(rival, gate)
    if other is None:
        reason = f"the {gate.against} has no such value on these rows"
        return Verdict(gate=gate.label, passed=False, value=value, limit=None, reason=reason)
    return _against(gate, value, other)


def judge_all(
    gates: Sequence[Gate],
    measured: Measured,
    rivals: Mapping[Against, Measured | None],
    spans: Spans | None = None,
) -> list[Verdict]:
    """Verdicts of `gates` in order; `rivals` holds what each `against` stands for."""
    return [
        judge(gate, measured, rivals.get(gate.against) if gate.against else None, spans) for gate in gates
    ]


def _number(values: Measured, gate: Gate) -> float | None:
    value = values.get(gate.subject)
    return value if value is not None and math.isfinite(value) else None


def _within(gate: Gate, value: float, span: Span | None) -> Verdict:
    """Whether the value, or the end of its interval that the gate names, is within the limits."""
    held, limit, told = value, gate.min if gate.min is not None else gate.max, f"{value:.4g}"
    if gate.at is not At.VALUE:
        end = None if span is None else span.low if gate.at is At.LOW else span.high
        if end is None or not math.isfinite(end):
            reason = f"{told} has no interval to judge by"
            return Verdict(gate=gate.label, passed=False, value=value, limit=limit, reason=reason)
        held, told = end, f"{end:.4g}, the {gate.at.value} end of {told}'s interval,"
    between = f" between {' and '.join(span.groups)}" if span is not None and span.groups else ""
    if gate.min is not None and held < gate.min:
        passed, limit, reason = False, gate.min, f"{told} is below {gate.min:g}{between}"
    elif gate.max is not None and held > gate.max:
        passed, limit, reason = False, gate.max, f"{told} is above {gate.max:g}{between}"
    else:
        passed, reason = True, f"{told} is within the limits"
    return Verdict(gate=gate.label, passed=passed, value=value, limit=limit, reason=reason)


def _against(gate: Gate, value: float, other: float) -> Verdict:
    """Better by at least the margin; the trivial baseline has to be beaten, a tie is not enough."""
    sign = 1.0 if greater_is_better(gate.metric) else -1.0
    limit = other + sign * gate.margin
    lead = sign * (value - limit)
    passed = lead > 0 if gate.against is Against.BASELINE else lead >= 0
    relation = "meets" if passed else "does not meet"
    reason = (
        f"{value:.4g} {relation} {limit:.4g}, the {gate.against}'s {other:.4g} with margin {gate.margin:g}"
    )
    return Verdict(gate=gate.label, passed=passed, value=value, limit=limit, reason=reason)
