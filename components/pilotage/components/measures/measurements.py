"""All that gates may ask for, measured on one model's predictions of the held-out rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pilotage.components.measures import calibrations, fairness, scores, worths
from pilotage.components.measures.groupings import Labels
from pilotage.components.measures.scores import Outcomes
from pilotage.core.artifacts import Estimate, Fairness, Latency, Synthetic
from pilotage.core.gates import Span
from pilotage.core.metrics import METRICS, Measure
from pilotage.core.specs import Grouping, PilotSpec, Value

Measured = dict[tuple[str, str | None], float | None]
"""Values by (metric or measure, name of the grouping or None), as `pilotage.core.gates` reads them."""


_NOTHING_GIVEN_AWAY = {
    Measure.SYNTHETIC_COPIES: 0.0,
    Measure.SYNTHETIC_CLOSENESS: 0.5,
    Measure.SYNTHETIC_MEMBERSHIP: 0.5,
}


def metric_names(spec: PilotSpec, classes: int) -> tuple[str, ...]:
    """The goal's metric, then every gate's, the monitor's, and the task's standard ones; each once."""
    gated = [gate.metric for gate in spec.gates if gate.metric in METRICS]
    standard = scores.standard_metrics(spec.task, classes)
    return tuple(dict.fromkeys([spec.goal.metric, *gated, spec.performance_metric, *standard]))


def measure(
    found: Outcomes,
    metrics: Iterable[str],
    groups: Mapping[Grouping, Labels],
    goal: str,
    value: Value | None,
    latency: Latency | None,
) -> Measured:
    """Every value that can be had.

    Args:
        found: the predictions.
        metrics: scikit-learn scorers' names.
        groups: names of the groups of the same rows.
        goal: the metric whose difference between groups is measured.
        value: what predictions are worth, if anything.
        latency: how fast the model is, if that was measured.
    """
    measured: Measured = {(metric, None): scores.score(metric, found) for metric in metrics}
    measured[Measure.CALIBRATION_ERROR, None] = calibrations.calibration_error(found)
    if value is not None:
        measured[Measure.BUSINESS_VALUE, None] = worths.per_row(found, value)
    if latency is not None:
        measured[Measure.LATENCY_P50_MS, None] = latency.p50_ms
        measured[Measure.LATENCY_P99_MS, None] = latency.p99_ms
    for grouping, labels in groups.items():
        measured.update(by_group(fairness.compare(grouping, labels, found, goal)))
    return measured


def of_synthetic(synthetic: Synthetic | None) -> Measured:
    """What gates may ask of the synthetic rows that a model was trained on; where there are none because
    none were needed, nothing is given away."""
    if synthetic is None:
        return {}
    if not synthetic.rows:
        return {(measure, None): value for measure, value in _NOTHING_GIVEN_AWAY.items()}
    leakage, utility, fidelity = synthetic.leakage, synthetic.utility, synthetic.fidelity
    return {
        (Measure.SYNTHETIC_FIDELITY, None): None if fidelity is None else fidelity.score,
        (Measure.SYNTHETIC_UTILITY, None): None if utility is None else utility.difference.value,
        (Measure.SYNTHETIC_COPIES, None): None if leakage is None else max(0.0, leakage.copy_excess),
        (Measure.SYNTHETIC_CLOSENESS, None): None if leakage is None else leakage.closeness.value,
        (Measure.SYNTHETIC_MEMBERSHIP, None): None if leakage is None else leakage.membership.value,
    }


def spans_of_synthetic(synthetic: Synthetic | None) -> dict[tuple[str, str | None], Span]:
    """The intervals of what gates may ask of synthetic rows."""
    if synthetic is None:
        return {}
    if not synthetic.rows:
        return {(measure, None): Span(value, value) for measure, value in _NOTHING_GIVEN_AWAY.items()}
    found: dict[tuple[str, str | None], Span] = {}
    if synthetic.utility is not None:
        difference = synthetic.utility.difference
        found[Measure.SYNTHETIC_UTILITY, None] = Span(difference.low, difference.high)
    if synthetic.leakage is not None:
        close, member = synthetic.leakage.closeness, synthetic.leakage.membership
        found[Measure.SYNTHETIC_CLOSENESS, None] = Span(close.low, close.high)
        found[Measure.SYNTHETIC_MEMBERSHIP, None] = Span(member.low, member.high)
    return found


def by_group(compared: Fairness) -> Measured:
    """What gates may ask of groups."""
    return {(found.measure, compared.by): found.value for found in compared.differences}


def spans(
    compared: Iterable[Fairness], metrics: Mapping[str, Estimate]
) -> dict[tuple[str, str | None], Span]:
    """The intervals of what gates may ask for, where there are some."""
    found: dict[tuple[str, str | None], Span] = {
        (name, None): Span(estimate.low, estimate.high)
        for name, estimate in metrics.items()
        if estimate.low is not None
    }
    for by in compared:
        found |= {(item.measure, by.by): Span(item.low, item.high, item.groups) for item in by.differences}
    return found
