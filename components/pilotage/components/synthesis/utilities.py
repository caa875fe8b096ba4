"""What synthetic rows are good for: a model trained on them beside one trained on real ones.

Both models are fitted on as many rows with the same parameters and seed, and judged on the same
held-out rows, so the interval of the difference is that of pairs (train on synthetic, test on real:
Esteban, Hyland, Rätsch 2017).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pilotage.components.datasets import Dataset
from pilotage.components.measures import bootstraps, scores
from pilotage.components.measures.scores import Outcomes
from pilotage.components.training import estimators
from pilotage.core import errors
from pilotage.core.artifacts import Estimate, Scalar, Utility
from pilotage.core.specs import Estimator, PilotSpec

MOST_ROWS = 5_000
MOST_TESTED = 2_000
_RESAMPLES = 200


def measure(
    spec: PilotSpec, folder: Path, real: Dataset, synthetic: Dataset, rest: Dataset, positive: Scalar | None
) -> Utility | None:
    """The goal's metric of both models on the held-out rows `rest`; None where it is not defined.

    Raises:
        EstimatorError: the pilot's estimator cannot be fitted.
    """
    seed, random = spec.train.seed, np.random.default_rng(spec.train.seed)
    name = spec.train.estimator
    own = ":" in name
    if own:  # may take any time, and is somebody's code that expects all rows
        name = Estimator.HIST_GRADIENT_BOOSTING
    size = min(real.rows, synthetic.rows, MOST_ROWS)
    judged = _part(rest, MOST_TESTED, random)
    outcomes: list[Outcomes] = []
    for rows in (real, synthetic):
        part = _part(rows, size, random)
        params = {} if own else spec.train.params
        estimator = estimators.build(name, params, task=spec.task, dataset=part, seed=seed, folder=folder)
        fitted = estimators.fit(estimator, part, name)
        asked = estimators.predictor(fitted, part, spec.task, positive)
        order = None
        if asked.model.classes:
            order = scores.class_order(tuple(np.unique(real.target).tolist()), positive)
        found = estimators.predict(asked, judged, name)
        outcomes.append(scores.judge(asked, found, judged.target, order))
    return _compared(spec.goal.metric, outcomes[0], outcomes[1], name, seed)


def try_measure(
    spec: PilotSpec, folder: Path, real: Dataset, synthetic: Dataset, rest: Dataset, positive: Scalar | None
) -> tuple[Utility | None, str]:
    """As `measure`; where it cannot be had, None and why."""
    try:
        found = measure(spec, folder, real, synthetic, rest, positive)
    except errors.EstimatorError as error:
        return None, f"what synthetic rows are good for was not measured: {error.message}"
    return found, "" if found else f"`{spec.goal.metric}` is not defined on these rows"


def _part(dataset: Dataset, rows: int, random: np.random.Generator) -> Dataset:
    if dataset.rows <= rows:
        return dataset
    return dataset.take(np.sort(random.choice(dataset.rows, rows, replace=False)))


def _compared(metric: str, real: Outcomes, synthetic: Outcomes, name: str, seed: int) -> Utility | None:
    first, second = (bootstraps.estimate(metric, found, seed) for found in (real, synthetic))
    if first.value is None or second.value is None:
        return None
    random = np.random.default_rng(seed)
    draws = []
    for _ in range(_RESAMPLES):
        rows = random.integers(0, real.rows, real.rows)
        one, two = scores.score(metric, real.take(rows)), scores.score(metric, synthetic.take(rows))
        if one is not None and two is not None:
            draws.append(two - one)
    low, high = np.quantile(draws, (0.025, 0.975)) if len(draws) > _RESAMPLES // 2 else (None, None)
    difference = Estimate(
        value=second.value - first.value,
        low=None if low is None else float(low),
        high=None if high is None else float(high),
    )
    return Utility(metric=metric, real=first, synthetic=second, difference=difference, estimator=name)
