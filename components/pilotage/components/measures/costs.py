"""What a version took to make, and what a prediction of it takes, for gates on costs.

Only what a gate asks for is worked out: what a machine draws takes a second to look up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pilotage.components.measures.measurements import Measured
from pilotage.core.artifacts import Latency, TrainingCost, Usage
from pilotage.core.costs import estimates, prices
from pilotage.core.costs.estimates import Bill
from pilotage.core.metrics import COST_MEASURES, Measure
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec

_NO_PRICES = "there are no prices; set PILOTAGE_PRICES"
_NOTHING_TOLD = "the steps before did not tell what they used; run them again without the cache"


@dataclass(frozen=True)
class Spent:
    """What is known of costs."""

    values: Measured = field(default_factory=dict)
    gaps: Mapping[str, str] = field(default_factory=dict)
    """Why a measure that a gate asks for is not known."""
    training: Usage | None = None
    training_cost: TrainingCost | None = None


def find(spec: PilotSpec, settings: Settings, used: Mapping[str, Usage], latency: Latency) -> Spent:
    """What gates of `spec` ask for, and what training used.

    The evaluation that asks, and registration, are not part of it: they come after the verdict.
    A thousand predictions are priced as if one CPU did nothing else for the median latency of one row.

    Raises:
        SettingsError: the table of prices is wrong.
    """
    training, table = used.get("train"), prices.load(settings)
    cost = None
    if training is not None and table is not None:
        paid = prices.price(table.model_copy(update={"kwh": None}), training, None)
        cost = TrainingCost(currency=paid.currency, total=paid.total, unpriced=paid.unpriced)
    wanted = {gate.metric for gate in spec.gates} & COST_MEASURES
    whole = estimates.together([estimates.bill(settings, part) for part in used.values()]) if wanted else None
    values: dict[tuple[str, str | None], float | None] = {}
    gaps: dict[str, str] = {}
    for name in sorted(wanted):
        value, gap = _measure(Measure(name), settings, training, whole, latency)
        values[name, None] = value
        if value is None:
            gaps[name] = gap
    return Spent(values, gaps, training, cost)


def _measure(
    measure: Measure, settings: Settings, training: Usage | None, whole: Bill | None, latency: Latency
) -> tuple[float | None, str]:
    """A value, or why there is none."""
    if measure is Measure.COST_PER_THOUSAND:
        of_thousand = estimates.of_cpu_seconds(settings, latency.p50_ms).cost
        return (of_thousand.total if of_thousand else None), _NO_PRICES
    if training is None or whole is None:
        return None, _NOTHING_TOLD
    if measure is Measure.TRAINING_SECONDS:
        return training.wall_seconds, ""
    if measure is Measure.COST_PER_RUN:
        return (whole.cost.total if whole.cost else None), _NO_PRICES
    energy = whole.energy
    value = None if energy is None else energy.kwh if measure is Measure.ENERGY_KWH else energy.co2_kg
    return value, whole.energy_unknown
