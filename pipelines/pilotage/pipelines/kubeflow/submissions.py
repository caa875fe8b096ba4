"""Submitting a run so that Kubeflow has it once, however often that is tried.

Kubeflow takes two runs of one name as two. So a run has a name of its own, is
looked for by it before every attempt, and an answer that got lost is looked for
again rather than asked for again. Should two processes have submitted it all the
same, the older one is it, and the others are terminated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import kfp_server_api
from sqlalchemy import Engine

from pilotage.components import provenance
from pilotage.core import bundles, errors
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.pipelines.definitions import needs, training
from pilotage.pipelines.kubeflow.clients import Client
from pilotage.pipelines.kubeflow.tasks import course
from pilotage.pipelines.queue import remotes

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 10.0
_LATE_SECONDS = 5.0
"""How long after its answer was lost a submission may still be carried out."""
PASSING = (errors.Unavailable, errors.Unauthenticated)
"""What may be mended by waiting: the API is back, or the token has been replaced."""


def name_of(pilot: str, run: str) -> str:
    """What the run is called in Kubeflow."""
    return f"{pilot} {run}"


def submit(
    client: Client,
    engine: Engine,
    settings: Settings,
    run: str,
    spec: PilotSpec,
    folder: Path,
    remote: Mapping[str, Any],
) -> str:
    """Kubeflow's id of `run`, which is submitted unless Kubeflow has it.

    Raises:
        InputError: the pilot's folder cannot travel, or Kubeflow does not take the pipeline.
        Unavailable, Unauthenticated: the API did not answer, or took no token, for too long.
    """
    if remote.get("id"):
        return str(remote["id"])
    patience = settings.kubeflow_patience_seconds
    experiment = patiently(lambda: client.experiment(spec.pilot), patience)
    name = name_of(spec.pilot, run)
    wanted: kfp_server_api.V2beta1Run | None = None
    deadline: float | None = None
    while True:
        found = patiently(lambda: find(client, experiment, name), patience)
        if found is not None:
            break
        if wanted is None:
            wanted = _run(settings, run, spec, folder, experiment, name)
        try:
            client.create_run(wanted)
        except PASSING as error:
            deadline = deadline or time.monotonic() + patience  # packing took its own time
            if time.monotonic() > deadline:
                raise
            logger.warning("whether run %s was submitted is not known, it is looked for: %s", run, error)
            found = _turns_up(client, settings, experiment, name)
            if found is not None:
                break
    remotes.note(engine, run, id=found, experiment=experiment)
    logger.info("run %s of %s is Kubeflow's run %s", run, spec.pilot, found)
    return found


def find(client: Client, experiment: str, name: str) -> str | None:
    """Id of the run with this name; of several, the oldest, and the others are terminated."""
    runs = [run for run in client.runs(experiment, name) if run.display_name == name]
    runs.sort(key=lambda run: (run.created_at, run.run_id))
    for run in runs[1:]:
        if not course(run.state).ended:
            logger.warning("run `%s` was submitted twice; %s is terminated", name, run.run_id)
            with suppress(errors.PilotageError):
                client.terminate(run.run_id)
    return str(runs[0].run_id) if runs else None


def _turns_up(client: Client, settings: Settings, experiment: str, name: str) -> str | None:
    """The run, if a request whose answer was lost was carried out late, as one that took too long is."""
    deadline = time.monotonic() + min(settings.kubeflow_timeout_seconds, _LATE_SECONDS)
    while time.monotonic() < deadline:
        time.sleep(_FIRST_WAIT_SECONDS)
        found = patiently(lambda: find(client, experiment, name), settings.kubeflow_patience_seconds)
        if found is not None:
            return found
    return None


def document(settings: Settings, spec: PilotSpec, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The pipeline as the API takes it, and its parameters; the pilot's folder is in the storage then."""
    reference = bundles.upload(
        Storage(settings.storage),
        folder,
        revision=provenance.revision(folder) or "",
        without=settings.home,
    )
    documents = training.documents(training.pipeline(spec, needs.of(settings)), spec)
    parts = dict(zip(("pipeline_spec", "platform_spec"), documents, strict=False))
    return parts, {"folder": reference}


def patiently(call: Callable[[], Result], seconds: float) -> Result:
    """The result of `call`, which is repeated for `seconds` while what it fails with may pass."""
    deadline, wait = time.monotonic() + seconds, _FIRST_WAIT_SECONDS
    while True:
        try:
            return call()
        except PASSING as error:
            if time.monotonic() + wait > deadline:
                raise
            logger.warning("%s; it is tried again in %g s", error.message, wait)
        time.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT_SECONDS)


def _run(
    settings: Settings, run: str, spec: PilotSpec, folder: Path, experiment: str, name: str
) -> kfp_server_api.V2beta1Run:
    pipeline, parameters = document(settings, spec, folder)
    return kfp_server_api.V2beta1Run(
        display_name=name,
        description=f"Pilotage run {run}",
        experiment_id=experiment,
        pipeline_spec=pipeline,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(
            parameters={**parameters, "run": run}, pipeline_root=settings.kubeflow_root or None
        ),
        service_account=spec.cluster.service_account or settings.kubeflow_service_account or None,
    )
