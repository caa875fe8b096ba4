"""From source to report: snapshots and what validation found in them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pilotage.core.artifacts.bases import Artifact, Digest, Part, Scalar
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind, PersonalKind, Policy


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


class PersonalFinding(Part):
    """Personal data in a column of the source, and what was done about it."""

    column: str
    kind: PersonalKind
    hits: Annotated[int, Field(ge=0)]
    """Values that hold some, among those looked at; 0 where only the column's name says so."""
    looked: Annotated[int, Field(ge=0)]
    """Values that were looked at and present."""
    rows: Annotated[int, Field(ge=0)]
    """Of the source."""
    policy: Policy | None = None
    """None where pilot.yaml says nothing of it: it was stored as it is."""
    reason: str = ""
    """Why it was kept."""
    found_by: str = "patterns"
    """`patterns`, `presidio` or `name`."""

    @property
    def share(self) -> float | None:
        """Of the values looked at; None where only the name says so."""
        return self.hits / self.looked if self.looked and self.found_by != "name" else None


class Notation(StrEnum):
    """How numbers or dates are written where they stay texts."""

    DECIMAL_COMMA = "decimal_comma"
    THOUSANDS = "thousands"
    PERCENT = "percent"
    CURRENCY = "currency"
    BRACKETS = "brackets"
    DATE = "date"


class Notice(Part):
    """A column of texts that look like numbers or dates in another notation."""

    column: str
    notation: Notation
    rows: Annotated[int, Field(gt=0)]
    """Values in this notation."""
    present: Annotated[int, Field(gt=0)]
    """Values in all."""
    example: str
    """One of them; empty where the column's name says that it is personal."""


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
    personal: tuple[PersonalFinding, ...] = ()
    """Personal data that was met on the way here."""
    personal_key: str | None = None
    """Which secret hashed it; tells one from another and not what it is."""
    forgotten: Annotated[int, Field(ge=0)] = 0
    """Rows of the source that were left out because their key is to be forgotten."""
    notices: tuple[Notice, ...] = ()
    """Columns that are texts here and were probably meant to be more."""
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
    tolerance: str = ""
    """What a drafted suite lets pass, in words; empty when the suite does not say."""
    unexpected_percent: float | None = None


class Skew(Part):
    """A difference between this snapshot and the one that trained the champion."""

    column: str
    message: str
    effect: float | None = None
    """Population stability index less what chance gives on average, for values."""
    chance: float | None = None
    """The effect that sampling alone stays below in 95 % of comparisons of as many columns and rows."""


class FindingKind(StrEnum):
    """What validation can find in the values themselves."""

    TARGET_COPY = "target_copy"
    """A feature is the target under another name."""
    LEAKAGE = "leakage"
    """A feature alone tells the target (almost) perfectly."""
    IDENTIFIER = "identifier"
    """A feature numbers the rows."""
    DUPLICATES = "duplicates"
    """Held-out rows repeat training rows."""
    TARGET_SHIFT = "target_shift"
    """The target is spread differently from the champion's."""
    PERSONAL_DATA = "personal_data"
    """A column holds personal data that pilot.yaml says nothing about."""
    NOTATION = "notation"
    """A column of texts is probably one of numbers or dates."""


class Finding(Part):
    """Something about the values that makes a model look better than it is, or the last one wrong."""

    kind: FindingKind
    column: str | None = None
    """None when it is about whole rows."""
    message: str
    value: float | None = None
    """The figure that the message names: an association, a share, or a population stability index."""
    severity: Severity


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
    """No critical expectation failed, nothing critical was found and the schema is the champion's."""
    checks: tuple[Check, ...]
    schema_skew: tuple[Skew, ...] = ()
    """Stops the run."""
    value_skew: tuple[Skew, ...] = ()
    """Warns; the monitor shows it beside its own findings."""
    findings: tuple[Finding, ...] = ()
    """Critical ones first."""
    created_at: AwareDatetime
