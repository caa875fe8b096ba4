"""Looks for good parameters with Optuna: TPE proposes, the median rule stops what falls behind.

A trial is scored fold by fold and reports after each, so that pruning saves
real work. The held-out part is never seen. What a parameter means is the
estimator's affair.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from pilotage.components import splits
from pilotage.components.datasets import Dataset
from pilotage.components.measures import scores
from pilotage.components.training import estimators
from pilotage.components.training.deep.embedders import Embedder
from pilotage.core import errors
from pilotage.core.artifacts import Scalar
from pilotage.core.specs import PilotSpec, Range, Search

logger = logging.getLogger(__name__)

TRIALS_BEFORE_PRUNING = 5
RANDOM_TRIALS = 10
"""Trials whose parameters do not depend on earlier ones."""


@dataclass(frozen=True)
class Found:
    """The outcome of a search."""

    params: dict[str, Any]
    """The best of those searched; without the fixed ones."""
    value: float
    """Mean of the goal's metric over the folds."""
    trials: int
    pruned: int
    history: tuple[dict[str, Any], ...]
    """Each trial with `number`, `state`, `value`, `params` and `folds`."""


def search(
    spec: PilotSpec,
    wanted: Search,
    folder: Path,
    train: Dataset,
    positive: Scalar | None,
    embedder: Embedder | None = None,
    augment: Callable[[Dataset], Dataset] = lambda rows: rows,
) -> Found:
    """The best parameters in `wanted.space` on the training part `train`.

    What a fold is fitted on goes through `augment` first; what it is scored on does not.

    Raises:
        EstimatorError: the estimator does not take a parameter of the space, or failed with one.
        DataError: the training part cannot be divided, or the metric is not defined on its folds.
    """
    folds = splits.folds(train, spec.task, spec.train.seed)
    parts = [augment(train.take(fold.train)) for fold in folds]
    study = begun(spec.train.seed)

    def objective(trial: optuna.Trial) -> float:
        params = {**spec.train.params, **suggest(trial, wanted.space)}
        values: list[float] = []
        for step in range(len(folds)):
            rest = train.take(folds[step].test)
            values.append(score_fold(spec, folder, parts[step], rest, params, positive, embedder))
            if falls_behind(trial, values, step, len(folds)):
                raise optuna.TrialPruned
        return float(np.mean(values))

    study.optimize(objective, n_trials=wanted.trials, timeout=wanted.timeout.total_seconds())
    return ended(study)


def begun(seed: int) -> optuna.Study:
    """A study without trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=TRIALS_BEFORE_PRUNING, n_warmup_steps=0),
    )


def falls_behind(trial: optuna.Trial, values: list[float], step: int, folds: int) -> bool:
    """Report the `values` of the folds up to `step`; whether those that are left are not worth their time."""
    trial.report(float(np.mean(values)), step)
    return step < folds - 1 and trial.should_prune()


def ended(study: optuna.Study) -> Found:
    """What the study found."""
    pruned = sum(trial.state is optuna.trial.TrialState.PRUNED for trial in study.trials)
    logger.info("search: %d trials, %d pruned, best %.6g", len(study.trials), pruned, study.best_value)
    return Found(
        params=dict(study.best_params),
        value=float(study.best_value),
        trials=len(study.trials),
        pruned=pruned,
        history=tuple(_record(trial) for trial in study.trials),
    )


def suggest(trial: optuna.Trial, space: Mapping[str, Range]) -> dict[str, Any]:
    """Parameters that the study proposes for `trial`."""
    return {name: _suggest_one(trial, name, wanted) for name, wanted in space.items()}


def _suggest_one(trial: optuna.Trial, name: str, wanted: Range) -> Any:
    if wanted.choices is not None:
        return trial.suggest_categorical(name, list(wanted.choices))
    low, high = wanted.low, wanted.high
    if low is None or high is None:
        raise errors.EstimatorError(f"The range of `{name}` has no ends.", remedy="Give `low` and `high`.")
    if wanted.integer:
        return trial.suggest_int(name, math.ceil(low), math.floor(high), log=wanted.log)
    return trial.suggest_float(name, low, high, log=wanted.log)


def score_fold(
    spec: PilotSpec,
    folder: Path,
    part: Dataset,
    rest: Dataset,
    params: Mapping[str, Any],
    positive: Scalar | None,
    embedder: Embedder | None = None,
) -> float:
    """The goal's metric on `rest` after training on `part`. Raises as `search`."""
    name = spec.train.estimator
    estimator = estimators.build(
        name, params, task=spec.task, dataset=part, seed=spec.train.seed, folder=folder, embedder=embedder
    )
    fitted = estimators.fit(estimator, part, name, "train.search.space` or `train.params")
    predictor = estimators.predictor(fitted, part, spec.task, positive)
    found = estimators.predict(predictor, rest, name)
    value = scores.score(spec.goal.metric, scores.judge(predictor, found, rest.target))
    if value is None:
        raise errors.DataError(
            f"`{spec.goal.metric}` is not defined on a fold of {rest.rows} rows with {name}.",
            remedy="Choose another `goal.metric`, or bring more rows.",
        )
    return value


def _record(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "params": trial.params,
        "folds": [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)],
    }
