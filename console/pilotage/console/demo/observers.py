"""What goes on behind the traffic, read from where every command reads it: reports, triggers and runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pilotage.core import windows
from pilotage.core.artifacts import DriftReport, Trigger, TriggerState
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.retraining import triggers

_ENDED = (TriggerState.DONE, TriggerState.FAILED)


@dataclass(frozen=True)
class Retraining:
    """A retraining as the records tell it."""

    trigger: Trigger
    state: str
    run: str | None
    version: int | None
    promoted: bool
    reason: str
    seconds: float | None

    @property
    def document(self) -> dict[str, Any]:
        """The result as `--json` prints it."""
        return {
            "run": self.run,
            "trigger": self.trigger.id,
            "cause": self.trigger.cause.value,
            "at": self.trigger.at.isoformat(),
            "reason": self.trigger.reason,
            "state": self.state,
            "version": self.version,
            "promoted": self.promoted,
            "decision": self.reason,
            "seconds": self.seconds,
        }


class Observer:
    """Follows one pilot of one installation."""

    def __init__(self, pilot: str, settings: Settings) -> None:
        self._pilot = pilot
        self._settings = settings
        self._storage = Storage(settings.storage)
        self._records = Records(tables.connect(settings))
        self._states: dict[str, TriggerState] = {}
        self._told: set[str] = set()
        self._reports: dict[str, tuple[str, DriftReport]] = {}
        self.is_retraining = False

    def reports(self) -> list[DriftReport]:
        """Every drift report so far, in order of time."""
        for name, stamp in self._storage.stamps(f"windows/{self._pilot}/reports").items():
            if name.endswith(f"/{DriftReport.FILE}") and self._reports.get(name, ("",))[0] != stamp:
                report = DriftReport.model_validate_json(self._storage.read(name))
                self._reports[name] = (stamp, report)
        found = (report for _, report in self._reports.values())
        return sorted(found, key=lambda report: (report.start, report.version))

    def page(self, report: DriftReport) -> str:
        """Where the page of a report is."""
        folder = windows.reports_folder(report.pilot, report.version, report.start)
        return self._storage.location(f"{folder}/drift.html")

    def is_judged(self, window: datetime) -> bool:
        """Whether the monitor has compared the predictions of a window with their labels."""
        return any(
            report.start == window and report.performance is not None and report.performance.labelled > 0
            for report in self.reports()
        )

    def is_reading(self) -> bool:
        """Whether a retraining is about to start, or has not read its rows yet."""
        found = triggers.triggers(self._settings, self._pilot)
        raised = {alarm.id for report in self.reports() for alarm in report.alarms}
        if raised - {trigger.alarm for trigger in found}:
            return True
        started = [trigger for trigger in found if trigger.state is TriggerState.STARTED]
        if not started:
            return any(trigger.state is TriggerState.OPEN for trigger in found)
        return any(trigger.run is None or not self._has_read(trigger.run) for trigger in started)

    def _has_read(self, run: str) -> bool:
        first, *_ = self._records.steps(run)
        return first.state not in (State.PENDING, State.RUNNING)

    def alarms(self) -> Iterator[str]:
        """What alarms say that were not told yet."""
        for report in self.reports():
            for alarm in report.alarms:
                if alarm.id not in self._told:
                    self._told.add(alarm.id)
                    yield alarm.message

    def changes(self) -> list[Retraining]:
        """Retrainings that started or ended since the last look."""
        found = triggers.triggers(self._settings, self._pilot)
        self.is_retraining = any(trigger.state is TriggerState.STARTED for trigger in found)
        changed = [
            trigger
            for trigger in found
            if self._states.get(trigger.id) is not trigger.state
            and trigger.state in (TriggerState.STARTED, *_ENDED)
        ]
        self._states = {trigger.id: trigger.state for trigger in found}
        return [self._retraining(trigger) for trigger in reversed(changed)]

    def retrainings(self) -> list[Retraining]:
        """Every retraining that ended, in order of time."""
        found = triggers.triggers(self._settings, self._pilot)
        return [self._retraining(trigger) for trigger in reversed(found) if trigger.state in _ENDED]

    def _retraining(self, trigger: Trigger) -> Retraining:
        if trigger.run is None:
            log = self._settings.logs / f"trigger-{trigger.id}.log"
            why = f"its run did not begin, see {log}" if trigger.state is TriggerState.FAILED else ""
            return Retraining(trigger, trigger.state.value, None, None, False, why, None)
        record = self._records.run(trigger.run)
        result = record.result or {}
        error = record.error or {}
        return Retraining(
            trigger=trigger,
            state=record.state.value,
            run=record.id,
            version=result.get("version"),
            promoted=bool(result.get("promoted")) and result.get("decision") == "promoted",
            reason=result.get("reason") or error.get("message", ""),
            seconds=result.get("seconds"),
        )
