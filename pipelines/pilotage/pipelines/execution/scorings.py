"""One run of the scoring pipeline on this machine, recorded like one that trains.

Several may run at a time, also beside a training. Nothing is taken from the step
cache: what a run scores is a parameter that the cache does not know.
"""

from __future__ import annotations

from pathlib import Path

from pilotage.core import errors
from pilotage.core.artifacts import Scores
from pilotage.core.costs.usages import Clock
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.definitions import scoring
from pilotage.pipelines.journals import states, usages
from pilotage.pipelines.journals.events import Journal, Kind, OnEvent
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.steps.caches import Cache
from pilotage.pipelines.steps.local import LocalRunner
from pilotage.pipelines.steps.workers import SCORING, Workers

STEPS = ("score",)


def run(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    source: str,
    version: int | None = None,
    *,
    on_event: OnEvent | None = None,
) -> Scores:
    """Score `source` with a version, the champion when left out; `Scores.file` is where the rows are.

    Raises:
        PilotageError: what the step failed with; the run is recorded as failed.
    """
    name, clock = states.new_id(), Clock()
    engine = tables.connect(settings)
    store = Records(engine)
    store.begin_run(name, spec, folder, STEPS)
    journal = Journal(store, name, on_event)
    journal.tell(Kind.RUN_STARTED, state=State.RUNNING)
    workers = Workers.of(settings, name, SCORING)
    state, error = State.CANCELLED, None
    try:
        cache = Cache(engine, settings, spec, folder, name, fingerprint=lambda: None, reading=False)
        runner = LocalRunner(settings, journal, cache, workers)
        runner.run(scoring.compiled(spec, folder), {"source": source, "version": version or 0})
        state = State.SUCCEEDED
        return Scores.read(Path(journal.outcomes["score"].outputs["scores"]["uri"]))
    except errors.PilotageError as failure:
        state, error = State.FAILED, failure
        raise
    finally:
        used = clock.read()
        cpu_seconds = used.cpu_seconds + workers.cpu_seconds()
        workers.stop()
        journal.used(usages.BESIDE, used.model_copy(update={"cpu_seconds": cpu_seconds}))
        described = None if error is None else {"type": type(error).__name__, "message": error.message}
        code = 0 if state is State.SUCCEEDED else int(error.exit_code if error else errors.ExitCode.FAILED)
        store.end_run(name, state, code, error=described, result=None)
        journal.tell(Kind.RUN_ENDED, state=state)
        engine.dispose()
