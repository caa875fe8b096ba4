"""What Kubeflow's API says of a run's tasks, as steps.

Kubeflow runs each task as a small graph of its own: `train-driver`, which decides,
and `train`, whose child `executor` is the pod that does the work; with retries the
children of `executor` are `executor(0)`, `executor(1)`, … Children are named by
nodes, tasks by pods; both end in the same number. A state that is not known here is
taken for one that goes on. Nothing is asked and nothing is recorded here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

logger = logging.getLogger(__name__)


class Course(Enum):
    """How far a run or a task is."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """Whether nothing changes any more."""
        return self not in (Course.WAITING, Course.RUNNING)


_COURSES = {
    "RUNTIME_STATE_UNSPECIFIED": Course.WAITING,
    "PENDING": Course.WAITING,
    "RUNNING": Course.RUNNING,
    "SUCCEEDED": Course.SUCCEEDED,
    "SKIPPED": Course.SKIPPED,
    "FAILED": Course.FAILED,
    "CANCELING": Course.RUNNING,
    "CANCELED": Course.CANCELLED,
    "PAUSED": Course.RUNNING,
}
_EXECUTOR = re.compile(r"^executor(?:\((\d+)\))?$")
_YEAR_ONE = 1971
"""The API says 1970 for a time that has not come."""
_strange: set[str] = set()


@dataclass(frozen=True)
class Task:
    """One step of a run as Kubeflow sees it."""

    course: Course
    started_at: datetime | None
    ended_at: datetime | None
    attempts: int
    """Pods that were started for it."""
    pod: str | None
    """The one that was started last."""
    said: str = ""
    """What Kubeflow says is wrong with it."""


def course(state: object) -> Course:
    """A state of the API."""
    name = str(state or "PENDING")
    if name not in _COURSES and name not in _strange:
        _strange.add(name)
        logger.warning("Kubeflow says the state `%s`, which is not known; it is taken to go on", name)
    return _COURSES.get(name, Course.RUNNING)


def read(run: Any, steps: Sequence[str]) -> dict[str, Task]:
    """Those of `steps` that Kubeflow has begun with, in their order."""
    details = list((run.run_details.task_details if run.run_details else None) or ())
    by_number = {_number(detail.pod_name or detail.task_id): detail for detail in details}
    by_name: dict[str, Any] = {}
    for detail in details:
        by_name.setdefault(str(detail.display_name), detail)
    return {step: _task(by_name[step], by_number) for step in steps if step in by_name}


def said(found: Any) -> str:
    """What the API says is wrong with a run or a task; empty where nothing is."""
    history = list(found.state_history or ())
    errors = [found.error, *(entry.error for entry in reversed(history))]
    return next((" ".join(error.message.split()) for error in errors if error and error.message), "")


def _task(detail: Any, by_number: Mapping[str, Any]) -> Task:
    below = list(_below(detail, by_number, set()))
    executors = [found for found in below if _EXECUTOR.match(str(found.display_name))]
    numbered = [found for found in executors if "(" in found.display_name]
    pods = sorted(numbered or executors, key=_order)
    words = [said(detail), *(said(found) for found in reversed(pods))]
    return Task(
        course=course(detail.state),
        started_at=_moment(detail.start_time),
        ended_at=_moment(detail.end_time),
        attempts=max(1, len(pods)),
        pod=str(pods[-1].pod_name) if pods and pods[-1].pod_name else None,
        said=next(filter(None, words), ""),
    )


def _below(detail: Any, by_number: Mapping[str, Any], seen: set[str]) -> Iterable[Any]:
    for child in detail.child_tasks or ():
        number = _number(child.pod_name or child.task_id)
        found = by_number.get(number)
        if not number or found is None or number in seen:
            continue
        seen.add(number)
        # what follows a task in the graph is its child, too; another step's pods are not below this one
        if _EXECUTOR.match(str(found.display_name)):
            yield found
            yield from _below(found, by_number, seen)


def _order(detail: Any) -> int:
    match = _EXECUTOR.match(str(detail.display_name))
    return int(match[1]) if match and match[1] else -1


def _number(name: str | None) -> str:
    return str(name or "").rsplit("-", 1)[-1]


def _moment(time: datetime | None) -> datetime | None:
    return time if time is not None and time.year >= _YEAR_ONE else None
