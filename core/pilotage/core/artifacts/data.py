"""From source to report: snapshots and what validation found in them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pilotage.core.artifacts.bases import Artifact, Digest, Part, Scalar
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind


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
