"""Recurring runs of `retrain.schedule`, for those who want Kubeflow to keep the clock.

With `kubeflow_schedules` a schedule that is written in pilot.yaml is a recurring run
there, and our own scheduler does not fire it: no moment has two clocks. What Kubeflow
starts is taken in under its own id and looked at like any other run. A recurring run
is replaced, not changed, when the pilot, its code or the installation has changed:
the API cannot change one. Schedules that people make stay with our own scheduler.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfp_server_api
from cronsim import CronSim
from sqlalchemy import Engine, insert, select

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, catalogues, records
from pilotage.pipelines.journals.catalogues import Entry
from pilotage.pipelines.journals.states import STEPS, State
from pilotage.pipelines.kubeflow import requirements, submissions
from pilotage.pipelines.kubeflow.clients import Client
from pilotage.pipelines.machines import leases
from pilotage.pipelines.machines.leases import Lease
from pilotage.pipelines.retraining import budgets
from pilotage.pipelines.retraining.schedules import ScheduleState, Source

logger = logging.getLogger(__name__)

WHO = "kubeflow"
_OURS = "pilotage retrain.schedule"
"""How descriptions of our recurring runs begin; the digest of what they do follows."""
_NAMES = ("JUL", "WED")
"""Names of months and days with a letter that means something else by itself."""
_SEEN_AT_MOST = 200
"""Runs of an experiment that are looked at for new ones."""


def sync(engine: Engine, settings: Settings, lease: Lease | None) -> None:
    """Let Kubeflow's recurring runs be what pilot.yaml says, and take in the runs that they started.

    Where Kubeflow does not keep the clock, those that are there from earlier are deleted; so are those of a
    pilot whose month's budget is spent, until the next month.

    Raises:
        LeaseLost: another process leads.
    """
    client = Client(settings)
    with tables.reading(engine) as connection:
        known = catalogues.entries(connection)
        paused = _paused(connection)
    for entry in known:
        wanted = settings.kubeflow_schedules and entry.name not in paused
        wanted = wanted and entry.spec.retrain.schedule is not None
        with engine.begin() as connection:
            leases.require(connection, lease)
        try:
            wanted = wanted and not _is_spent(engine, settings, entry.spec)
            experiment = client.experiment(entry.name) if wanted else client.find_experiment(entry.name)
            if experiment is None:
                continue
            ids = _arrange(client, settings, entry, experiment, wanted=wanted)
            _take_in(engine, client, entry, experiment, ids)
        except errors.PilotageError as error:
            logger.warning("the recurring run of %s stays as it is: %s", entry.name, error)


def _is_spent(engine: Engine, settings: Settings, spec: PilotSpec) -> bool:
    with engine.begin() as connection:
        return budgets.refuse(connection, settings, spec, tables.now()) is not None


def cron_of(expression: str) -> str:
    """A cron expression as Kubeflow reads it: seconds first, Sunday is 0.

    Raises:
        InputError: it says what Kubeflow's clock cannot.
    """
    parts = expression.split()
    if len(parts) != 5 or not _is_plain(expression):
        raise errors.InputError(
            f"`retrain.schedule: {expression}` says what Kubeflow's clock cannot.",
            remedy="Write five fields without `L`, `W` and `#`, or leave the clock with Pilotage.",
        )
    if parts[4] != "*":
        days = CronSim(expression, datetime.now(UTC)).weekdays
        numbers = {day % 7 for day in days if isinstance(day, int)}
        parts[4] = ",".join(map(str, sorted(numbers)))
    return " ".join(("0", *parts))


def _is_plain(expression: str) -> bool:
    """Whether letters in an expression are those of months and days alone."""
    words = re.split(r"[\s,/-]+", expression.upper())
    return not any(mark in word for word in words if word not in _NAMES for mark in ("L", "W", "#"))


def _arrange(client: Client, settings: Settings, entry: Entry, experiment: str, *, wanted: bool) -> set[str]:
    """Have one recurring run that does what is wanted, or none; the ids of ours."""
    ours = [found for found in client.recurring_runs(experiment) if str(found.description).startswith(_OURS)]
    ids = {str(found.recurring_run_id) for found in ours}
    if wanted and not entry.folder.is_dir():
        return ids  # it is on another machine, which sees to it
    made = _definition(settings, entry.spec, entry.folder, experiment) if wanted else None
    right = [found for found in ours if made is not None and found.description == made.description]
    for stale in [found for found in ours if found not in right[:1]]:
        client.delete_recurring_run(str(stale.recurring_run_id))
        logger.info("Kubeflow's recurring run of %s is deleted", entry.name)
    if made is not None and not right:
        ids.add(str(client.create_recurring_run(made).recurring_run_id))
        logger.info("Kubeflow starts runs of %s at `%s`", entry.name, entry.spec.retrain.schedule)
    return ids


def _definition(settings: Settings, spec: PilotSpec, folder: Path, experiment: str) -> Any:
    requirements.require(settings, spec, folder)
    pipeline, parameters = submissions.document(settings, spec, folder)
    content = {
        "pipeline": pipeline,
        "parameters": parameters,
        "cron": cron_of(spec.retrain.schedule or ""),
        "root": settings.kubeflow_root,
        "account": spec.cluster.service_account or settings.kubeflow_service_account,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return kfp_server_api.V2beta1RecurringRun(
        display_name=f"{spec.pilot} retrain",
        description=f"{_OURS} {digest}",
        experiment_id=experiment,
        namespace=settings.kubeflow_namespace or None,
        pipeline_spec=pipeline,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(
            parameters=parameters, pipeline_root=settings.kubeflow_root or None
        ),
        service_account=content["account"] or None,
        max_concurrency="1",
        no_catchup=True,
        mode="ENABLE",
        trigger=kfp_server_api.V2beta1Trigger(
            cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=content["cron"])
        ),
    )


def _take_in(engine: Engine, client: Client, entry: Entry, experiment: str, ids: set[str]) -> None:
    """Record the runs that Kubeflow's clock has started, so that they are looked at."""
    table = tables.runs
    found = {str(run.run_id): run for run in _started(client, experiment, ids)}
    with tables.reading(engine) as connection:
        known = set(connection.scalars(select(table.c.id).where(table.c.id.in_(found))))
    for run in [run for name, run in reversed(found.items()) if name not in known]:
        with engine.begin() as connection:
            tables.lock(connection, f"runs of {entry.name}")
            if connection.scalar(select(table.c.id).where(table.c.id == run.run_id)) is not None:
                continue
            connection.execute(insert(table), _row(run, entry))
            connection.execute(insert(tables.steps), records.pending_steps(str(run.run_id), STEPS))
            audits.write(
                connection, "run", entry.name, WHO, "Kubeflow's clock", run=str(run.run_id), parameters={}
            )
        logger.info("Kubeflow's clock has started run %s of %s", run.run_id, entry.name)


def _started(client: Client, experiment: str, ids: set[str]) -> Iterator[Any]:
    for number, run in enumerate(client.runs(experiment)):
        if number == _SEEN_AT_MOST:
            return
        if run.recurring_run_id in ids:
            yield run


def _row(run: Any, entry: Entry) -> Mapping[str, Any]:
    return {
        "id": str(run.run_id),
        "pilot": entry.name,
        "state": State.PENDING,
        "asked_at": run.created_at,
        "asked_by": WHO,
        "why": "started by Kubeflow's clock",
        "parameters": {},
        "schedule": entry.name,
        "folder": str(entry.folder),
        "spec": entry.spec.model_dump(mode="json", exclude_unset=True),
        "remote": {"on": WHO, "id": str(run.run_id)},
    }


def _paused(connection: Any) -> set[str]:
    table = tables.schedules
    held = select(table.c.pilot).where(table.c.source == Source.PILOT, table.c.state == ScheduleState.PAUSED)
    return set(connection.scalars(held))
