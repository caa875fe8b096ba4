"""Every candidate through one trial: it compiles, answers soundly, passes gates, loses little, saves much.

Gates are judged by whom the caller names, on the rows that evaluation holds out. What a candidate is
made of is not known here, and nothing is chosen: that is `choices`'.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components.compilation import forms as compilation
from pilotage.components.compilation.estimators import SINGLE_TOLERANCE
from pilotage.components.measures import footprints, races, scores
from pilotage.components.measures.footprints import Footprint
from pilotage.components.measures.scores import Outcomes
from pilotage.components.shrinking import objectives
from pilotage.components.shrinking.recipes import Recipe
from pilotage.components.shrinking.sources import Source
from pilotage.core import errors
from pilotage.core.artifacts import Candidate, InferenceForm, Objective, Technique, Verdict
from pilotage.core.features import Columns
from pilotage.core.forms import FormPredictor
from pilotage.core.metrics import Task
from pilotage.core.models import FILES, Answering, Prediction, Predictor

logger = logging.getLogger(__name__)

ORIGINAL = "original"
TOGETHER_ROWS = 256
"""Held-out rows that are asked together and apart."""
_APART = 7
_RESAMPLES = 100
_MOST_ROWS = 20_000
_SUM = 1e-6

Judge = Callable[[Predictor, Footprint], tuple[dict[str, float | None], tuple[Verdict, ...]]]
"""Gives the metrics of a model that takes so much, and every gate's verdict: `evaluate.judge`."""
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
    objective: Objective = Objective.BALANCED


def make(recipe: Recipe, source: Source) -> tuple[Made, str]:
    """Follow a recipe and compile what it makes; returns it and how it was made.

    Raises:
        EstimatorError: it cannot be made of this version, or has no inference form that agrees with it.
    """
    predictor, how = recipe.make()
    form, graph = compilation.compile_form(predictor, source.rest.columns)
    return Made(predictor, form, graph), how


def run(
    source: Source, recipes: Sequence[Recipe], judge: Judge, tell: Tell
) -> tuple[Candidate, tuple[Candidate, ...]]:
    """The version itself, and every candidate, measured and judged; `limit` comes after."""
    total = len(recipes) + 2
    tell(0, total, "the version as it is")
    first = _original(source, judge)
    before = _Before.of(source)
    tried = []
    for number, recipe in enumerate(recipes, 1):
        tell(number, total, recipe.name)
        tried.append(_try(recipe, source, judge, first.candidate, before))
    tell(total - 1, total, "times, in turn")
    original, *timed = _timed([first, *tried], source)
    return original, tuple(timed)


@dataclass(frozen=True)
class _Before:
    """What the version says of the held-out rows, and its metric on resamples of them."""

    outcomes: Outcomes
    metric: float | None
    resamples: tuple[tuple[npt.NDArray[np.int64], float], ...]

    @classmethod
    def of(cls, source: Source) -> _Before:
        found = _outcomes(source, source.answering.predict(source.rest.columns), source.predictor)
        metric, size = source.spec.goal.metric, min(found.rows, _MOST_ROWS)
        rng = np.random.default_rng(source.spec.train.seed)
        resamples = []
        for _ in range(_RESAMPLES):
            rows = rng.integers(0, found.rows, size)
            value = scores.score(metric, found.take(rows))
            if value is not None:
                resamples.append((rows, value))
        return cls(found, scores.score(metric, found), tuple(resamples))

    def drop(self, metric: str, after: Outcomes) -> tuple[float | None, float | None, float | None]:
        """How much of the metric is lost, with its 95 % interval over the same resampled rows."""
        value = scores.score(metric, after)
        if self.metric is None or value is None:
            return None, None, None
        draws = []
        for rows, before in self.resamples:
            found = scores.score(metric, after.take(rows))
            if found is not None:
                draws.append(before - found)
        if len(draws) < _RESAMPLES // 2:
            return self.metric - value, None, None
        low, high = np.percentile(draws, [2.5, 97.5])
        return self.metric - value, float(low), float(high)


def _original(source: Source, judge: Judge) -> _Tried:
    if source.form is not None:
        taken = footprints.of_form(source.form.form, source.graph, source.model, source.rest)
    else:
        taken = Footprint((source.folder / FILES[source.model.format]).stat().st_size)
    metrics, verdicts = judge(source.predictor, taken)
    candidate = Candidate(
        name=ORIGINAL,
        technique=Technique.NONE,
        how="the version as it is",
        passed=True,
        metric=metrics[source.spec.goal.metric],
        drop=0.0,
        agreement=1.0,
        metrics=metrics,
        gates=verdicts,
        form="ready" if source.form is not None else f"refused: {source.obstacle}",
        features=len(source.model.features),
        size_bytes=taken.size_bytes,
        size=1.0,
        memory_bytes=taken.memory_bytes,
    )
    return _Tried(candidate, source.answering)


def _try(recipe: Recipe, source: Source, judge: Judge, first: Candidate, before: _Before) -> _Tried:
    facts: dict[str, Any] = {"name": recipe.name, "technique": recipe.technique, "passed": False}
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
    metrics, verdicts = judge(made.predictor, taken)
    failed = [f"{verdict.gate}: {verdict.reason}" for verdict in verdicts if not verdict.passed]
    after = _outcomes(source, found, made.predictor)
    drop, low, high = before.drop(source.spec.goal.metric, after)
    measured = Candidate(
        how=how,
        reasons=(*unsound(found), *_dependent(answering, source.rest.columns), *failed),
        metric=metrics[source.spec.goal.metric],
        drop=drop,
        drop_low=low,
        drop_high=high,
        agreement=_agreement(before.outcomes, after),
        metrics=metrics,
        gates=verdicts,
        features=len(made.predictor.model.features),
        size_bytes=taken.size_bytes,
        size=(taken.size_bytes or 0) / (first.size_bytes or 1),
        memory_bytes=taken.memory_bytes,
        **facts,
    )
    return _Tried(measured, answering)


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


def _numbers(found: Prediction) -> npt.NDArray[np.float64]:
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
            "row_p99_microseconds": told.row_p99_microseconds,
            "row_p99": told.row_p99,
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
    reasons += [
        *objectives.saves_too_little(candidate, limits.objective, limits.at_most),
        *(f"it is slower: {told}" for told in objectives.slower(candidate, limits.objective)),
    ]
    return candidate.model_copy(update={"reasons": tuple(reasons), "passed": not reasons})
