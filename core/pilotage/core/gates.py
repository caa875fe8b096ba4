"""Gates as pure functions: a condition and what was measured give a verdict.

A value that could not be measured never passes; a gate against a champion
passes when there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pilotage.core.artifacts import Verdict
from pilotage.core.metrics import greater_is_better
from pilotage.core.specs import Against, Gate

Measured = Mapping[tuple[str, str | None], float | None]
"""Values by (metric or measure, `by` column or None)."""


def judge(gate: Gate, measured: Measured, rival: Measured | None) -> Verdict:
    """The verdict of one gate.

    Args:
        gate: the condition.
        measured: the candidate's values.
        rival: the values of the model that `gate.against` names, on the same rows;
            None when there is no such model.
    """
    value = _number(measured, gate)
    if value is None:
        return Verdict(gate=gate.label, passed=False, value=None, limit=None, reason="was not measured")
    if gate.against is None:
        return _within(gate, value)
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
    gates: Sequence[Gate], measured: Measured, rivals: Mapping[Against, Measured | None]
) -> list[Verdict]:
    """Verdicts of `gates` in order; `rivals` holds what each `against` stands for."""
    return [judge(gate, measured, rivals.get(gate.against) if gate.against else None) for gate in gates]


def _number(values: Measured, gate: Gate) -> float | None:
    value = values.get((gate.metric, gate.by))
    return value if value is not None and math.isfinite(value) else None


def _within(gate: Gate, value: float) -> Verdict:
    if gate.min is not None and value < gate.min:
        return Verdict(
            gate=gate.label,
            passed=False,
            value=value,
            limit=gate.min,
            reason=f"{value:.4g} is below {gate.min:g}",
        )
    if gate.max is not None and value > gate.max:
        return Verdict(
            gate=gate.label,
            passed=False,
            value=value,
            limit=gate.max,
            reason=f"{value:.4g} is above {gate.max:g}",
        )
    limit = gate.min if gate.min is not None else gate.max
    return Verdict(
        gate=gate.label, passed=True, value=value, limit=limit, reason=f"{value:.4g} is within the limits"
    )


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
