"""From traffic to retraining: drift reports, alarms, triggers and releases."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime

from pilotage.core.artifacts.bases import Artifact, Part
from pilotage.core.artifacts.data import Skew
from pilotage.core.specs import Cause


class Alarm(Artifact):
    """A monitor's verdict that something changed."""

    FILE = "alarm.json"
    kind: Literal["alarm"] = "alarm"
    schema_version: Literal[1] = 1
    id: str
    """The same for the same pilot, version, window and cause."""
    pilot: str
    version: int
    cause: Cause
    start: AwareDatetime
    end: AwareDatetime
    """End of the window: the time at which the alarm is raised, in the data's own time."""
    message: str
    features: tuple[str, ...] = ()
    value: float | None = None
    limit: float | None = None


class FeatureDrift(Part):
    """How one feature's, the score's or the predicted classes' window differs from the reference."""

    feature: str
    kind: Literal["number", "category"]
    psi: float
    """Population stability index, bias-corrected for the sizes of both samples."""
    distance: float
    """Kolmogorov-Smirnov distance for numbers, Cramér's V for categories."""
    p_value: float
    missing_rate: float
    reference_missing_rate: float
    unseen_rate: float
    drifted: bool
    reason: str = ""
    reference: tuple[float, ...] = ()
    """Shares of the cells of the picture, reference."""
    window: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    """Names of the cells of the picture."""


class Performance(Part):
    """The metric on rows whose labels have come."""

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    reference: float
    """On the held-out rows when the version was evaluated."""
    labelled: int
    rows: int
    dropped: bool
    reason: str = ""


class DriftReport(Artifact):
    """One closed window against the reference profile."""

    FILE = "drift.json"
    kind: Literal["drift_report"] = "drift_report"
    schema_version: Literal[1] = 1
    pilot: str
    version: int
    start: AwareDatetime
    end: AwareDatetime
    rows: int
    requests: int
    errors: int
    p50_ms: float | None = None
    p99_ms: float | None = None
    false_alarm_rate: float
    threshold: float
    """Smallest p-value over all features below which there is drift."""
    method: str
    features: tuple[FeatureDrift, ...]
    score: FeatureDrift | None = None
    prediction: FeatureDrift | None = None
    """Of the predicted classes, where there are more than two."""
    performance: Performance | None = None
    value_skew: tuple[Skew, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    evidence: str
    """Digest of the windows and labels that this report was made from."""
    created_at: AwareDatetime


class TriggerState(StrEnum):
    OPEN = "open"
    WAITING = "waiting"
    """For what `waits_for` says."""
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Wait(StrEnum):
    """What keeps a retraining that was asked for from starting."""

    SNOOZE = "snooze"
    COOLDOWN = "cooldown"
    BUDGET = "budget"
    QUIET_HOURS = "quiet_hours"


class Trigger(Artifact):
    """A request to retrain."""

    FILE = "trigger.json"
    kind: Literal["trigger"] = "trigger"
    schema_version: Literal[1] = 1
    id: str
    pilot: str
    version: int
    """The one that the alarm is about."""
    cause: Cause
    alarm: str
    at: AwareDatetime
    """In the data's own time."""
    reason: str
    state: TriggerState
    run: str | None = None
    waits_for: Wait | None = None
    until: AwareDatetime | None = None
    """When it stops waiting for that: in the data's own time for cooldown and budget, else on the clock."""


class Release(Artifact):
    """A version made live in an environment."""

    FILE = "release.json"
    kind: Literal["release"] = "release"
    schema_version: Literal[1] = 1
    pilot: str
    version: int
    environment: str
    by: str
    why: str
    at: AwareDatetime
