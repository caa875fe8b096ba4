"""A search whose trials a team scores: the same proposals, prunings and outcome as in one process.

The study stays in this process; workers score folds of trials, each with the training rows in memory. Trials
are asked for ahead only where proposals do not depend on results, that is, for the first random ones, and
for one batch at a time where there are more workers than folds to keep busy. In that last case, and where
the time ran out, the outcome is not that of one process; it is the same for the same number of workers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import optuna

from pilotage.components import splits
from pilotage.components.datasets import Dataset
from pilotage.components.distributed import shards
from pilotage.components.distributed.fits import Job
from pilotage.components.distributed.shards import Rows
from pilotage.components.distributed.teams import Team
from pilotage.components.splits import Split
from pilotage.components.training import searches
from pilotage.components.training.searches import RANDOM_TRIALS, Found
from pilotage.core.artifacts import Scalar
from pilotage.core.metrics import Task
from pilotage.core.specs import Search


def search(team: Team, job: Job, wanted: Search, train: Dataset, positive: Scalar | None) -> Found:
    """The best parameters in `wanted.space`; of `train` no features are read here.

    Raises:
        EstimatorError: the estimator does not take a parameter of the space, or failed with one.
        DataError: the training part cannot be divided, or the metric is not defined on its folds.
        StepFailed: workers were lost too often.
    """
    spec, until = job.spec, time.monotonic() + wanted.timeout.total_seconds()
    folds = len(splits.folds(train, spec.task, spec.train.seed))
    batch = max(1, team.size // folds)
    shared = team.share(job)
    study = searches.begun(spec.train.seed)
    while (done := len(study.trials)) < wanted.trials and time.monotonic() < until:
        ahead = RANDOM_TRIALS - done if done < RANDOM_TRIALS else batch
        trials = [study.ask() for _ in range(min(ahead, wanted.trials - done))]
        proposed = [{**spec.train.params, **searches.suggest(trial, wanted.space)} for trial in trials]
        scored = _score(team, shared, proposed, folds, positive)
        for trial, values in zip(trials, scored, strict=True):
            _tell(study, trial, values)
    return searches.ended(study)


def _tell(study: optuna.Study, trial: optuna.Trial, values: Sequence[float]) -> None:
    """As if the folds had been scored one after the other, until the trial falls behind."""
    for step in range(len(values)):
        if searches.falls_behind(trial, list(values[: step + 1]), step, len(values)):
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return
    study.tell(trial, float(np.mean(values)))


def _score(
    team: Team, job: Any, proposed: Sequence[Mapping[str, Any]], folds: int, positive: Scalar | None
) -> list[list[float]]:
    """The goal's metric of each fold of each proposal."""
    items = [(job, dict(params), fold, positive) for params in proposed for fold in range(folds)]
    found = dict(team.each(_score_fold, items))
    return [[found[trial * folds + fold] for fold in range(folds)] for trial in range(len(proposed))]


def _score_fold(job: Job, params: dict[str, Any], fold: int, positive: Scalar | None) -> float:
    """In a worker: the goal's metric of one fold."""
    train = shards.whole(job.rows)
    split = _folds(job.rows, job.spec.task, job.spec.train.seed)[fold]
    part, rest = train.take(split.train), train.take(split.test)
    return searches.score_fold(job.spec, job.folder, part, rest, params, positive)


@lru_cache(maxsize=1)
def _folds(rows: Rows, task: Task, seed: int) -> list[Split]:
    return splits.folds(shards.whole(rows), task, seed)
