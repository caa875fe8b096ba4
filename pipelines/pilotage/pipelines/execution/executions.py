"""Carries out a run that `runs` has begun: records, cache, kfp's orchestrator, result.

It is apart from `runs` because its imports take half a second.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine

from pilotage.components.rollouts import fate
from pilotage.core import errors, rollouts
from pilotage.core.artifacts import Artifact, Decision, Scorecard, Version
from pilotage.core.costs.usages import Clock
from pilotage.core.places import Place
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.execution.runs import RunResult
from pilotage.pipelines.journals import stops, usages
from pilotage.pipelines.journals.events import Journal, Kind, OnEvent, StepOutcome
from pilotage.pipelines.journals.records import Along, Records, RunRecord
from pilotage.pipelines.journals.states import STEPS, State
from pilotage.pipelines.journals.stops import Reason, Stopped
from pilotage.pipelines.machines import processes
from pilotage.pipelines.queue import claims, remotes, requests
from pilotage.pipelines.readiness import holds
from pilotage.pipelines.steps.caches import Cache
from pilotage.pipelines.steps.workers import Workers

if TYPE_CHECKING:
    from pilotage.pipelines.kubeflow.runners import KubeflowRunner

logger = logging.getLogger(__name__)

ArtifactT = TypeVar("ArtifactT", bound=Artifact)

_WITHOUT_CLIENT = "_KFP_RUNTIME"
"""What kfp sets in the processes of steps."""


def execute(
    name: str,
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    workers: Workers,
    *,
    began: float,
    cache: bool,
    trigger: str | None,
    on_event: OnEvent | None,
    on: Place = Place.LOCAL,
    asked: bool = False,
) -> RunResult:
    """Carry out run `name`, whose lock is held; see `runs.run`, and `runs.run_asked` for one `asked` for."""
    clock = Clock()
    engine = tables.connect(settings)
    store = Records(engine)
    bury_dead_runs(store, settings)
    remote = None if on is Place.LOCAL else {"on": on.value, "id": None}
    if asked:
        trigger = requests.claim(engine, name, remote)
    else:
        _begin(store, name, spec, folder, trigger, remote)
    journal = Journal(store, name, on_event)
    journal.tell(Kind.RUN_STARTED, state=State.RUNNING)
    error: errors.PilotageError | None = None
    state, stopped = State.SUCCEEDED, None
    try:
        runner = None if remote is None else _kubeflow_runner(settings, engine, journal)
        with stops.stoppable(engine, name):
            if runner is not None:
                runner.run(spec, folder, store.run(name).remote or {})
            else:
                steps = _cache(engine, settings, spec, folder, name, cache)
                _carry_out(spec, folder, settings, journal, steps, workers)
    except errors.LeaseLost:  # what becomes of the run is another process's to say
        raise
    except Stopped as stop:
        state, stopped = State.CANCELLED, stop
        error = errors.Failure(f"The run was stopped by {stop}.", remedy="Run it again when you like.")
    except errors.PilotageError as failure:
        state, error = State.FAILED, failure
    except Exception as failure:
        logger.exception("run %s failed", name)
        state, error = State.FAILED, _unexpected(failure)
    _keep_overhead(journal, clock, workers)
    result = _result(name, spec, settings, journal, state, error, time.monotonic() - began)
    if (
        (asked or remote is not None)
        and stopped is not None
        and stopped.reason is Reason.INTERRUPTED
        and requests.requeue(engine, name)
    ):
        result = replace(result, state=State.PENDING)
    else:
        result = _keep(settings, spec, store, result, lambda kept: _ending(trigger, kept, stopped))
    journal.tell(Kind.RUN_ENDED, state=result.state, seconds=result.seconds)
    engine.dispose()
    return result


def _begin(
    store: Records,
    name: str,
    spec: PilotSpec,
    folder: Path,
    trigger: str | None,
    remote: Mapping[str, Any] | None,
) -> None:
    other = remotes.going(store.engine, spec.pilot)
    if other is not None:
        raise errors.RunActive(
            f"Pilot `{spec.pilot}` already has a run in progress in Kubeflow: {other}.",
            remedy="Wait for it to end, or cancel it.",
            run=other,
        )
    asked_by = "" if trigger is None else promotions.PLATFORM
    along = _beginning(trigger, name)
    store.begin_run(name, spec, folder, STEPS, trigger, asked_by=asked_by, remote=remote, along=along)


def _keep_overhead(journal: Journal, clock: Clock, workers: Workers) -> None:
    """What the run used beside its steps: this process, and what the processes of steps imported."""
    used = clock.read()
    journal.used(
        usages.BESIDE, used.model_copy(update={"cpu_seconds": used.cpu_seconds + workers.cpu_seconds()})
    )


def _unexpected(failure: Exception) -> errors.Failure:
    return errors.Failure(f"{type(failure).__name__}: {failure}", remedy="See the log; `--debug` shows more.")


def _keep(
    settings: Settings,
    spec: PilotSpec,
    store: Records,
    result: RunResult,
    ending: Callable[[RunResult], Along | None],
) -> RunResult:
    """Write the end of a run: the decision if it made one, the run, and with it what `ending` gives."""
    if result.version is not None and result.decision is not None:
        promotions.record_decision(
            store.engine,
            *(result.pilot, result.version, result.decision, result.run, result.reason, result.replaced),
        )
        result = holds.settle(settings, store.engine, spec, result)
    store.end_run(
        result.run,
        result.state,
        result.exit_code,
        error=result.error,
        result=result.document,
        along=ending(result),
    )
    return result


def _beginning(trigger: str | None, run: str) -> Along | None:
    return None if trigger is None else lambda connection: claims.begin(connection, trigger, run)


def _ending(trigger: str | None, result: RunResult, stopped: Stopped | None) -> Along | None:
    """What becomes of the trigger; a person who cancelled the run does not want it started again."""
    if trigger is None:
        return None
    unwanted = stopped is not None and stopped.reason is Reason.ASKED
    fate = State.FAILED if unwanted else result.state
    return lambda connection: claims.end(connection, trigger, result.run, fate)


def bury_dead_runs(store: Records, settings: Settings) -> list[RunRecord]:
    """Mark runs whose process is gone as died and clear up behind them; returns these.

    Those that go on elsewhere are put back in line.
    """
    remotes.recover(store.engine)
    dead = store.bury()
    if not dead:
        return dead
    registry = Registry(settings)
    for record in dead:
        try:
            registry.kill_open_runs(record.pilot, record.id)
        except (
            Exception
        ) as error:  # what another system cannot do now must not keep the next run from starting
            logger.warning("MLflow's runs of %s could not be marked as killed: %s", record.id, error)
    _clear_staging(settings)
    return dead


def _cache(
    engine: Engine, settings: Settings, spec: PilotSpec, folder: Path, name: str, reading: bool
) -> Cache:
    from pilotage.components import sources

    return Cache(
        engine,
        settings,
        spec,
        folder,
        name,
        fingerprint=lambda: sources.fingerprint(spec, folder),
        reading=reading,
    )


def _carry_out(
    spec: PilotSpec, folder: Path, settings: Settings, journal: Journal, cache: Cache, workers: Workers
) -> None:
    if cache.find("ingest", {}) is None:
        workers.start()  # steps will run: let their imports begin before kfp's
    with _without_garbage_collection():
        _import_kfp()
        from pilotage.pipelines.definitions import training
        from pilotage.pipelines.steps.local import LocalRunner

    pipeline = training.compiled(spec, folder)
    LocalRunner(settings, journal, cache, workers).run(pipeline, {"run": journal.run})


def _kubeflow_runner(settings: Settings, engine: Engine, journal: Journal) -> KubeflowRunner:
    """Before the run can be told to stop: kfp's client takes seconds to import."""
    with _without_garbage_collection():
        from pilotage.pipelines.kubeflow.runners import KubeflowRunner

    return KubeflowRunner(settings, engine, journal)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Imports make no garbage, and looking for it takes a fifth of their time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _import_kfp() -> None:
    """Import kfp without its API client, which takes as long as all else and is not needed here."""
    if "kfp" not in sys.modules:
        os.environ[_WITHOUT_CLIENT] = "true"
        try:
            importlib.import_module("kfp")
        finally:
            del os.environ[_WITHOUT_CLIENT]


def _result(
    name: str,
    spec: PilotSpec,
    settings: Settings,
    journal: Journal,
    state: State,
    error: errors.PilotageError | None,
    seconds: float,
) -> RunResult:
    outcomes = journal.outcomes
    fate = {step: outcomes.get(step) or StepOutcome(step, State.SKIPPED) for step in STEPS}
    scorecard = _read(Scorecard, fate["evaluate"], "scorecard")
    version = _read(Version, fate["register"], "version")
    champion = Registry(settings).aliases(spec.pilot).get("champion") if version else None
    exit_code = int(error.exit_code) if error else 0
    decision, reason = _decision(settings, version) if version else (None, "")
    if decision is Decision.REFUSED:
        exit_code = int(errors.ExitCode.REFUSED)
    return RunResult(
        run=name,
        pilot=spec.pilot,
        state=state,
        exit_code=exit_code,
        seconds=seconds,
        steps=tuple(fate.values()),
        snapshot=fate["ingest"].outputs.get("snapshot", {}).get("digest"),
        version=version.version if version else None,
        promoted=version is not None and champion == version.version,
        decision=decision,
        reason=reason,
        replaced=version.replaced if version else None,
        metrics={metric: found.value for metric, found in scorecard.metrics.items()} if scorecard else {},
        gates=tuple(verdict.model_dump(mode="json") for verdict in scorecard.gates) if scorecard else (),
        error=_described(error),
        logs=settings.logs / name,
    )


def _decision(settings: Settings, version: Version) -> tuple[Decision, str]:
    """What was decided of a version, by now: a rollout may have ended since a cached registration."""
    if version.decision is Decision.ROLLING_OUT:
        rollout = rollouts.read(Storage(settings.storage), version.pilot, version.version)
        if rollout is not None and not rollout.running:
            return fate(rollout)
    return version.decision, version.reason


def _read(kind: type[ArtifactT], outcome: StepOutcome, name: str) -> ArtifactT | None:
    uri = outcome.outputs.get(name, {}).get("uri")
    return kind.read(Path(uri)) if uri else None


def _described(error: errors.PilotageError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {
        "type": type(error).__name__,
        "message": error.message,
        "remedy": error.remedy,
        "exit_code": int(error.exit_code),
        "step": error.details.get("step"),
        "log": error.details.get("log"),
    }


def _clear_staging(settings: Settings) -> None:
    """Remove what dead processes were filling before they could publish it."""
    staging = settings.home / ".staging"
    if not staging.is_dir():
        return
    for folder in staging.iterdir():
        pid = folder.name.partition("-")[0]
        if pid.isdigit() and not processes.running(int(pid)):
            with suppress(OSError):
                shutil.rmtree(folder)
