"""From traffic to retraining: drift reports, alarms, triggers and releases."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime

from pilotage.core.artifacts.bases import Artifact, Part
from pilotage.core.artifacts.data import Skew
from pilotage.core.artifacts.estimates import (
    Change,
    Contribution,
    EstimatedPerformance,
    Multivariate,
    Segment,
    Track,
)
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
    psi_low: float = 0.0
    """With `psi_high` the 95 % interval at the window's size."""
    psi_high: float = 0.0
    distance: float
    """Kolmogorov-Smirnov distance for numbers, Cramér's V for categories."""
    distance_low: float = 0.0
    """With `distance_high` the 95 % interval at the window's size."""
    distance_high: float = 1.0
    jensen_shannon: float = 0.0
    """Jensen-Shannon distance, from 0 to 1, bias-corrected."""
    wasserstein: float | None = None
    """About how far values moved on average, in standard deviations of the reference; numbers only."""
    importance: float | None = None
    """Share of the model's predictions that rests on the feature; None where that is not known."""
    p_value: float
    missing_rate: float
    reference_missing_rate: float
    unseen_rate: float
    drifted: bool
    persistent: bool = False
    """It has also drifted in as many windows before as the pilot's `monitor.drift.persistence` asks for."""
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


class Brought(Part):
    """What predictions of a window were worth, counted on the rows whose labels have come."""

    currency: str
    labelled: int
    value: float
    """Of the predictions of these rows together."""
    baseline: float
    """Of what the version's baseline, a constant guess, would have said of the same rows."""
    estimated: float | None = None
    """`value` less `baseline` for all rows of the window, as if the labelled ones were drawn from them
    at random; None where there are too few."""
    error: float | None = None
    """Standard error of `estimated`."""


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
    cpu_seconds: float | None = None
    """CPU time of the servers while these rows came; null where they did not tell."""
    peak_memory_bytes: int | None = None
    """Most memory that one server process had."""
    false_alarm_rate: float
    threshold: float
    """Smallest p-value over all features below which there is drift."""
    method: str
    features: tuple[FeatureDrift, ...]
    score: FeatureDrift | None = None
    prediction: FeatureDrift | None = None
    """Of the predicted classes, where there are more than two."""
    performance: Performance | None = None
    brought: Brought | None = None
    """In money; None for pilots without prices, and while no label has come."""
    estimated: EstimatedPerformance | None = None
    """The metric without labels."""
    track: Track | None = None
    """How such estimates did on windows before this one."""
    multivariate: Multivariate | None = None
    """All features together, on sampled rows."""
    rows_drifted: bool = False
    """The rows differ by what is improbable and large enough to matter."""
    changes: tuple[Change, ...] = ()
    """What happened to columns, where an alarm was raised."""
    contributions: tuple[Contribution, ...] = ()
    """Which features moved the mean score, where an alarm was raised."""
    loss_contributions: tuple[Contribution, ...] = ()
    """What raised the mean loss, where an alarm was raised and enough labels have come."""
    segments: tuple[Segment, ...] = ()
    """Rows in which most is different, where an alarm was raised."""
    value_skew: tuple[Skew, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    evidence: str
    """Digest of the windows, rows and labels that this report was made from."""
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
    SPENT = "spent"
    """What the pilot may use in a month is used up."""


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
