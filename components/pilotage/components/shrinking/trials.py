"""Every candidate through one trial: it compiles, answers soundly, passes gates, loses little, saves much.

Gates are judged by `evaluate` on the rows that evaluation holds out. What a candidate is made
of is not known here, and nothing is chosen: that is `choices`'.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pilotage.components import evaluate
from pilotage.components.compilation import forms as compilation
from pilotage.components.compilation.estimators import SINGLE_TOLERANCE
from pilotage.components.evaluate import HeldOut
from pilotage.components.measures import footprints, races, scores
from pilotage.components.measures.footprints import Footprint
from pilotage.components.measures.scores import Outcomes
from pilotage.components.shrinking.recipes import Recipe
from pilotage.components.shrinking.sources import Source
from pilotage.core import errors
from pilotage.core.artifacts import Candidate, InferenceForm, Scorecard, Technique
from pilotage.core.features import Columns
from pilotage.core.forms import FormPredictor
from pilotage.core.metrics import Task
from pilotage.core.models import FILES, Answering, Prediction, Predictor

logger = logging.getLogger(__name__)

ORIGINAL = "original"
TOGETHER_ROWS = 256
"""Held-out rows that are asked together and apart."""
_APART = 7
_RESAMPLES = 200
_MOST_ROWS = 20_000
_SUM = 1e-6

Tell = Callable[[int, int, str], None]
"""Told how far it is: done, total, what goes on."""


@dataclass(frozen=True)
class Made:
    """A candidate that exists."""

    predictor: Predictor
    form: InferenceForm
    graph: bytes


@dataclass(frozen=True)
class _Tried:
    """A candidate, measured but for its times; `answering` is None where it could not be made."""

    candidate: Candidate
    answering: Answering | None


@dataclass(frozen=True)
class Limits:
    """What a candidate may lose, and what it must save."""

    max_drop: float
    at_most: float


def make(recipe: Recipe, source: Source) -> tuple[Made, str]:
    """Follow a recipe and compile what it makes; returns it and how it was made.

    Raises:
        EstimatorError: it cannot be made of this version, or has no inference form that agrees with it.
    """
    predictor, how = recipe.make()
    form, graph = compilation.compile_form(predictor, source.rest.columns)
    return Made(predictor, form, graph), how


def run(
    source: Source, recipes: Sequence[Recipe], rows: HeldOut, tell: Tell
) -> tuple[Candidate, tuple[Candidate, ...]]:
    """The version itself, and every candidate, measured and judged by gates; `limit` comes after."""
    total = len(recipes) + 2
    tell(0, total, "the version as it is")
    first = _original(source, rows)
    truth = _outcomes(source, source.answering.predict(source.rest.columns), source.predictor)
    tried = []
    for number, recipe in enumerate(recipes, 1):
        tell(number, total, recipe.name)
        tried.append(_try(recipe, source, rows, first.candidate, truth))
    tell(total - 1, total, "times, in turn")
    original, *timed = _timed([first, *tried], source)
    return original, tuple(timed)


def _original(source: Source, rows: HeldOut) -> _Tried:
    card = evaluate.judge(source.spec, source.snapshot, source.predictor, rows)
    if source.form is not None:
        taken = footprints.of_form(source.form.form, source.graph, source.model, source.rest)
    else:
        taken = Footprint((source.folder / FILES[source.model.format]).stat().st_size)
    candidate = Candidate(
        name=ORIGINAL,
        technique=Technique.NONE,
        how="the version as it is",
        passed=True,
        metric=_metric(card),
        drop=0.0,
        agreement=1.0,
        metrics=_values(card),
        gates=card.gates,
        form="ready" if source.form is not None else f"refused: {source.obstacle}",
        features=len(source.model.features),
        size_bytes=taken.size_bytes,
        size=1.0,
        memory_bytes=taken.memory_bytes,
    )
    return _Tried(candidate, source.answering)


def _try(recipe: Recipe, source: Source, rows: HeldOut, first: Candidate, before: Outcomes) -> _Tried:
    facts = {"name": recipe.name, "technique": recipe.technique, "passed": False}
    try:
        made, how = make(recipe, source)
    except errors.PilotageError as error:
        return _Tried(Candidate(how="not made", reasons=(error.message,), **facts), None)
    except Exception as error:  # libraries raise what they like of a model that they do not expect
        logger.warning("candidate %s failed", recipe.name, exc_info=True)
        reason = f"it could not be made: {type(error).__name__}: {error}"
        return _Tried(Candidate(how="not made", reasons=(reason,), **facts), None)
    answering = FormPredictor(made.form, made.graph, made.predictor.model)
    found = answering.predict(source.rest.columns)
    taken = footprints.of_form(made.form, made.graph, made.predictor.model, source.rest)
    card = evaluate.judge(source.spec, source.snapshot, made.predictor, rows, taken)
    failed = [f"{verdict.gate}: {verdict.reason}" for verdict in card.gates if not verdict.passed]
    reasons = [*unsound(found), *_dependent(answering, source.rest.columns), *failed]
    after = _outcomes(source, found, made.predictor)
    drop, low, high = _drop(source, before, after)
    return _Tried(
        Candidate(
            how=how,
            reasons=tuple(reasons),
            metric=_metric(card),
            drop=drop,
            drop_low=low,
            drop_high=high,
            agreement=_agreement(before, after),
            metrics=_values(card),
            gates=card.gates,
            features=len(made.predictor.model.features),
            size_bytes=taken.size_bytes,
            size=(taken.size_bytes or 0) / (first.size_bytes or 1),
            memory_bytes=taken.memory_bytes,
            **facts,
        ),
        answering,
    )


def unsound(found: Prediction) -> list[str]:
    """Why answers cannot be right: numbers that are not finite, probabilities that are none."""
    numbers = found.score if found.probabilities is None else found.probabilities
    if not np.isfinite(numbers).all():
        return [f"{int((~np.isfinite(numbers)).sum())} of its answers are not finite"]
    if found.probabilities is None:
        return []
    off = np.abs(found.probabilities.sum(axis=1) - 1) > _SUM
    outside = (found.probabilities < -_SUM) | (found.probabilities > 1 + _SUM)
    if off.any() or outside.any():
        return ["its probabilities do not sum to one or lie outside of 0 to 1"]
    return []


def _dependent(answering: Answering, columns: Columns) -> list[str]:
    """Why a row's answer may not be trusted: it changes with the rows that are asked together with it."""
    count = min(TOGETHER_ROWS, len(next(iter(columns.values()))))
    together = _numbers(answering.predict({name: values[:count] for name, values in columns.items()}))
    parts = [
        _numbers(
            answering.predict({name: values[start : start + _APART] for name, values in columns.items()})
        )
        for start in range(0, count - _APART + 1, _APART)
    ]
    apart = np.concatenate(parts)
    sizes = np.maximum(np.abs(together[: len(apart)]), 1.0)
    largest = float((np.abs(apart - together[: len(apart)]) / sizes).max())
    if largest <= SINGLE_TOLERANCE:
        return []
    return [f"a row's answer depends on the rows beside it, by up to {largest:.2g}"]


def _numbers(found: Prediction) -> np.ndarray:
    return found.score.reshape(-1, 1) if found.probabilities is None else found.probabilities


def _outcomes(source: Source, found: Prediction, predictor: Predictor) -> Outcomes:
    order = scores.class_order(source.model.classes, source.model.positive) or None
    return scores.judge(predictor, found, source.rest.target, order)


def _agreement(before: Outcomes, after: Outcomes) -> float | None:
    if before.task is Task.CLASSIFICATION:
        return float((before.predicted == after.predicted).mean())
    spread = float(np.square(before.predicted - before.predicted.mean()).sum())
    apart = float(np.square(before.predicted - after.predicted).sum())
    return 1 - apart / spread if spread else None


def _drop(
    source: Source, before: Outcomes, after: Outcomes
) -> tuple[float | None, float | None, float | None]:
    """How much of the goal's metric is lost, with its 95 % interval over resampled rows."""
    metric = source.spec.goal.metric
    first, second = scores.score(metric, before), scores.score(metric, after)
    if first is None or second is None:
        return None, None, None
    rng = np.random.default_rng(source.spec.train.seed)
    size = min(before.rows, _MOST_ROWS)
    draws = []
    for _ in range(_RESAMPLES):
        rows = rng.integers(0, before.rows, size)
        pair = scores.score(metric, before.take(rows)), scores.score(metric, after.take(rows))
        if pair[0] is not None and pair[1] is not None:
            draws.append(pair[0] - pair[1])
    if len(draws) < _RESAMPLES // 2:
        return first - second, None, None
    low, high = np.percentile(draws, [2.5, 97.5])
    return first - second, float(low), float(high)


def _timed(tried: Sequence[_Tried], source: Source) -> list[Candidate]:
    asked = [item.answering for item in tried if item.answering is not None]
    times = iter(races.run(asked, source.rest))
    found = []
    for item in tried:
        if item.answering is None:
            found.append(item.candidate)
            continue
        told = next(times)
        taken = {
            "row_microseconds": told.row_microseconds,
            "row": told.row,
            "batch_microseconds": told.batch_microseconds,
            "batch": told.batch,
        }
        found.append(item.candidate.model_copy(update=taken))
    return found


def limit(candidate: Candidate, limits: Limits) -> Candidate:
    """The verdict on a measured candidate, with what it loses and saves."""
    if candidate.size is None:
        return candidate
    reasons = list(candidate.reasons)
    if candidate.drop is None:
        reasons.append("how much it loses was not measured")
    elif candidate.drop > limits.max_drop:
        reasons.append(f"it loses {candidate.drop:.4g}, more than {limits.max_drop:.4g}")
    shares = {
        "the size": candidate.size,
        "the time for a row": candidate.row.value if candidate.row else 1.0,
        "the time for a batch": candidate.batch.value if candidate.batch else 1.0,
    }
    if min(shares.values()) > limits.at_most:
        told = ", ".join(f"{share:.2f} of {what}" for what, share in shares.items())
        reasons.append(f"it saves too little: {told}; one must be at most {limits.at_most:g}")
    return candidate.model_copy(update={"reasons": tuple(reasons), "passed": not reasons})


def _metric(card: Scorecard) -> float | None:
    return card.metrics[card.metric].value


def _values(card: Scorecard) -> dict[str, float | None]:
    return {name: found.value for name, found in card.metrics.items()}
