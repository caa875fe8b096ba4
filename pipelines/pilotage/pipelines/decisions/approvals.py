"""Questions to people about versions, and their answers: rows, and nothing that follows from them.

What an answer does to aliases and releases is in `promotions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines import tables


class ApprovalState(StrEnum):
    """What became of a question to a person."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Approval:
    """A version that waits for a person, or waited."""

    pilot: str
    version: int
    state: ApprovalState
    run: str | None
    asked_at: datetime
    decided_at: datetime | None
    who: str | None
    why: str | None


def find(settings: Settings, pilot: str | None = None, *, pending_only: bool = True) -> list[Approval]:
    """Versions that wait for a person (or also those that no longer do), newest first."""
    table = tables.approvals
    query = select(table).order_by(table.c.asked_at.desc())
    if pilot is not None:
        query = query.where(table.c.pilot == pilot)
    if pending_only:
        query = query.where(table.c.state == ApprovalState.PENDING)
    with tables.connect(settings).begin() as connection:
        return [_approval(row._mapping) for row in connection.execute(query)]


def asked(engine: Engine, pilot: str, version: int | None) -> Approval:
    """The question about `version`, or the newest that waits.

    Raises:
        NotFound: nothing waits, or nobody was asked about this version.
    """
    table = tables.approvals
    query = select(table).where(table.c.pilot == pilot).order_by(table.c.version.desc())
    if version is None:
        query = query.where(table.c.state == ApprovalState.PENDING)
    else:
        query = query.where(table.c.version == version)
    with engine.begin() as connection:
        row = connection.execute(query).first()
    if row is None:
        what = "No version" if version is None else f"Version {version}"
        raise errors.NotFound(
            f"{what} of `{pilot}` waits for an approval."
            if version is None
            else f"{what} of `{pilot}` never waited.",
            remedy="Versions wait when pilot.yaml says `approval: manual` and their gates passed.",
            pilot=pilot,
        )
    return _approval(row._mapping)


def of(settings: Settings, pilot: str, version: int) -> Approval | None:
    """What was asked about a version, and what became of it; None where nobody was asked."""
    table = tables.approvals
    query = select(table).where(table.c.pilot == pilot, table.c.version == version)
    with tables.reading(tables.connect(settings)) as connection:
        row = connection.execute(query).first()
    return None if row is None else _approval(row._mapping)


def keep_out(connection: Connection, pilot: str, version: int, *, who: str, why: str) -> bool:
    """Let nobody promote `version` but by force, in the caller's transaction; whether that is new."""
    table = tables.approvals
    mine = table.c.pilot == pilot, table.c.version == version
    said = {"state": ApprovalState.REJECTED, "decided_at": tables.now(), "who": who, "why": why}
    held = connection.execute(select(table.c.state).where(*mine)).first()
    if held is None:
        row = {"pilot": pilot, "version": version, "asked_at": tables.now(), **said}
        connection.execute(insert(table), row)
    elif held.state != ApprovalState.REJECTED:
        connection.execute(update(table).where(*mine), said)
    return held is None or held.state != ApprovalState.REJECTED


def decide(
    connection: Connection, pilot: str, version: int, state: ApprovalState, who: str, why: str
) -> None:
    """Keep what somebody decided, if it had been asked; in the caller's transaction."""
    table = tables.approvals
    connection.execute(
        update(table).where(table.c.pilot == pilot, table.c.version == version),
        {"state": state, "decided_at": tables.now(), "who": who, "why": why},
    )


def _approval(row: Mapping[Any, Any]) -> Approval:
    return Approval(**{**row, "state": ApprovalState(row["state"])})
