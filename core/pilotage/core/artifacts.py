"""The arrows of the loop: what one part hands to the next, as frozen, versioned models.

Each is written as JSON under its own file name beside the data it describes;
its JSON schema is committed in `schemas/`. Nothing is computed here.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pilotage.core import errors, storage
from pilotage.core.metrics import Task
from pilotage.core.specs import Cause, FeatureKind

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in hexadecimal."""
Scalar = str | bool | int | float
"""A class of a classification target."""


class Part(BaseModel):
    """Base of what an artifact is made of."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="null"
    )


class Artifact(Part):
    """Base of all arrows."""

    FILE: ClassVar[str]

    def write(self, folder: Path) -> Path:
        """Write as `FILE` in `folder`, all or nothing; returns the path."""
        path = folder / self.FILE
        storage.write_file(path, (self.model_dump_json(indent=2) + "\n").encode())
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read from `path`, the file or its folder.

        Raises:
            NotFound: there is no such file.
            DataError: it is not this artifact in this version.
        """
        file = path / cls.FILE if path.is_dir() else path
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError as error:
            raise errors.NotFound(f"There is no `{file}`.", path=str(file)) from error
        except ValidationError as error:
            raise errors.DataError(
                f"`{file}` is not a {cls.__name__} of this version: {error}.", remedy="Run the step again."
            ) from error

    @property
    def content_digest(self) -> str:
        """SHA-256 of the content in canonical JSON."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


class ColumnType(StrEnum):
    """Types of snapshot columns; what Parquet holds is mapped onto these."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    DATE = "date"
    DATETIME = "datetime"


class Column(Part):
    """One column of a snapshot, as it is stored."""

    name: str
    type: ColumnType
    nulls: Annotated[int, Field(ge=0)]
    distinct: Annotated[int, Field(ge=0)]
    """Number of different values that are not null; exact up to 10,000, at least 10,001 beyond."""


class Feature(Part):
    """One input of the model."""

    name: str
    kind: FeatureKind


class Exclusion(Part):
    """A column that is not a feature, and why."""

    name: str
    reason: str


class DataFile(Part):
    name: str
    rows: int
    bytes: int
    sha256: Digest


class Snapshot(Artifact):
    """An immutable Parquet data set and the roles that its columns play for the pilot."""

    FILE = "snapshot.json"
    kind: Literal["snapshot"] = "snapshot"
    schema_version: Literal[1] = 1
    pilot: str
    digest: Digest
    """Of the data: column names, types and values in order; it says nothing of roles."""
    name: str
    """Folder in the storage: `snapshots/<digest>`."""
    rows: Annotated[int, Field(gt=0)]
    columns: tuple[Column, ...]
    files: tuple[DataFile, ...]
    features: tuple[Feature, ...]
    excluded: tuple[Exclusion, ...] = ()
    target: str
    task: Task
    classes: tuple[Scalar, ...] = ()
    """Classes of the target, sorted; empty for regression."""
    time: str | None = None
    key: str | None = None
    time_range: tuple[AwareDatetime, AwareDatetime] | None = None
    source: str
    """Where the rows came from, in words, without secrets."""
    created_at: AwareDatetime

    def column(self, name: str) -> Column | None:
        """The stored column `name`, if there is one."""
        return next((column for column in self.columns if column.name == name), None)


class Severity(StrEnum):
    CRITICAL = "critical"
    """Stops the run."""
    WARNING = "warning"


class Check(Part):
    """One expectation and what came of it."""

    expectation: str
    """Great Expectations' type, such as `expect_column_values_to_not_be_null`."""
    column: str | None = None
    severity: Severity
    success: bool
    observed: str
    """What was seen, in words."""
    expected: str
    unexpected_percent: float | None = None


class Skew(Part):
    """A difference between this snapshot and the one that trained the champion."""

    column: str
    message: str
    effect: float | None = None
    """Population stability index, for values."""


class Report(Artifact):
    """What validation found."""

    FILE = "report.json"
    kind: Literal["report"] = "report"
    schema_version: Literal[1] = 1
    pilot: str
    snapshot: Digest
    suite: Digest
    drafted: bool
    """The suite was learned from a snapshot, not given."""
    success: bool
    """No critical expectation failed and the schema is the champion's."""
    checks: tuple[Check, ...]
    schema_skew: tuple[Skew, ...] = ()
    """Stops the run."""
    value_skew: tuple[Skew, ...] = ()
    """Warns; the monitor shows it beside its own findings."""
    created_at: AwareDatetime


class ModelFormat(StrEnum):
    SKOPS = "skops"
    PICKLE = "pickle"


class Model(Artifact):
    """A trained model and all that made it; its files are in MLflow."""

    FILE = "model.json"
    kind: Literal["model"] = "model"
    schema_version: Literal[1] = 1
    pilot: str
    digest: Digest
    """Of the file that holds the estimator."""
    format: ModelFormat
    estimator: str
    params: dict[str, Any]
    seed: int
    features: tuple[Feature, ...]
    target: str
    task: Task
    classes: tuple[Scalar, ...] = ()
    positive: Scalar | None = None
    """The positive class of a binary target."""
    time: str | None = None
    key: str | None = None
    snapshot: Digest
    train_rows: int
    test_rows: int
    trained_until: AwareDatetime | None = None
    """Time of the latest training row."""
    validation: dict[str, float]
    """Metrics of the chosen parameters inside the training part."""
    trials: int = 0
    pruned: int = 0
    requirements: tuple[str, ...]
    python: str
    code: Digest
    """Of the sources that trained it: Pilotage's and the pilot's own module."""
    created_at: AwareDatetime


class TrainedModel(Artifact):
    """Where MLflow keeps a trained model."""

    FILE = "trained.json"
    kind: Literal["trained_model"] = "trained_model"
    schema_version: Literal[1] = 1
    model: Model
    mlflow_run: str
    uri: str
    """MLflow URI of the model folder."""


class Estimate(Part):
    """A value with its 95 % bootstrap interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Slice(Part):
    """The goal's metric on the rows where `column` is `value`."""

    column: str
    value: str
    rows: int
    metric: Estimate


class Group(Part):
    """One group of a fairness comparison."""

    value: str
    rows: int
    selection_rate: float | None = None
    true_positive_rate: float | None = None
    false_positive_rate: float | None = None
    metric: float | None = None


class Fairness(Part):
    """Differences between the groups of a column."""

    by: str
    demographic_parity_difference: float | None = None
    equalized_odds_difference: float | None = None
    group_metric_difference: float | None = None
    groups: tuple[Group, ...]
    left_out: int = 0
    """Rows in groups too small to compare."""


class CalibrationBin(Part):
    predicted: float
    observed: float
    rows: int


class Latency(Part):
    """Milliseconds to predict one row, frame building included."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    calls: int


class Worth(Part):
    """Business value of the predictions on the held-out rows."""

    currency: str
    per_row: float
    total: float
    baseline_per_row: float
    champion_per_row: float | None = None


class Rival(Part):
    """A model evaluated on the same rows: the trivial baseline or the champion."""

    name: str
    version: int | None = None
    metrics: dict[str, float | None]


class Verdict(Part):
    """What a gate said."""

    gate: str
    passed: bool
    value: float | None
    limit: float | None
    reason: str


class Scorecard(Artifact):
    """What evaluation found, and every gate's verdict."""

    FILE = "scorecard.json"
    kind: Literal["scorecard"] = "scorecard"
    schema_version: Literal[1] = 1
    pilot: str
    model: Digest
    snapshot: Digest
    metric: str
    """The goal's."""
    target: float | None = None
    test_rows: int
    metrics: dict[str, Estimate]
    baseline: Rival
    champion: Rival | None = None
    slices: tuple[Slice, ...] = ()
    fairness: tuple[Fairness, ...] = ()
    calibration: tuple[CalibrationBin, ...] = ()
    latency: Latency
    worth: Worth | None = None
    gates: tuple[Verdict, ...]
    passed: bool
    created_at: AwareDatetime


class Decision(StrEnum):
    """What was decided about a version."""

    PROMOTED = "promoted"
    PENDING = "pending"
    """Waits for an approval."""
    REFUSED = "refused"
    """A gate said no."""
    REJECTED = "rejected"
    """A person said no."""


class Version(Artifact):
    """A version in the registry and what was decided about it."""

    FILE = "version.json"
    kind: Literal["version"] = "version"
    schema_version: Literal[1] = 1
    pilot: str
    version: Annotated[int, Field(ge=1)]
    mlflow_run: str
    decision: Decision
    reason: str
    promoted: bool
    replaced: int | None = None
    """The champion that it took the place of."""
    run: str
    snapshot: Digest
    suite: Digest
    model: Digest
    scorecard: Digest
    code: str
    created_at: AwareDatetime


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
    """How one feature's (or the score's) window differs from the reference."""

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
    performance: Performance | None = None
    value_skew: tuple[Skew, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    evidence: str
    """Digest of the windows and labels that this report was made from."""
    created_at: AwareDatetime


class TriggerState(StrEnum):
    OPEN = "open"
    WAITING = "waiting"
    """For the cooldown."""
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Trigger(Artifact):
    """A request to retrain."""

    FILE = "trigger.json"
    kind: Literal["trigger"] = "trigger"
    schema_version: Literal[1] = 1
    id: str
    pilot: str
    cause: Cause
    alarm: str
    at: AwareDatetime
    """In the data's own time."""
    reason: str
    state: TriggerState
    run: str | None = None


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


ARTIFACTS: tuple[type[Artifact], ...] = (
    Snapshot,
    Report,
    Model,
    TrainedModel,
    Scorecard,
    Version,
    Alarm,
    DriftReport,
    Trigger,
    Release,
)
"""Every arrow whose schema is committed."""


def instant(value: datetime) -> str:
    """`value` as file names spell it: UTC, sortable, without colons."""
    return value.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
