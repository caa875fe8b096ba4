"""How well a version does while labels have not come, what that rests on, and whether to believe it.

Estimates tell what a metric would be if only the features had changed; a change of what
they mean (concept change) no method can see without labels, and every estimate says so.
So they are believed only where they did better than the claim that nothing changed, on
windows whose labels have come. How the numbers are found is in `confidences` for
classification and in `losses` for regression; reading samples and writing reports is
not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pilotage.core.artifacts import EstimatedPerformance, EstimateMethod, Model, Performance, Track
from pilotage.core.metrics import BINARY_ONLY, CLASSIFICATION, Task, task_of
from pilotage.serving.monitor.performance import confidences, losses, outcomes
from pilotage.serving.monitor.performance.expectations import Answers
from pilotage.serving.monitor.performance.outcomes import Outcomes
from pilotage.serving.monitor.performance.performances import LEAST_OF_A_CLASS
from pilotage.serving.monitor.rows import domains, matrices
from pilotage.serving.monitor.rows.domains import Weights
from pilotage.serving.monitor.rows.matrices import Matrices

LEAST_ROWS = 100
"""Of the reference and of the window, from which there is an estimate."""
LEAST_RELIABLE = 0.9
"""Share of the window's scores within the reference's, from which an estimate is called reliable."""
LEAST_WINDOWS = 3
"""Labelled windows from which estimates can be trusted."""
ASSUMPTION = "assumes no concept change: that rows with the same features still come true as often"
_Z95 = 1.959963984540054
_AT_MOST_ONE = frozenset({"explained_variance", "r2"})
_METHODS = {
    EstimateMethod.CONFIDENCE: (EstimateMethod.CONFIDENCE, EstimateMethod.WEIGHTED_CONFIDENCE),
    EstimateMethod.LOSS: (EstimateMethod.LOSS, EstimateMethod.WEIGHTED_LOSS),
}


@dataclass(frozen=True)
class _Found:
    """Both estimates of one metric, and the standard error of the one that is shown."""

    plain: float
    weighted: float
    error: float
    rows: int


def estimate(
    model: Model,
    reference: pa.Table,
    window: pa.Table,
    metric: str,
    *,
    reference_value: float | None,
    seed: int,
    logged: pa.Table | None = None,
) -> EstimatedPerformance:
    """The metric of a window whose labels have not come.

    Args:
        model: of the version.
        reference: held-out rows with their truth, in the layout of `pilotage.core.samples`.
        window: a random sample of what was served, in the same layout.
        metric: name of a scikit-learn scorer.
        reference_value: the metric when the version was evaluated.
        seed: of everything random; the same seed and rows give the same estimate.
        logged: all rows of the window's log, without features; classification then rests on them,
            unless they are fewer than the sample's.
    """
    regression = model.task is Task.REGRESSION
    unknown = EstimatedPerformance(
        metric=metric,
        value=None,
        reference=reference_value,
        method=EstimateMethod.LOSS if regression else EstimateMethod.CONFIDENCE,
        rows=window.num_rows,
        effective_rows=0.0,
        reliable=False,
        reason="",
    )
    held, served = matrices.canonical(reference), matrices.canonical(window)
    held = held.filter(pa.array(outcomes.usable(held, held.column("truth").to_pylist(), model)))
    served = _readable(served, model)
    truth = outcomes.pair(held, held.column("truth").to_pylist(), model)
    obstacle = _obstacle(metric, model, truth, served.num_rows)
    if obstacle:
        return unknown.model_copy(update={"reason": obstacle})
    pair = matrices.build(held, served, model.features)
    weights = domains.weights(pair, seed)
    answers = _answers(served, model)
    if regression:
        found = _regression(metric, pair, truth, answers, weights, seed)
    else:
        every = answers if logged is None else _answers(_by_score(_readable(logged, model)), model)
        all_of_it = every if len(every.score) >= len(answers.score) else answers
        found = _classification(metric, len(model.classes), truth, all_of_it, weights, seed)
    return _told(unknown, found, weights, _within(truth, answers))


def _readable(rows: pa.Table, model: Model) -> pa.Table:
    return rows.filter(pa.array(outcomes.usable(rows, rows.column("prediction").to_pylist(), model)))


def _by_score(rows: pa.Table) -> pa.Table:
    """Logged rows in an order of their own; they have no priority."""
    return rows.take(pa.array(np.argsort(rows.column("score").to_numpy(), kind="stable")))


def _answers(rows: pa.Table, model: Model) -> Answers:
    """What was said; the prediction stands in for the truth, which `pair` wants to read."""
    said = outcomes.pair(rows, rows.column("prediction").to_pylist(), model)
    return Answers(said.predictions, said.score, said.probabilities)


def _obstacle(metric: str, model: Model, truth: Outcomes, served: int) -> str:
    """Why there is no estimate, or nothing."""
    held = len(truth.truth)
    if task_of(metric) is not model.task:
        return f"{metric} does not fit {model.task}"
    if min(held, served) < LEAST_ROWS:
        few = f"{held} reference rows with their truth and {served} of the window"
        return f"{few}; {LEAST_ROWS} of each are needed"
    if model.task is Task.REGRESSION:
        return "" if metric in losses.METRICS else f"{metric} is no mean over rows, so it is not estimated"
    if metric in BINARY_ONLY and len(model.classes) != 2:
        return f"{metric} needs a target of two classes"
    _, counts = np.unique(truth.truth, return_counts=True)
    if (counts >= LEAST_OF_A_CLASS).sum() < 2:
        return f"fewer than two classes have {LEAST_OF_A_CLASS} reference rows"
    if len(model.classes) > 2 and truth.probabilities is None:
        return "with more than two classes an estimate needs their probabilities, and the model has none"
    return ""


def _classification(
    metric: str, classes: int, truth: Outcomes, answers: Answers, weights: Weights, seed: int
) -> _Found:
    if answers.probabilities is None or truth.probabilities is None:
        answers, truth = replace(answers, probabilities=None), replace(truth, probabilities=None)
    made = confidences.prepare(metric, classes, truth, answers, seed)
    even = np.ones(len(truth.truth))
    shown = weights.values if weights.full else even
    return _Found(made.value(even), made.value(weights.values), made.error(shown, seed), len(answers.score))


def _regression(
    metric: str, pair: Matrices, truth: Outcomes, answers: Answers, weights: Weights, seed: int
) -> _Found | str:
    obstacle = losses.undefined(metric, truth.truth, np.concatenate([truth.score, answers.score]))
    if obstacle:
        return obstacle
    made = losses.prepare(metric, pair.reference, truth.truth, truth.score, pair.window, answers.score, seed)
    return _Found(made.value(), made.weighted(weights.values), made.error(), len(answers.score))


def _within(truth: Outcomes, answers: Answers) -> float:
    """Share of the window's scores that lie within those of the reference."""
    inside = (answers.score >= truth.score.min()) & (answers.score <= truth.score.max())
    return float(inside.mean())


def _told(
    unknown: EstimatedPerformance, found: _Found | str, weights: Weights, within: float
) -> EstimatedPerformance:
    """The part of a report: which estimate is shown, how sure it is, and in words what limits it."""
    if isinstance(found, str):
        return unknown.model_copy(update={"reason": found})
    plain, weighted = _METHODS[unknown.method]
    confident = unknown.method is EstimateMethod.CONFIDENCE
    shows_weighted = confident and weights.full and np.isfinite(found.weighted)
    value, other = (found.weighted, found.plain) if shows_weighted else (found.plain, found.weighted)
    if not np.isfinite(value):
        return unknown.model_copy(update={"reason": f"{unknown.metric} is not defined for these rows"})
    gap = value - other if np.isfinite(other) else 0.0  # counts as one more standard error
    low, high = _bounds(unknown.metric, value, _Z95 * float(np.hypot(found.error, gap)))
    return unknown.model_copy(
        update={
            "value": value,
            "low": low,
            "high": high,
            "method": weighted if shows_weighted else plain,
            "alternative_method": plain if shows_weighted else weighted,
            "alternative": other if np.isfinite(other) else None,
            "rows": found.rows,
            "effective_rows": weights.effective_rows,
            "reliable": within >= LEAST_RELIABLE,
            "reason": _reason(weights, within),
        }
    )


def _bounds(metric: str, value: float, half: float) -> tuple[float | None, float | None]:
    if not np.isfinite(half):
        return None, None
    low, high = value - half, value + half
    if metric.startswith("neg_"):
        return low, min(high, 0.0)
    if metric in _AT_MOST_ONE:
        return low, min(high, 1.0)
    if metric in CLASSIFICATION and "likelihood" not in metric:
        return max(low, -1.0 if metric == "matthews_corrcoef" else 0.0), min(high, 1.0)
    return low, high


def _reason(weights: Weights, within: float) -> str:
    parts = [ASSUMPTION]
    if not weights.full:
        parts.append(
            f"the reference covers about {weights.covered:.0%} of such rows, the rest is extrapolated"
        )
    if within < LEAST_RELIABLE:
        parts.append(f"{1 - within:.0%} of the scores lie outside those of the reference")
    return "; ".join(parts)


def track(pairs: Sequence[tuple[EstimatedPerformance, Performance]]) -> Track:
    """How estimates did on earlier windows that have since been labelled.

    Args:
        pairs: of one version and metric; those without both values are passed over.
    """
    usable = [
        (guess, real, float(guess.value), float(real.value))
        for guess, real in pairs
        if guess.value is not None and real.value is not None
    ]
    if not usable:
        return Track(windows=0, trusted=False, reason="no earlier window has both an estimate and labels")
    mae = float(np.mean([abs(estimated - realized) for _, _, estimated, realized in usable]))
    still = float(np.mean([abs(real.reference - realized) for _, real, _, realized in usable]))
    inside = [_agree(guess, real) for guess, real, _, _ in usable]
    told = [agrees for agrees in inside if agrees is not None]
    reason = (
        f"on {len(usable)} labelled windows off by {mae:.3g} on average, and the reference by {still:.3g}"
    )
    trusted = len(usable) >= LEAST_WINDOWS and mae < still
    if len(usable) < LEAST_WINDOWS:
        reason += f"; {LEAST_WINDOWS} labelled windows are needed before estimates are trusted"
    elif not trusted:
        reason += ": no better than to say that nothing changed"
    return Track(
        windows=len(usable),
        mae=mae,
        mae_no_change=still,
        coverage=float(np.mean(told)) if told else None,
        trusted=trusted,
        reason=reason,
    )


def _agree(guess: EstimatedPerformance, real: Performance) -> bool | None:
    """Whether they differ by no more than both errors together; None where one is unknown."""
    bounds = (guess.value, guess.low, guess.high, real.value, real.low, real.high)
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(bounds):
        return None
    value, low, high, realized, least, most = known
    above = realized > value
    of_guess, of_real = (high - value, realized - least) if above else (value - low, most - realized)
    return bool(abs(realized - value) <= np.hypot(of_guess, of_real))
