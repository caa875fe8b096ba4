"""What runs and studies used, kept row by row; prices and energy are worked out by who reads it.

A row that is written again, under the same attempt, takes the place of the one before, so that
whoever follows a run that goes on elsewhere may begin anew. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select

from pilotage.core.artifacts import Usage
from pilotage.pipelines import tables

BESIDE = "platform"
"""The part of a run that is no step: the process that carries it out, and what steps' processes import."""


class Kind(StrEnum):
    """What work may be."""

    RUN = "run"
    STUDY = "study"


@dataclass(frozen=True)
class Record:
    """What one attempt of a part used."""

    kind: Kind
    subject: str
    part: str
    attempt: int
    pilot: str
    at: datetime
    usage: Usage


def keep(
    connection: Connection,
    kind: Kind,
    subject: str,
    part: str,
    pilot: str,
    usage: Usage,
    *,
    attempt: int | None = None,
    at: datetime | None = None,
) -> None:
    """Keep what an attempt used; the next one where none is named."""
    table = tables.usages
    this = [table.c.kind == kind, table.c.subject == subject, table.c.part == part]
    if attempt is None:
        attempt = (connection.scalar(select(func.max(table.c.attempt)).where(*this)) or 0) + 1
    connection.execute(delete(table).where(*this, table.c.attempt == attempt))
    row = {
        "kind": kind.value,
        "subject": subject,
        "part": part,
        "attempt": attempt,
        "pilot": pilot,
        "at": at or tables.now(),
        **usage.model_dump(exclude={"kind", "schema_version"}),
    }
    connection.execute(insert(table), {**row, "gpu": usage.gpu[:128], "processor": usage.processor[:128]})


def of_subject(engine: Engine, subject: str) -> list[Record]:
    """What a run or a study used, in the order in which its parts ended."""
    table = tables.usages
    query = select(table).where(table.c.subject == subject).order_by(table.c.at, table.c.attempt)
    with tables.reading(engine) as connection:
        return [_record(row) for row in connection.execute(query)]


def of_pilot(
    connection: Connection, pilot: str, since: datetime | None = None, until: datetime | None = None
) -> list[Record]:
    """What everything of a pilot used, oldest first."""
    table = tables.usages
    query = select(table).where(table.c.pilot == pilot).order_by(table.c.at)
    query = query if since is None else query.where(table.c.at >= since)
    query = query if until is None else query.where(table.c.at < until)
    return [_record(row) for row in connection.execute(query)]


def total(parts: Sequence[Usage]) -> Usage:
    """Several together; memory is the most that one of them had."""
    joules = [part.joules for part in parts if part.joules is not None]
    measured = bool(parts) and len(joules) == len(parts)
    return Usage(
        wall_seconds=sum(part.wall_seconds for part in parts),
        cpu_seconds=sum(part.cpu_seconds for part in parts),
        gpu_seconds=sum(part.gpu_seconds for part in parts),
        peak_memory_bytes=max((part.peak_memory_bytes for part in parts), default=0),
        joules=sum(joules) if measured else None,
    )


def _record(row: Row[Any]) -> Record:
    names = set(Usage.model_fields) - {"kind", "schema_version"}
    usage = Usage(**{name: value for name, value in row._mapping.items() if name in names})
    return Record(Kind(row.kind), row.subject, row.part, row.attempt, row.pilot, row.at, usage)
