"""One run of a pilot's training pipeline, from the lock to the result.

A failure of the pipeline is a result with an error and an exit code, never an
exception; what keeps a run from beginning (a wrong setting, a run in progress)
is raised. This module is light to import, so that the steps' heavy imports can
begin in other processes before those of the run itself; `executions` does the
rest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.core import errors
from pilotage.core.places import Place
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines.journals import states
from pilotage.pipelines.journals.events import OnEvent, StepOutcome
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import locks
from pilotage.pipelines.steps.workers import Workers

if TYPE_CHECKING:
    from pilotage.core.artifacts import Decision


@dataclass(frozen=True)
class RunResult:
    """What a run came to; `document` is what `pilotage run --json` prints."""

    run: str
    pilot: str
    state: State
    exit_code: int
    seconds: float
    steps: tuple[StepOutcome, ...]
    snapshot: str | None = None
    version: int | None = None
    promoted: bool = False
    decision: Decision | None = None
    reason: str = ""
    replaced: int | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    gates: tuple[dict[str, Any], ...] = ()
    error: dict[str, Any] | None = None
    logs: Path | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The result as one JSON document."""
        return {
            "run": self.run,
            "pilot": self.pilot,
            "state": self.state.value,
            "exit_code": self.exit_code,
            "seconds": round(self.seconds, 3),
            "snapshot": self.snapshot,
            "steps": [
                {
                    "name": step.name,
                    "state": step.state.value,
                    "seconds": round(step.seconds, 3),
                    "cached": step.cached,
                }
                for step in self.steps
            ],
            "version": self.version,
            "promoted": self.promoted,
            "decision": self.decision.value if self.decision else None,
            "reason": self.reason,
            "metrics": self.metrics,
            "gates": list(self.gates),
            "error": self.error,
            "logs": str(self.logs) if self.logs else None,
        }


def run(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    *,
    cache: bool = True,
    trigger: str | None = None,
    on_event: OnEvent | None = None,
    on: Place = Place.LOCAL,
) -> RunResult:
    """Run the training pipeline of `spec` and wait for its end.

    In Kubeflow, a run of the pilot that goes on there while no process looks at it is the one.

    Args:
        spec: the pilot.
        folder: what its relative names are relative to.
        settings: the installation.
        cache: whether outputs of earlier, equal steps may be used.
        trigger: id of the trigger that asked for it.
        on_event: told what happens while it happens, in this thread.
        on: where it is carried out.

    Raises:
        RunActive: the pilot has a run in progress.
        SettingsError, Unavailable: the database or a store cannot be used.
    """
    if on is Place.KUBEFLOW:
        from pilotage.pipelines import tables
        from pilotage.pipelines.queue import remotes

        known = remotes.waiting(tables.connect(settings), spec.pilot)
        if known is not None:
            return run_asked(known, settings, on_event=on_event)
    return _run(states.new_id(), spec, folder, settings, cache, trigger=trigger, on_event=on_event, on=on)


def run_asked(run: str, settings: Settings, *, on_event: OnEvent | None = None) -> RunResult:
    """Carry out a run that waits in line (see `requests`), in this process, and wait for its end.

    It goes where `run_on` says, or goes on where it was begun.

    Raises:
        NotFound: there is no such run.
        Conflict: it does not wait any more.
        RunActive: the pilot has a run in progress; a later dispatch tries again.
        SettingsError, Unavailable: the database or a store cannot be used.
    """
    from pilotage.pipelines import tables
    from pilotage.pipelines.journals.records import Records
    from pilotage.pipelines.queue import requests

    engine = tables.connect(settings)
    record = Records(engine).run(run)
    spec, cache = PilotSpec.model_validate(record.spec), bool(record.parameters.get("cache", True))
    on = settings.run_on if record.remote is None else Place.KUBEFLOW
    trigger = record.trigger
    try:
        return _run(
            record.id,
            spec,
            record.folder,
            settings,
            cache,
            trigger=trigger,
            on_event=on_event,
            on=on,
            asked=True,
        )
    except errors.RunActive:
        requests.release(engine, record.id)
        raise


def _run(
    name: str,
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    cache: bool,
    *,
    trigger: str | None = None,
    on_event: OnEvent | None = None,
    on: Place = Place.LOCAL,
    asked: bool = False,
) -> RunResult:
    began = time.monotonic()
    workers = Workers.of(settings, name)
    with locks.run_lock(settings, spec.pilot, name):
        try:
            if on is Place.LOCAL and (not cache or _is_new(settings)):
                workers.start()
            from pilotage.pipelines.execution import executions

            return executions.execute(
                name,
                spec,
                folder,
                settings,
                workers,
                began=began,
                cache=cache,
                trigger=trigger,
                on_event=on_event,
                on=on,
                asked=asked,
            )
        finally:
            workers.stop()


def _is_new(settings: Settings) -> bool:
    """Whether nothing ran in this home yet, so that no step can be in the cache."""
    return not settings.database_url and not (settings.home / "pilotage.db").exists()
