"""Looks at a run in Kubeflow until it has ended, and tells the journal what its steps do.

Kubeflow says which steps go on, since when, and with which pods; what a step made
or failed with, it has told itself (see `components.outcomes`). All of it is read
anew each time, so a process that looks on after another one needs to know nothing
but the run. An API that does not answer is waited for: the run goes on without it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pilotage.components import outcomes
from pilotage.core import errors
from pilotage.core.artifacts import Outcome
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines.journals.events import Journal
from pilotage.pipelines.journals.states import STEPS, State
from pilotage.pipelines.journals.stops import Reason, Stopped
from pilotage.pipelines.kubeflow import tasks
from pilotage.pipelines.kubeflow.clients import Client
from pilotage.pipelines.kubeflow.logs import Logs
from pilotage.pipelines.kubeflow.tasks import Course, Task

logger = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 30.0
_TELL_SECONDS = 60.0
_MISSED = 3
"""Times in a row that a run is not found before it is taken to be deleted."""
_OUTCOME_SECONDS = 10.0
"""How long what a step has told may take to be seen in the storage."""
_END_SECONDS = 60.0
"""How long a run that was terminated may take to end."""


@dataclass
class _Known:
    """What the journal was told of a step."""

    attempts: int = 0
    ended: bool = False
    began: datetime | None = None


class Follower:
    """Looks at one run."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        storage: Storage,
        journal: Journal,
        remote: str,
        still: Callable[[], None],
    ) -> None:
        self._client = client
        self._still = still
        self._settings = settings
        self._journal = journal
        self._remote = remote
        self._storage = storage
        self._logs = Logs(client, self._storage, journal, settings.logs / journal.run, remote)
        self._known = {step: _Known() for step in STEPS}
        self._digests: dict[str, str] = {}

    def follow(self) -> None:
        """Return when the run has succeeded.

        Raises:
            PilotageError: what it failed with, or what `still` raises.
            Stopped: somebody terminated it there.
        """
        while True:
            run = self._run()
            self._still()
            course = tasks.course(run.state)
            self._look(run, ended=course.ended)
            if course.ended:
                return self._end(run, course)
            time.sleep(self._settings.kubeflow_poll_seconds)

    def cancel(self) -> bool:
        """Terminate the run and wait until it has ended; whether it had succeeded before."""
        deadline = time.monotonic() + _END_SECONDS
        asked = False
        while time.monotonic() < deadline:
            try:
                if not asked:
                    self._client.terminate(self._remote)
                    asked = True
                run = self._client.run(self._remote)
            except errors.NotFound:
                break
            except errors.PilotageError as error:
                logger.warning("%s", error.message)
                time.sleep(1.0)
                continue
            course = tasks.course(run.state)
            if course is Course.SUCCEEDED:
                self._look(run, ended=True)
                return True
            if course.ended:
                break
            time.sleep(min(1.0, self._settings.kubeflow_poll_seconds))
        else:
            logger.warning("run %s was told to end in Kubeflow; whether it has is not known", self._remote)
        self._close(State.CANCELLED, "The run was stopped.")
        return False

    def _run(self) -> Any:
        """The run as it is now, however long the API takes to tell."""
        wait, told, missed = self._settings.kubeflow_poll_seconds, 0.0, 0
        while True:
            try:
                return self._client.run(self._remote)
            except errors.NotFound as error:
                missed += 1
                if missed >= _MISSED:
                    self._close(State.FAILED, "The run was deleted in Kubeflow.")
                    raise errors.StepFailed(
                        f"Kubeflow has no run {self._remote} any more: somebody deleted it.",
                        remedy="Run it again.",
                    ) from error
            except errors.PilotageError as error:
                missed = 0
                if time.monotonic() - told > _TELL_SECONDS:
                    logger.warning("%s The run goes on there; it is asked again.", error)
                    told = time.monotonic()
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    def _look(self, run: Any, *, ended: bool) -> None:
        found = tasks.read(run, STEPS)
        for step in STEPS:
            known = self._known[step]
            if known.ended:
                continue
            task = found.get(step)
            if task is None or (ended and not task.course.ended):
                task = self._told(step) or task
            if task is None or task.course in (Course.WAITING, Course.SKIPPED):
                continue
            self._start(step, task)
            if task.course is Course.RUNNING:
                self._logs.look(step, task.pod, self._settings.kubeflow_poll_seconds)
            else:
                self._close_step(run, step, task)

    def _told(self, step: str) -> Task | None:
        """A step that Kubeflow says nothing of, or nothing new, as it has told of itself."""
        outcome = outcomes.read(self._storage, self._journal.run, step)
        if outcome is None:
            return None
        course = {"succeeded": Course.SUCCEEDED, "failed": Course.FAILED}.get(outcome.state, Course.RUNNING)
        return Task(course, outcome.started_at, outcome.ended_at, outcome.attempt, None)

    def _start(self, step: str, task: Task) -> None:
        known = self._known[step]
        if task.attempts <= known.attempts:
            return
        if known.attempts:
            told = outcomes.read(self._storage, self._journal.run, step)
            self._keep_usage(step, told, task)
            failure = self._failure(step, task, told)
            self._journal.retried(step, task.attempts - 1, 0.0, failure)
            self._logs.note(step, f"attempt {task.attempts - 1} failed; the next begins")
        known.attempts, known.began = task.attempts, task.started_at or known.began or _now()
        log = self._logs.path(step)
        self._journal.started(step, task.attempts, log, dict(self._digests), at=known.began)

    def _keep_usage(self, step: str, outcome: Outcome | None, task: Task) -> None:
        """What an attempt that has ended used, as its pod told; pods without a GPU of their own hold none."""
        if outcome is not None and outcome.usage is not None:
            at = outcome.ended_at or task.ended_at
            self._journal.used(step, outcome.usage, attempt=outcome.attempt, at=at)

    def _close_step(self, run: Any, step: str, task: Task) -> None:
        known = self._known[step]
        known.ended = True
        self._logs.close(step, task.pod)
        ended_at = task.ended_at or _now()
        seconds = max(0.0, (ended_at - (known.began or ended_at)).total_seconds())
        if task.course is Course.SUCCEEDED:
            outcome = self._outcome(step)
            self._keep_usage(step, outcome, task)
            outputs = self._outputs(outcome)
            self._journal.succeeded(step, seconds, outputs, outcome.peak_memory_bytes, at=ended_at)
            self._digests |= {name: str(found.get("digest", "")) for name, found in outputs.items()}
            return
        if task.course is Course.CANCELLED:
            message = {"type": "Cancelled", "message": "It was terminated in Kubeflow."}
            self._journal.failed(step, State.CANCELLED, seconds, message, at=ended_at)
            return
        told = outcomes.read(self._storage, self._journal.run, step)
        self._keep_usage(step, told, task)
        failure = self._failure(step, task, told, tasks.said(run))
        peak = told.peak_memory_bytes if told else 0
        self._journal.failed(step, State.FAILED, seconds, failure, peak, at=ended_at)
        raise _revived(step, failure, str(self._logs.path(step)))

    def _outcome(self, step: str) -> Outcome:
        deadline = time.monotonic() + _OUTCOME_SECONDS
        while True:
            outcome = outcomes.read(self._storage, self._journal.run, step)
            if outcome is not None and outcome.state == "succeeded":
                return outcome
            if time.monotonic() > deadline:
                raise errors.StepFailed(
                    f"Step `{step}` has succeeded in Kubeflow and left nothing in {self._settings.storage}.",
                    remedy="Pods and this process have to use one storage; see PILOTAGE_STORAGE_URL.",
                    step=step,
                )
            time.sleep(0.5)

    def _outputs(self, outcome: Outcome) -> dict[str, dict[str, Any]]:
        folder = self._settings.home / "runs" / self._journal.run / outcome.step
        places = outcomes.restore(self._storage, outcome, folder)
        return {name: {**found, "uri": str(places[name])} for name, found in outcome.outputs.items()}

    def _failure(self, step: str, task: Task, outcome: Outcome | None, said: str = "") -> dict[str, Any]:
        """What an attempt failed with, in the step's own words if it had the time for them."""
        if outcome is not None and outcome.error is not None:
            return dict(outcome.error)
        began = outcome is not None and outcome.state == "running"
        how = "its pod ended before it could say why" if began else "it did not begin"
        words = task.said or said
        return {
            "type": "StepFailed",
            "message": f"Step `{step}` failed: {how}{f' ({words})' if words else ''}.",
            "remedy": "Was it killed for its memory? See `train.resources` and `cluster.steps` in pilot.yaml."
            if began
            else "See the pod's events: its image, its secrets and volumes, and whether a node takes it.",
            "exit_code": int(errors.ExitCode.FAILED),
            "details": {},
        }

    def _close(self, state: State, message: str) -> None:
        """Every step that goes on shares the fate of the run."""
        for step, known in self._known.items():
            if known.attempts and not known.ended:
                known.ended = True
                with suppress(Exception):
                    self._logs.note(step, message)
                seconds = max(0.0, (_now() - (known.began or _now())).total_seconds())
                self._journal.failed(step, state, seconds, {"type": "Stopped", "message": message})

    def _end(self, run: Any, course: Course) -> None:
        if course is Course.SUCCEEDED:
            missing = [step for step, known in self._known.items() if not known.ended]
            if missing:
                raise errors.StepFailed(
                    f"Kubeflow says that the run has succeeded, and nothing of its step `{missing[0]}`.",
                    remedy=f"Look at run {self._remote} there.",
                    step=missing[0],
                )
            return
        words = tasks.said(run)
        if course is Course.CANCELLED:
            self._close(State.CANCELLED, "The run was terminated in Kubeflow.")
            raise Stopped(Reason.ASKED, "somebody who terminated it in Kubeflow")
        self._close(State.FAILED, words or "The run failed in Kubeflow.")
        raise errors.StepFailed(
            f"The run failed in Kubeflow before a step could say why{f': {words}' if words else ''}.",
            remedy=f"Look at run {self._remote} there: its pods tell of quotas, permissions and images.",
        )


def _revived(step: str, failure: Mapping[str, Any], log: str) -> errors.PilotageError:
    """The error that a step described, as it was raised there."""
    kind = getattr(errors, str(failure["type"]), None)
    if isinstance(kind, type) and issubclass(kind, errors.PilotageError):
        details = {**failure.get("details", {}), "step": step, "log": log}
        return kind(str(failure["message"]), remedy=str(failure["remedy"]), **details)
    return errors.StepFailed(
        f"Step `{step}` failed with {failure['type']}: {failure['message']}",
        remedy=f"The traceback is in {log}.",
        step=step,
        log=log,
    )


def _now() -> datetime:
    return datetime.now(UTC)
