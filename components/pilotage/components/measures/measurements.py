"""All that gates may ask for, measured on one model's predictions of the held-out rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pilotage.components.measures import calibrations, fairness, scores, worths
from pilotage.components.measures.fairness import Labels
from pilotage.components.measures.scores import Outcomes
from pilotage.core.artifacts import Fairness, Latency, Synthetic
from pilotage.core.metrics import METRICS, Measure
from pilotage.core.specs import PilotSpec, Value

Measured = dict[tuple[str, str | None], float | None]
"""Values by (metric or measure, `by` column or None), as `pilotage.core.gates` reads them."""


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
    groups: Mapping[str, Labels],
    goal: str,
    value: Value | None,
    latency: Latency | None,
) -> Measured:
    """Every value that can be had.

    Args:
        found: the predictions.
        metrics: scikit-learn scorers' names.
        groups: names of the groups of the same rows, by column.
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
    for by, labels in groups.items():
        measured.update(_by_group(fairness.compare(by, labels, found, goal)))
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


def _by_group(compared: Fairness) -> Measured:
    return {
        (Measure.DEMOGRAPHIC_PARITY_DIFFERENCE, compared.by): compared.demographic_parity_difference,
        (Measure.EQUALIZED_ODDS_DIFFERENCE, compared.by): compared.equalized_odds_difference,
        (Measure.GROUP_METRIC_DIFFERENCE, compared.by): compared.group_metric_difference,
    }
