"""An estimator fitted by a team: the same object as in one process, made by workers that share the rows.

Each worker reads its share of the snapshot itself; this process holds one column at a time, to learn the
encoding. A worker that is lost makes all begin again from the last checkpoint. What cannot be shared is
fitted by one worker; whether a pilot may ask for that, its specification has said.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from pilotage.components.datasets import Dataset
from pilotage.components.distributed import boosters, networks, shards
from pilotage.components.distributed.boosters import Network
from pilotage.components.distributed.checkpoints import Checkpoints
from pilotage.components.distributed.shards import Rows, Share
from pilotage.components.distributed.teams import Team
from pilotage.components.training import encodings, estimators
from pilotage.core import errors
from pilotage.core.errors import WorkerLost
from pilotage.core.specs import DISTRIBUTED, Estimator, PilotSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What is to be fitted."""

    spec: PilotSpec
    folder: Path
    rows: Rows
    run: str
    """Id of the run, which an attempt after a failure has, too."""


def fit(team: Team, job: Job, params: Mapping[str, Any], dataset: Dataset) -> Any:
    """The fitted estimator; `dataset` is the training part, whose columns are read one by one.

    Raises:
        EstimatorError: the estimator or its parameters are wrong.
        DataError: a class has fewer rows than there are workers.
        StepFailed: workers were lost too often.
    """
    spec = job.spec
    if spec.train.estimator not in DISTRIBUTED:
        logger.info("one of the workers fits %s, which cannot be shared", spec.train.estimator)
        return _fit_alone(team, job, params)
    built = estimators.build(
        spec.train.estimator,
        params,
        task=spec.task,
        dataset=dataset,
        seed=spec.train.seed,
        folder=job.folder,
    )
    encoder, model = built.named_steps["encode"], built.named_steps["model"]
    if spec.train.estimator != Estimator.MLP:  # its encoder takes means and medians of all rows
        dataset = shards.standing_for(dataset, encodings.MOST_CODES)
    encoder.fit(dataset.frame(), dataset.target)
    work = {
        "rows": job.rows.digest,
        "estimator": spec.train.estimator,
        "params": dict(params),
        "seed": spec.train.seed,
        "workers": team.size,
    }
    checkpoints = Checkpoints.of(job.rows.settings, job.run, work)
    told = [
        Share(job.rows, rank, team.size, spec.task, spec.train.seed, encoder, model, checkpoints)
        for rank in range(team.size)
    ]
    fitted = _together(team, told, Estimator(spec.train.estimator))
    checkpoints.remove()
    return Pipeline([("encode", encoder), ("model", fitted)])


def _together(team: Team, told: list[Share], family: Estimator) -> Any:
    """The fitted model, with as many attempts as workers may be lost."""
    while True:
        start = told[0].checkpoints.latest()
        if start is not None:
            logger.info("training goes on after %d steps", start.step)
        try:
            network = _meet(team, family)
            work = networks.fit if family is Estimator.MLP else boosters.fit
            return team.together(work, [(share, network) for share in told])[0]
        except WorkerLost as lost:
            team.renew(lost)
        except errors.Failure as error:
            if isinstance(error, errors.StepFailed):
                raise
            raise errors.EstimatorError(
                f"Fitting {family} with {team.size} workers failed: {error.message}.",
                remedy="Correct `train.params`.",
            ) from error


def _meet(team: Team, family: Estimator) -> Network:
    """How the workers of this attempt reach each other."""
    hosts = [member.host for member in team.members]
    if family is Estimator.XGBOOST:
        return Network(family, tracker=team.ask(0, boosters.start_tracker, hosts[0], team.size))
    ports = team.together(boosters.free_port, [(host,) for host in hosts])
    return Network(family, machines=tuple(zip(hosts, ports, strict=True)))


def _fit_alone(team: Team, job: Job, params: Mapping[str, Any]) -> Any:
    return next(team.each(_fit_whole, [(team.share(job), dict(params))]))[1]


def _fit_whole(job: Job, params: Mapping[str, Any]) -> Any:
    """In a worker: the estimator as one process fits it."""
    spec, dataset = job.spec, shards.whole(job.rows)
    name = spec.train.estimator
    built = estimators.build(
        name, params, task=spec.task, dataset=dataset, seed=spec.train.seed, folder=job.folder
    )
    return estimators.fit(built, dataset, name)
