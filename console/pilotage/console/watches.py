"""The monitor's passes joined with retraining: compare closed windows, open triggers, start what is due.

A pass may be killed anywhere and repeated: reports are stored and indexed by
window, triggers are one an alarm, and a retraining whose process died is started
again. How drift is found and how a run goes is not known here.
"""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pilotage.core import errors
from pilotage.core.artifacts import DriftReport, Rollout, Trigger
from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import rollouts
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.queue import claims
from pilotage.pipelines.retraining import observations, triggers
from pilotage.serving.monitor import watches as monitor

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 20.0
"""How long a retraining that is told to stop may take before it is killed."""


@dataclass(frozen=True)
class Retraining:
    """A retraining run that ended."""

    trigger: Trigger
    run: str | None
    state: str
    version: int | None
    promoted: bool
    reason: str

    @property
    def document(self) -> dict[str, Any]:
        """The result as `--json` prints it."""
        return {
            "trigger": self.trigger.id,
            "cause": self.trigger.cause.value,
            "at": self.trigger.at.isoformat(),
            "run": self.run,
            "state": self.state,
            "version": self.version,
            "promoted": self.promoted,
            "reason": self.reason,
        }


@dataclass
class Findings:
    """What one pass, or several, found and did."""

    reports: list[DriftReport] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    started: list[Trigger] = field(default_factory=list)
    retrainings: list[Retraining] = field(default_factory=list)
    rollouts: list[Rollout] = field(default_factory=list)
    """Those that were looked at while they went on, or that ended, as they were then."""

    def add(self, other: Findings) -> None:
        """Append what another pass found; a report made anew takes the older one's place."""
        fresh = {(report.version, report.start) for report in other.reports}
        self.reports = [item for item in self.reports if (item.version, item.start) not in fresh]
        self.reports += other.reports
        self.triggers += other.triggers
        self.started += other.started
        self.retrainings += other.retrainings
        fresh_rollouts = {rollout.challenger for rollout in other.rollouts}
        self.rollouts = [item for item in self.rollouts if item.challenger not in fresh_rollouts]
        self.rollouts += other.rollouts


class Watch:
    """The monitor of one pilot; it has at most one retraining process."""

    def __init__(self, spec: PilotSpec, folder: Path, settings: Settings) -> None:
        self._spec = spec
        self._folder = folder
        self._settings = settings
        self._active: triggers.Dispatch | None = None
        self._told = False
        self._known: list[DriftReport] | None = None

    def look(self, now: datetime | None = None) -> Findings:
        """One pass; `now` is the time, when it is to be another than the clock's.

        Raises:
            Unavailable: a store does not answer; the next pass catches up.
        """
        try:
            return self._look(now)
        except BaseException:
            self._known = None  # what was stored, and not yet acted upon, is read again
            raise

    def _look(self, now: datetime | None) -> Findings:
        found = Findings(reports=monitor.watch(self._spec, self._settings, now=now))
        if self._known is None:  # alarms of reports that an interrupted pass stored
            self._known = monitor.reports(self._spec, self._settings)
        self._known += found.reports
        champion = Registry(self._settings).aliases(self._spec.pilot).get(Alias.CHAMPION)
        found.triggers = observations.observe(self._settings, self._spec, self._known, champion)
        reached = max((report.end for report in self._known), default=None)
        self._known = [report for report in self._known if report.end == reached]
        found.rollouts = rollouts.settle(self._spec.pilot, self._settings)
        found.retrainings = self.collect()
        started = triggers.dispatch(self._settings, self._spec, self._folder, moment=reached, clock=now)
        if started is not None:
            self._active, self._told = started, False
            found.started.append(started.trigger)
        return found

    @property
    def retraining(self) -> bool:
        """Whether a retraining that this monitor started goes on."""
        return self._active is not None

    def collect(self) -> list[Retraining]:
        """The retraining, if it has ended since it was last asked for."""
        if self._active is None or self._active.process.poll() is None:
            return []
        ended, self._active = self._active, None
        result = self._result(ended.trigger.id, ended.process)
        return [] if result is None else [result]

    def wait(self, idle: Callable[[], None]) -> list[Retraining]:
        """Wait for the retraining, calling `idle` meanwhile; nothing when there is none."""
        while self.retraining:
            found = self.collect()
            if found:
                return found
            idle()
            time.sleep(0.1)
        return []

    def terminate(self) -> None:
        """Tell the retraining to stop, once, and wait for nothing."""
        if self._active is not None and not self._told:
            self._told = True
            self._active.process.terminate()

    def stop(self) -> None:
        """End the retraining, whose trigger then stays open for the next monitor."""
        if self._active is None:
            return
        self.terminate()
        process = self._active.process
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        claims.withdraw(tables.connect(self._settings), self._active.trigger.id, process.pid)
        self._active = None

    def _result(self, trigger_id: str, process: subprocess.Popen[Any]) -> Retraining | None:
        """What became of a retraining; None when another process carries it out, or did."""
        trigger = next(
            item for item in triggers.triggers(self._settings, self._spec.pilot) if item.id == trigger_id
        )
        if trigger.run is None:
            log = self._settings.logs / f"trigger-{trigger.id}.log"
            logger.warning(
                "the retraining for trigger %s ended before its run began: see %s", trigger.id, log
            )
            return Retraining(
                trigger, None, "failed", None, False, f"exit code {process.returncode}, see {log}"
            )
        record = Records(tables.connect(self._settings)).run(trigger.run)
        if record.process is None or record.process.pid != process.pid:
            logger.info("run %s, of another process, is that of trigger %s", record.id, trigger.id)
            return None
        result = record.result or {}
        reason = result.get("reason") or (record.error or {}).get("message", "")
        return Retraining(
            trigger=trigger,
            run=record.id,
            state=record.state.value,
            version=result.get("version"),
            promoted=bool(result.get("promoted")),
            reason=reason,
        )


def reindex(spec: PilotSpec, settings: Settings) -> int:
    """Make the index of windows anew from the reports that are stored; returns how many it has."""
    return observations.reindex(settings, spec, monitor.reports(spec, settings))


class Looker(Protocol):
    """What makes passes."""

    def look(self) -> Findings:
        """One pass."""
        ...


def follow(
    watch: Looker, every_seconds: float, stopped: Callable[[float], bool], show: Callable[[Findings], None]
) -> Findings:
    """Look again and again until `stopped(seconds)`, which waits, says so; returns everything found."""
    everything = Findings()
    while True:
        try:
            found = watch.look()
        except errors.Failure as error:
            logger.warning("the monitor looks again in %g s: %s", every_seconds, error)
        else:
            everything.add(found)
            show(found)
        if stopped(every_seconds):
            return everything
