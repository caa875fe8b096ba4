"""Where a pilot's rows come from, and what its columns mean."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from pilotage.core.durations import Duration
from pilotage.core.metrics import Task
from pilotage.core.specs.augmentations import Augment
from pilotage.core.specs.bases import Column, Model, Target
from pilotage.core.specs.protections import Personal, Policy


class FeatureKind(StrEnum):
    """How a column is treated."""

    NUMBER = "number"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    TIME = "time"
    TEXT = "text"
    """Sentences, read by a pre-trained encoder."""
    IMAGE = "image"
    """Pictures, seen by a pre-trained backbone: paths, or bytes."""


EMBEDDED = (FeatureKind.TEXT, FeatureKind.IMAGE)
"""Kinds whose values become vectors."""


class SqlSource(Model):
    sql: Annotated[str, Field(min_length=1)]
    url: Annotated[str, Field(min_length=1)]
    """SQLAlchemy URL, or `env:NAME` to take it from the environment."""
    fingerprint: str | None = None
    """A cheap query whose result changes when the data does; without it ingest always reads."""


class PythonSource(Model):
    python: Target
    args: dict[str, Any] = {}
    fingerprint: Target | None = None
    """A cheap function of the same args whose text changes when the data does."""


def _source_kind(value: object) -> str:
    if isinstance(value, dict):
        return "python" if "python" in value else "sql"
    if isinstance(value, PythonSource):
        return "python"
    return "sql" if isinstance(value, SqlSource) else "files"


Source = Annotated[
    Annotated[str, Field(min_length=1), Tag("files")]
    | Annotated[SqlSource, Tag("sql")]
    | Annotated[PythonSource, Tag("python")],
    Discriminator(_source_kind),
]


class Split(Model):
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2


class Data(Model):
    source: Source
    target: Column
    task: Task | None = None
    positive: str | bool | int | float | None = None
    """The class that counts as positive when there are two; the last in sorted order when left out."""
    time: Column | None = None
    key: Column | None = None
    features: dict[Column, FeatureKind] | None = None
    exclude: tuple[Column, ...] = ()
    split: Split = Split()
    augment: Augment | None = None
    """Synthetic rows beside the training rows; none when left out."""
    personal: Personal | None = None
    """What is done about personal data before anything is stored."""
    retention: Duration | None = None
    """How long snapshots, logged rows and labels are kept; for ever when left out."""

    @model_validator(mode="after")
    def _protected(self) -> Data:
        if self.personal is None:
            return self
        for role, name in {"target": self.target, "time": self.time, "key": self.key}.items():
            policy = None if name is None else self.personal.column(name)
            allowed = (Policy.KEEP, Policy.REFUSE) + ((Policy.HASH,) if role == "key" else ())
            if policy is not None and policy not in allowed:
                choices = ", ".join(allowed)
                raise ValueError(
                    f"`personal.columns.{name}` is `{policy}`, and `{name}` is the {role}: "
                    f"it can be one of {choices}"
                )
        for name in self.features or {}:
            if self.personal.column(name) is Policy.DROP:
                raise ValueError(f"`{name}` is in `features`, and `personal.columns.{name}` drops it")
        return self

    @model_validator(mode="after")
    def _roles(self) -> Data:
        for role, columns in {"time": [self.time], "key": [self.key], "exclude": self.exclude}.items():
            if self.target in columns:
                raise ValueError(f"`{self.target}` is the target and cannot also be `{role}`")
        if self.features is not None:
            if not self.features:
                raise ValueError("`features` names no column; leave it out to infer the features")
            if self.target in self.features:
                raise ValueError(f"`{self.target}` is the target and cannot also be a feature")
            if both := sorted(set(self.features) & set(self.exclude)):
                raise ValueError(f"`{both[0]}` is in `features` and in `exclude`")
        return self
