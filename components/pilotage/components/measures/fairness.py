"""Differences between the groups of a column, or of several, with intervals.

Demographic parity: the rate at which groups are predicted to be positive, as difference and as
ratio (Agarwal, Beygelzimer, Dudik, Langford, Wallach, 2018; the ratio is that of the four-fifths
rule, 29 CFR 1607.4 D). Equalized odds: the larger of the spreads of true and of false positive
rates; equal opportunity: that of true positive rates (Hardt, Price, Srebro, 2016). Predictive
parity: the spread of precisions (Chouldechova, 2017). With more than two classes each is taken as
positive in turn and the largest difference counts. Of numbers: the spread of mean errors.

Rates have Jeffreys' intervals, which hold for few rows and for rates of 0 and 1 (Brown, Cai,
DasGupta, 2001), and their resamples are drawn from the same distribution; metrics are bootstrapped.
What that means for the largest of many differences is in `spreads`; which rows are compared, in
`groupings`; whether a difference is too large is a gate's question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from pilotage.components.measures import bootstraps, groupings, scores, spreads
from pilotage.components.measures.groupings import Labels
from pilotage.components.measures.scores import Outcomes
from pilotage.components.measures.spreads import Compared, Spread
from pilotage.core.artifacts import Difference, Estimate, Fairness, Group, Scalar
from pilotage.core.metrics import PARITIES, Measure, Task
from pilotage.core.specs import Grouping

Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
_RESAMPLES_OF_MANY = 300
_MANY = 20
"""Classes, times rates, from which on fewer resamples are drawn."""


@dataclass(frozen=True)
class _Rate:
    """How often something is so in each of `g` groups: `k` of `n` rows."""

    names: tuple[str, ...]
    k: Floats
    n: Floats

    def among(self) -> _Rate:
        """The same of the groups that have rows to tell by."""
        told = self.n > 0
        names = tuple(name for name, there in zip(self.names, told, strict=True) if there)
        return _Rate(names, self.k[told], self.n[told])

    def estimates(self) -> list[Estimate | None]:
        """By group, with Jeffreys' 95 % interval; None without rows to tell by."""
        low = np.where(self.k > 0, betaincinv(self.k + 0.5, self.n - self.k + 0.5, 0.025), 0.0)
        high = np.where(self.k < self.n, betaincinv(self.k + 0.5, self.n - self.k + 0.5, 0.975), 1.0)
        return [
            Estimate(value=float(k / n), low=float(low[place]), high=float(high[place])) if n else None
            for place, (k, n) in enumerate(zip(self.k, self.n, strict=True))
        ]

    def compared(self, rng: np.random.Generator, resamples: int, *, logs: bool = False) -> Compared:
        """As `spreads` takes it; `logs` of the rates, for ratios."""
        found = self.among()
        with np.errstate(divide="ignore"):
            values = np.log(found.k / found.n) if logs else found.k / found.n
        drawn = rng.beta(found.k + 0.5, found.n - found.k + 0.5, (resamples, len(found.names)))
        drawn = np.log(np.maximum(drawn, np.finfo(np.float64).tiny)) if logs else drawn
        return Compared(found.names, values, drawn.mean(axis=0), drawn)


@dataclass(frozen=True)
class _Rates:
    """The rates of one class taken as positive."""

    selected: _Rate
    true_positive: _Rate
    false_positive: _Rate
    precision: _Rate


def compare(
    grouping: Grouping, labels: Labels, found: Outcomes, metric: str, seed: int | None = None
) -> Fairness:
    """The groups side by side.

    Args:
        grouping: which columns, and what becomes of small groups.
        labels: name of each row's group, shape `(n,)`, as `groupings` gives it.
        found: predictions of the same rows.
        metric: the goal's, for the difference between groups.
        seed: of the intervals; None leaves them out.
    """
    parts = groupings.part(labels, grouping)
    rng = None if seed is None else np.random.default_rng(seed)
    outcomes = {name: found.take(rows) for name, rows in parts.groups.items()}
    rates = _rates(outcomes, found) if found.task is Task.CLASSIFICATION else []
    metrics = _metrics(outcomes, metric, rng)
    errors = _errors(outcomes, rng) if found.task is Task.REGRESSION else {}
    differences = _parities(rates, found.classes, rng) if rates else []
    if errors:
        differences.append(_of_draws(Measure.MEAN_ERROR_DIFFERENCE, errors, rng))
    differences.append(_of_draws(Measure.GROUP_METRIC_DIFFERENCE, metrics, rng))
    known = {difference.measure: difference.value for difference in differences}
    return Fairness(
        by=grouping.label,
        columns=grouping.columns,
        demographic_parity_difference=known.get(Measure.DEMOGRAPHIC_PARITY_DIFFERENCE),
        equalized_odds_difference=known.get(Measure.EQUALIZED_ODDS_DIFFERENCE),
        group_metric_difference=known.get(Measure.GROUP_METRIC_DIFFERENCE),
        differences=tuple(differences),
        groups=_groups(outcomes, rates[0] if found.binary and rates else None, metrics, errors),
        min_group=grouping.min_group,
        left_out=parts.left_out,
        small=parts.small,
        small_groups=parts.small_groups,
        merged=parts.merged,
    )


def _rates(outcomes: Mapping[str, Outcomes], found: Outcomes) -> list[_Rates]:
    """By class that is taken as positive: of two the positive one, of more each."""
    return [
        _rates_of(outcomes, positive) for positive in ([1] if found.binary else range(len(found.classes)))
    ]


def _rates_of(outcomes: Mapping[str, Outcomes], positive: int) -> _Rates:
    names = tuple(outcomes)
    counts = np.array([_counts(part, positive) for part in outcomes.values()], dtype=np.float64).reshape(
        -1, 4
    )
    rows, selected, actual, right = counts.T
    return _Rates(
        selected=_Rate(names, selected, rows),
        true_positive=_Rate(names, right, actual),
        false_positive=_Rate(names, selected - right, rows - actual),
        precision=_Rate(names, right, selected),
    )


def _counts(part: Outcomes, positive: int) -> tuple[int, int, int, int]:
    """Rows, those predicted positive, those that are, and those that are both."""
    selected, actual = part.predicted == positive, part.truth == positive
    return part.rows, int(selected.sum()), int(actual.sum()), int((selected & actual).sum())


def _parities(
    rates: Sequence[_Rates], classes: Sequence[Scalar], rng: np.random.Generator | None
) -> list[Difference]:
    """Every measure of which class groups are predicted to be in."""
    kinds: dict[Measure, list[tuple[int, _Rate]]] = {
        Measure.DEMOGRAPHIC_PARITY_DIFFERENCE: [(place, rate.selected) for place, rate in enumerate(rates)],
        Measure.DEMOGRAPHIC_PARITY_RATIO: [
            (place, rate.selected) for place, rate in enumerate(rates) if rate.selected.k.any()
        ],
        Measure.EQUALIZED_ODDS_DIFFERENCE: [
            (place, side)
            for place, rate in enumerate(rates)
            for side in (rate.true_positive, rate.false_positive)
        ],
        Measure.EQUAL_OPPORTUNITY_DIFFERENCE: [
            (place, rate.true_positive) for place, rate in enumerate(rates)
        ],
        Measure.PREDICTIVE_PARITY_DIFFERENCE: [(place, rate.precision) for place, rate in enumerate(rates)],
    }
    found = []
    for measure in PARITIES:
        logs = measure is Measure.DEMOGRAPHIC_PARITY_RATIO
        resamples = _RESAMPLES_OF_MANY if len(kinds[measure]) > _MANY else RESAMPLES
        source = rng or np.random.default_rng(0)
        compared = [rate.compared(source, resamples if rng else 2, logs=logs) for _, rate in kinds[measure]]
        spread = spreads.largest(compared)
        difference = _difference(measure, spread, interval=rng is not None)
        if spread is not None and len(rates) > 1:
            positive = classes[kinds[measure][spread.which][0]]
            difference = difference.model_copy(update={"positive": positive})
        found.append(_as_ratio(difference) if logs else difference)
    return found


def _difference(measure: Measure, spread: Spread | None, *, interval: bool, most: float = 1.0) -> Difference:
    if spread is None:
        return Difference(measure=measure, value=None)
    if not interval:
        return Difference(measure=measure, value=spread.value, groups=spread.groups)
    bounded = measure is not Measure.DEMOGRAPHIC_PARITY_RATIO and measure in PARITIES
    return Difference(
        measure=measure,
        value=spread.value,
        low=spread.low,
        high=min(spread.high, most) if bounded else spread.high,
        chance=spread.chance,
        groups=spread.groups,
    )


def _as_ratio(difference: Difference) -> Difference:
    """Of a difference of logarithms, the ratio of the smaller to the larger."""

    def ratio(value: float | None) -> float | None:
        return None if value is None else float(np.exp(-value))

    return difference.model_copy(
        update={
            "value": ratio(difference.value),
            "low": ratio(difference.high),
            "high": ratio(difference.low),
            "chance": ratio(difference.chance),
        }
    )


@dataclass(frozen=True)
class _Drawn:
    """A number of a group, with resamples of it."""

    estimate: Estimate
    draws: Floats | None
    """Shape `(bootstraps.RESAMPLES,)`; None where too few are defined."""


def _metrics(
    outcomes: Mapping[str, Outcomes], metric: str, rng: np.random.Generator | None
) -> dict[str, _Drawn]:
    """The goal's metric of the groups where it is defined."""
    found = {}
    for name, part in outcomes.items():
        value = scores.score(metric, part)
        if value is not None:
            drawn = None if rng is None or part.rows < 2 else bootstraps.draws(metric, value, part, rng)
            found[name] = _drawn(value, drawn, rng)
    return found


def _errors(outcomes: Mapping[str, Outcomes], rng: np.random.Generator | None) -> dict[str, _Drawn]:
    """The mean of prediction less truth."""
    each = {name: part.predicted - part.truth for name, part in outcomes.items()}
    return {
        name: _drawn(float(error.mean()), None if rng is None else bootstraps.means(error, rng), rng)
        for name, error in each.items()
    }


def _drawn(value: float, drawn: Floats | None, rng: np.random.Generator | None) -> _Drawn:
    if drawn is None or rng is None or drawn.size < bootstraps.RESAMPLES // 2:
        return _Drawn(Estimate(value=value), None)
    missing = bootstraps.RESAMPLES - drawn.size  # resamples without a second class, say
    whole = np.concatenate([drawn, rng.choice(drawn, missing)]) if missing else drawn
    return _Drawn(bootstraps.between(value, drawn), whole)


def _of_draws(measure: Measure, found: Mapping[str, _Drawn], rng: np.random.Generator | None) -> Difference:
    """The largest difference of a number that has resamples in each group, or at least a value."""
    values = np.array([item.estimate.value for item in found.values()], dtype=np.float64)
    drawn = [item.draws for item in found.values() if item.draws is not None]
    told = rng is not None and len(drawn) == len(found) and bool(drawn)
    draws = np.column_stack(drawn) if told else np.tile(values, (2, 1))
    spread = spreads.largest([Compared(tuple(found), values, values, draws)])
    return _difference(measure, spread, interval=told)


def _groups(
    outcomes: Mapping[str, Outcomes],
    rates: _Rates | None,
    metrics: Mapping[str, _Drawn],
    errors: Mapping[str, _Drawn],
) -> tuple[Group, ...]:
    told: dict[str, list[Estimate | None]] = {}
    if rates is not None:
        told = {
            "selection_rate": rates.selected.estimates(),
            "true_positive_rate": rates.true_positive.estimates(),
            "false_positive_rate": rates.false_positive.estimates(),
            "precision": rates.precision.estimates(),
        }
    told["mean_error"] = [_estimate(errors, name) for name in outcomes]
    told["metric"] = [_estimate(metrics, name) for name in outcomes]
    made = []
    for place, (name, part) in enumerate(outcomes.items()):
        estimates = _known((key, each[place]) for key, each in told.items())
        values = {key: found.value for key, found in estimates.items()}
        made.append(
            Group(
                value=name,
                rows=part.rows,
                selection_rate=values.get("selection_rate"),
                true_positive_rate=values.get("true_positive_rate"),
                false_positive_rate=values.get("false_positive_rate"),
                metric=values.get("metric"),
                estimates=estimates,
            )
        )
    return tuple(made)


def _estimate(found: Mapping[str, _Drawn], name: str) -> Estimate | None:
    return found[name].estimate if name in found else None


def _known(pairs: Iterable[tuple[str, Estimate | None]]) -> dict[str, Estimate]:
    return {key: found for key, found in pairs if found is not None}
