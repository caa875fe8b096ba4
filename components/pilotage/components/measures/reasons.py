"""Why the model says what it says: importances, contributions to a few rows, and dependences.

Contributions are computed by `pilotage.core.explanations`, with which servers answer `/explain`.
The rows that are shown are held-out ones without keys, their values cut short; where the source has
personal data none is, unless `card.example_rows` says so. What cannot be told is a gap with its reason
and takes nothing else away: no reason of a model's is worth a failed run.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilotage.components.datasets import Dataset
from pilotage.components.measures import bootstraps, dependences, importances
from pilotage.components.measures.importances import Drops
from pilotage.components.measures.scores import Outcomes
from pilotage.core.artifacts import (
    Dependence,
    ExplainedRow,
    Explanations,
    Importance,
    RowKind,
    Scalar,
    Snapshot,
)
from pilotage.core.artifacts.reasons import Span
from pilotage.core.explanations.attributions import Attribution, Budget
from pilotage.core.explanations.methods import Explainer
from pilotage.core.metrics import Task
from pilotage.core.models import Predictor
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.specs import PilotSpec

logger = logging.getLogger(__name__)

EXAMPLES = 3
"""Rows of each kind."""
MEAN_ROWS, FEWEST_MEAN_ROWS = 300, 30
"""Rows over which sizes of contributions are averaged."""
MEAN_SECONDS = 4.0
BUDGET = Budget(evaluations=600, seconds=5.0)
"""Of estimated contributions to the rows that are shown."""
TOP = 5
"""Features whose dependence is drawn."""
MOST_IMPORTANCES, MOST_VALUES = 100, 60
"""Features of a very wide table that are told of."""

Rows = npt.NDArray[np.intp]


@dataclass
class _Told:
    """What was found by now."""

    drops: Drops
    gaps: list[str]
    attribution: Attribution | None = None
    examples: tuple[ExplainedRow, ...] = ()
    sizes: dict[str, Span] | None = None


def hidden(spec: PilotSpec, snapshot: Snapshot) -> str:
    """Why the scorecard shows no held-out row; empty where it shows some."""
    shown = spec.card.example_rows
    if shown is None and snapshot.personal:
        return "the source has personal data; `card: {example_rows: true}` shows them all the same"
    return "`card.example_rows` is false" if shown is False else ""


def explain(
    predictor: Predictor,
    profile: ReferenceProfile,
    rest: Dataset,
    found: Outcomes,
    metric: str,
    seed: int,
    *,
    hidden: str = "",
) -> Explanations:
    """What the model leans on, on its held-out rows.

    Args:
        predictor: of the judged model.
        profile: its reference profile, against which contributions are told.
        rest: the held-out rows.
        found: what the model says of them.
        metric: the goal's.
        seed: of all that is drawn.
        hidden: why no row is shown; empty where some are.
    """
    told = _Told(Drops(0, 0, {}), [])
    try:
        told.drops = importances.measure(predictor, rest, metric, seed)
    except Exception as error:  # an estimator of the pilot's own raises what it likes
        _missed(told, "permutation importances", error)
    if not told.drops.by_feature and not told.gaps:
        told.gaps.append("permutation importances: too slow, or the metric is not defined on a part")
    try:
        _attribute(told, Explainer(predictor, profile), rest, found, seed, hidden=hidden)
    except Exception as error:
        _missed(told, "contributions", error)
    ranked = _ranked(told, rest)
    of = dependences.explained_class(predictor, rest)
    drawn: tuple[Dependence, ...] = ()
    try:
        drawn = dependences.measure(predictor, rest, [item.feature for item in ranked[:TOP]], of, seed)
    except Exception as error:
        _missed(told, "partial dependence", error)
    attribution = told.attribution
    return Explanations(
        metric=metric,
        rows=told.drops.rows,
        repeats=told.drops.repeats,
        importances=ranked[:MOST_IMPORTANCES],
        method="" if attribution is None else attribution.method.value,
        exact=attribution is not None and attribution.exact,
        output="" if attribution is None else attribution.output.value,
        examples=told.examples,
        dependences=drawn,
        dependence_of=of,
        gaps=tuple(told.gaps),
    )


def _missed(told: _Told, what: str, error: Exception) -> None:
    logger.warning("%s of the model are not known", what, exc_info=error)
    told.gaps.append(f"{what}: {type(error).__name__}: {str(error).strip()[:200]}".rstrip(": "))


def _attribute(
    told: _Told, explainer: Explainer, rest: Dataset, found: Outcomes, seed: int, *, hidden: str
) -> None:
    """Take rows apart, and where that is exact and quick, enough of them for a mean."""
    kinds = choose(found)
    rows = np.concatenate([place for _, place in kinds]).astype(np.intp)
    part = rest.take(rows)
    told.attribution = explainer.explain(part.columns, BUDGET)
    if hidden:
        told.gaps.append(f"example rows: {hidden}")
    else:
        told.examples = _examples(told.attribution, kinds, part, found.take(rows))
    if not told.attribution.exact:
        told.gaps.append("mean contributions: they are estimated for this model, not exact")
        return
    begun = time.process_time()  # what explains is loaded by now
    explainer.explain(part.columns, BUDGET)
    seconds = (time.process_time() - begun) / rows.size
    size = min(MEAN_ROWS, rest.rows, int(MEAN_SECONDS / max(seconds, 1e-9)))
    if size < min(FEWEST_MEAN_ROWS, rest.rows):
        told.gaps.append("mean contributions: a row takes too long")
        return
    rng = np.random.default_rng(seed)
    many = explainer.explain(rest.take(rng.permutation(rest.rows)[:size]).columns, BUDGET)
    if many.exact:
        told.sizes = {
            name: _mean(np.abs(many.contributions[:, place]), rng) for place, name in enumerate(many.features)
        }


def _mean(sizes: npt.NDArray[np.float64], rng: np.random.Generator) -> Span:
    estimate = bootstraps.between(float(sizes.mean()), bootstraps.means(sizes, rng))
    return Span(value=float(sizes.mean()), low=estimate.low, high=estimate.high)


def _ranked(told: _Told, rest: Dataset) -> tuple[Importance, ...]:
    """Every feature, by what the metric loses; by the size of contributions where that is not known."""
    sizes = told.sizes or {}
    found = [
        Importance(
            feature=feature.name,
            drop=told.drops.by_feature.get(feature.name),
            contribution=sizes.get(feature.name),
        )
        for feature in rest.features
    ]
    if told.drops.by_feature:
        found.sort(key=lambda item: -item.drop.value if item.drop else 0.0)
    else:
        found.sort(key=lambda item: -item.contribution.value if item.contribution else 0.0)
    return tuple(found)


def choose(found: Outcomes) -> list[tuple[RowKind, Rows]]:
    """Positions of rows to show: typical, borderline and wrong ones, at most `EXAMPLES` of each."""
    if found.task is Task.REGRESSION:
        error = np.abs(found.predicted - found.truth)
        typical = np.argsort(np.abs(error - np.median(error)), kind="stable")[:EXAMPLES]
        far = np.argsort(-error, kind="stable")[:EXAMPLES]
        return [(RowKind.TYPICAL, typical), (RowKind.WRONG, np.setdiff1d(far, typical, assume_unique=True))]
    sure = _sureness(found)
    right = found.predicted == found.truth
    near = np.argsort(sure, kind="stable")[:EXAMPLES]
    wrong = np.flatnonzero(~right)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:EXAMPLES]
    wrong = np.setdiff1d(wrong, near, assume_unique=True)
    typical = np.setdiff1d(_typical(found, sure, right), near, assume_unique=True)
    return [
        (kind, rows)
        for kind, rows in ((RowKind.TYPICAL, typical), (RowKind.BORDERLINE, near), (RowKind.WRONG, wrong))
        if rows.size
    ]


def _typical(found: Outcomes, sure: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> Rows:
    """Of the commonest classes, the rightly predicted row that is as sure as half of them."""
    classes, counts = np.unique(found.predicted[right], return_counts=True)
    picked = []
    for place in classes[np.argsort(-counts, kind="stable")][:EXAMPLES]:
        rows = np.flatnonzero(right & (found.predicted == place))
        picked.append(rows[np.argsort(sure[rows], kind="stable")[rows.size // 2]])
    return np.array(picked, dtype=np.intp)


def _sureness(found: Outcomes) -> npt.NDArray[np.float64]:
    """How far each row is from being another class."""
    if found.probabilities is not None and found.probabilities.shape[1] > 1:
        ordered = np.sort(found.probabilities, axis=1)
        apart: npt.NDArray[np.float64] = ordered[:, -1] - ordered[:, -2]
        return apart
    if found.margin is not None:
        return np.abs(found.margin)
    return np.ones(found.rows)


def _examples(
    attribution: Attribution, kinds: list[tuple[RowKind, Rows]], part: Dataset, found: Outcomes
) -> tuple[ExplainedRow, ...]:
    named = [kind for kind, rows in kinds for _ in range(rows.size)]
    return tuple(_example(attribution, kind, place, part, found) for place, kind in enumerate(named))


def _example(
    attribution: Attribution, kind: RowKind, place: int, part: Dataset, found: Outcomes
) -> ExplainedRow:
    contributions = attribution.contributions[place]
    largest = np.argsort(-np.abs(contributions), kind="stable")[:MOST_VALUES]
    kinds = {feature.name: feature.kind for feature in part.features}
    names = [attribution.features[position] for position in largest]
    return ExplainedRow(
        kind=kind,
        truth=_told(found, found.truth[place]),
        predicted=_told(found, found.predicted[place]),
        score=_score(found, place),
        explained=None if attribution.classes is None else attribution.classes[place],
        base=float(attribution.base[place]),
        value=float(attribution.values[place]),
        values={name: dependences.text_of(part.columns[name][place], kinds[name]) for name in names},
        contributions={
            name: float(contributions[position]) for name, position in zip(names, largest, strict=True)
        },
    )


def _told(found: Outcomes, value: np.generic) -> Scalar:
    return float(value) if found.task is Task.REGRESSION else found.classes[int(value)]


def _score(found: Outcomes, place: int) -> float:
    if found.task is Task.REGRESSION:
        return float(found.predicted[place])
    if found.margin is not None:
        return float(found.margin[place])
    return float(found.probabilities[place].max()) if found.probabilities is not None else 1.0
