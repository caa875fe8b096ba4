"""What a run tells those who watch it, and the journal that tells it and records it.

One place, so that what is shown and what is in the database cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.pipelines.journals.states import State

if TYPE_CHECKING:
    from pilotage.core.artifacts import Usage
    from pilotage.pipelines.journals.records import Records


class Kind(StrEnum):
    """Kinds of events."""

    RUN_STARTED = "run_started"
    STEP_STARTED = "step_started"
    STEP_LINE = "step_line"
    """A line of the step's log."""
    STEP_RETRIED = "step_retried"
    STEP_ENDED = "step_ended"
    RUN_ENDED = "run_ended"


@dataclass(frozen=True)
class Event:
    """One thing that happened in a run."""

    kind: Kind
    run: str
    at: datetime
    step: str | None = None
    state: State | None = None
    line: str = ""
    seconds: float | None = None
    attempt: int = 0


OnEvent = Callable[[Event], None]


@dataclass
class StepOutcome:
    """What became of a step in this run."""

    name: str
    state: State
    seconds: float = 0.0
    cached: bool = False
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Metadata and `uri` by artifact."""


class Journal:
    """Records the steps of one run and tells the watcher."""

    def __init__(self, records: Records, run: str, on_event: OnEvent | None = None) -> None:
        self.run = run
        self.outcomes: dict[str, StepOutcome] = {}
        self._records = records
        self._on_event = on_event

    def tell(self, kind: Kind, **values: Any) -> None:
        """Send an event to the watcher."""
        if self._on_event is not None:
            self._on_event(Event(kind=kind, run=self.run, at=_now(), **values))

    def started(
        self, step: str, attempt: int, log: Path, inputs: Mapping[str, str], at: datetime | None = None
    ) -> None:
        """An attempt of `step` begins, or did so `at` some time; `inputs` are content digests by artifact."""
        self._records.update_step(
            self.run,
            step,
            state=State.RUNNING,
            attempt=attempt,
            started_at=at or _now(),
            log=str(log),
            inputs=dict(inputs),
        )
        self.tell(Kind.STEP_STARTED, step=step, state=State.RUNNING, attempt=attempt)

    def used(
        self, step: str, usage: Usage, *, attempt: int | None = None, at: datetime | None = None
    ) -> None:
        """An attempt of `step` ended, however it did, and used that much."""
        self._records.keep_usage(self.run, step, usage, attempt=attempt, at=at)

    def line(self, step: str, line: str) -> None:
        """A line came in the log of `step`."""
        self.tell(Kind.STEP_LINE, step=step, line=line)

    def retried(self, step: str, attempt: int, wait_seconds: float, error: Mapping[str, Any]) -> None:
        """Attempt `attempt` failed and another follows after `wait_seconds`."""
        self._records.update_step(self.run, step, error=dict(error))
        line = f"attempt {attempt} failed, the next begins in {wait_seconds:g} s: {error['message']}"
        self.tell(Kind.STEP_RETRIED, step=step, attempt=attempt, line=line, seconds=wait_seconds)

    def cached(self, step: str, inputs: Mapping[str, str], outputs: Mapping[str, Mapping[str, Any]]) -> None:
        """The earlier outputs of `step` are used."""
        moment = _now()
        self._records.update_step(
            self.run,
            step,
            state=State.CACHED,
            cached=True,
            started_at=moment,
            ended_at=moment,
            seconds=0.0,
            inputs=dict(inputs),
            outputs=dict(outputs),
            metrics=_metrics(outputs),
        )
        self.outcomes[step] = StepOutcome(step, State.CACHED, 0.0, True, outputs)
        self.tell(Kind.STEP_ENDED, step=step, state=State.CACHED, seconds=0.0)

    def succeeded(
        self,
        step: str,
        seconds: float,
        outputs: Mapping[str, Mapping[str, Any]],
        peak_bytes: int,
        at: datetime | None = None,
    ) -> None:
        """`step` ended well."""
        self._records.update_step(
            self.run,
            step,
            state=State.SUCCEEDED,
            ended_at=at or _now(),
            seconds=seconds,
            outputs=dict(outputs),
            metrics=_metrics(outputs),
            peak_memory_bytes=peak_bytes,
            error=None,
        )
        self.outcomes[step] = StepOutcome(step, State.SUCCEEDED, seconds, False, outputs)
        self.tell(Kind.STEP_ENDED, step=step, state=State.SUCCEEDED, seconds=seconds)

    def failed(
        self,
        step: str,
        state: State,
        seconds: float,
        error: Mapping[str, Any],
        peak_bytes: int = 0,
        at: datetime | None = None,
    ) -> None:
        """`step` ended badly: `failed` or `cancelled`."""
        self._records.update_step(
            self.run,
            step,
            state=state,
            ended_at=at or _now(),
            seconds=seconds,
            error=dict(error),
            peak_memory_bytes=peak_bytes,
        )
        self.outcomes[step] = StepOutcome(step, state, seconds)
        self.tell(
            Kind.STEP_ENDED, step=step, state=state, seconds=seconds, line=str(error.get("message", ""))
        )


def _now() -> datetime:
    return datetime.now(UTC)


def _metrics(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for metadata in outputs.values():
        found.update(metadata.get("metrics", {}))
    return found
