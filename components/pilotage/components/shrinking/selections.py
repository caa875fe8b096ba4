"""How much may be left out, decided on training rows: a part of them is fitted on, another chooses.

The version itself has seen all of its training rows, so what it says of them cannot tell how many
of its trees are needed; the same estimator fitted on the one part can, judged on the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pilotage.components.compilation import encoders
from pilotage.components.compilation import estimators as tables
from pilotage.components.compilation.estimators import Ensemble
from pilotage.components.datasets import Dataset
from pilotage.components.measures import scores
from pilotage.components.shrinking import builds, trees
from pilotage.components.shrinking.sources import Source
from pilotage.components.training import estimators
from pilotage.core import errors
from pilotage.core.forms.encodings import Encoder
from pilotage.core.models import Predictor

FRACTIONS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the rounds of trees that are tried."""
FEATURES = (0.25, 0.5, 0.75)
"""Of the features that are tried."""


def enough_rounds(source: Source, tolerance: float) -> int:
    """Rounds of trees from which on the goal's metric is within `tolerance` of the best; not all of them.

    Raises:
        EstimatorError: fewer are never as good.
    """
    fitted, chosen_by = _refit(source, source.train)
    body = tables.body(fitted.estimator.steps[-1][1])
    if not isinstance(body.part, Ensemble):
        raise errors.EstimatorError("It is no ensemble of trees.")
    total = trees.rounds(body.part, body.base.size)
    tried = sorted({max(1, round(total * share)) for share in FRACTIONS} - {total})
    inputs = encoders.inputs(fitted.estimator.steps[0][1])
    matrix = Encoder(inputs).matrix(chosen_by.columns, chosen_by.rows)
    metrics = []
    for count in [*tried, total]:
        kept = trees.keep_first(body, count, averaged=source.averaged)
        metrics.append(_score(source, builds.answers(kept, matrix, fitted.model), fitted, chosen_by))
    best = max(metrics)
    for count, metric in zip(tried, metrics[:-1], strict=True):
        if metric >= best - tolerance:
            return count
    raise errors.EstimatorError(
        f"On the training rows that were set aside, fewer than {total} rounds of trees are never within"
        f" {tolerance:.3g} of the best."
    )


def fewest_features(source: Source, tolerance: float) -> tuple[str, ...]:
    """The most important features with which the goal's metric is within `tolerance` of that with all.

    Raises:
        EstimatorError: it takes all of them, or their importance is not known, or there are too few.
    """
    ranked = sorted(source.importances, key=lambda name: -source.importances[name])
    known = {feature.name for feature in source.model.features}
    ranked = [name for name in ranked if name in known]
    counts = sorted({max(1, round(len(known) * share)) for share in FEATURES} - {len(known)})
    if len(ranked) < len(known) or not counts:
        raise errors.EstimatorError("How much each of its features matters is not known.")
    whole, chosen_by = _refit(source, source.train)
    wanted = _score(source, whole.predict(chosen_by.columns), whole, chosen_by) - tolerance
    for count in counts:
        names = tuple(ranked[:count])
        fitted, others = _refit(source, source.on(names)[0])
        if _score(source, fitted.predict(others.columns), fitted, others) >= wanted:
            return names
    raise errors.EstimatorError(
        f"On the training rows that were set aside, {counts[-1]} of {len(known)} features are not within"
        f" {tolerance:.3g} of all of them."
    )


def fit(source: Source, rows: Dataset) -> Predictor:
    """The version's estimator with its parameters, fitted on `rows`."""
    model = source.model
    name = model.estimator
    facts: dict[str, Any] = {"task": model.task, "seed": model.seed, "folder": source.pilot_folder}
    made = estimators.build(name, model.params, dataset=rows, embedder=source.embedder, **facts)
    made = estimators.fit(made, rows, name)
    estimators.predict_alone(made)
    asked = estimators.predictor(made, rows, model.task, model.positive)
    told = {"features": rows.features, "classes": asked.model.classes}
    return Predictor(made, model.model_copy(update=told))


def _refit(source: Source, rows: Dataset) -> tuple[Predictor, Dataset]:
    """Fitted on the one part of training `rows`, and the other part."""
    return fit(source, rows.take(source.parts.train)), rows.take(source.parts.test)


def _score(source: Source, found: Any, predictor: Predictor, rows: Dataset) -> float:
    metric = scores.score(source.spec.goal.metric, scores.judge(predictor, found, rows.target))
    if metric is None or not np.isfinite(metric):
        raise errors.EstimatorError(
            f"`{source.spec.goal.metric}` is not defined on the training rows that were set aside."
        )
    return metric
