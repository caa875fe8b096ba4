"""The audit: who did what to what, when and why, as a chain that nobody can change unseen.

Each record holds the digest of the one before it, so that a change or a gap
shows wherever it is. Records are written in the transaction of what they tell
of, and never changed. Who may do what is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from pilotage.pipelines import outbox, repeats, tables
from pilotage.pipelines.outbox import Kind

GENESIS = "0" * 64
"""What the first record names as the one before it."""

_EVENTS = {
    "promote": Kind.VERSION_PROMOTED,
    "approve": Kind.VERSION_PROMOTED,
    "promoted": Kind.VERSION_PROMOTED,
    "rollback": Kind.VERSION_ROLLED_BACK,
    "halt": Kind.VERSION_ROLLED_BACK,
    "reject": Kind.VERSION_REJECTED,
    "pending": Kind.VERSION_PENDING,
}
"""What the world is told, by the audit's action."""


@dataclass(frozen=True)
class Record:
    """One line of the audit."""

    id: int
    at: datetime
    who: str
    action: str
    pilot: str | None
    """None where it is about the installation."""
    version: int | None
    why: str
    details: Mapping[str, Any]
    previous: str
    digest: str


def write(
    connection: Connection,
    action: str,
    pilot: str | None,
    who: str,
    why: str,
    *,
    version: int | None = None,
    **details: Any,
) -> None:
    """Append who did what to which pilot, when and why, in the caller's transaction, and tell of it."""
    tables.lock(connection, "audit")
    last = connection.execute(
        select(tables.audit.c.id, tables.audit.c.digest).order_by(tables.audit.c.id.desc()).limit(1)
    ).first()
    row = {
        "id": 1 if last is None else last.id + 1,
        "at": tables.now(),
        "who": who,
        "action": action,
        "pilot": pilot,
        "version": version,
        "why": why,
        "details": json.loads(json.dumps(details, default=str)),
        "previous": GENESIS if last is None else last.digest,
    }
    connection.execute(insert(tables.audit), {**row, "digest": digest_of(row)})
    repeats.note(connection)
    if pilot is not None and action in _EVENTS:
        told = {"pilot": pilot, "version": version, "action": action, "who": who, "why": why, **details}
        outbox.emit(connection, _EVENTS[action], pilot, f"version/{version}", told)


def read(engine: Engine, pilot: str | None = None, limit: int = 100) -> list[Record]:
    """The latest records, newest first."""
    query = select(tables.audit).order_by(tables.audit.c.id.desc()).limit(limit)
    if pilot is not None:
        query = query.where(tables.audit.c.pilot == pilot)
    with engine.begin() as connection:
        return [Record(**row._mapping) for row in connection.execute(query)]


def digest_of(row: Mapping[str, Any]) -> str:
    """SHA-256 of a record and the digest before it, as canonical JSON."""
    moment: datetime = row["at"]
    told = {**{key: value for key, value in row.items() if key != "digest"}}
    told["at"] = moment.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
