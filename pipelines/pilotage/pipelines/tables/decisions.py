"""What people decided, and who did what."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

approvals = Table(
    "approvals",
    metadata,
    Column("pilot", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("run", String(64)),
    Column("asked_at", Instant, nullable=False),
    Column("decided_at", Instant),
    Column("who", String),
    Column("why", String),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),  # 1, 2, 3 … without a gap
    Column("at", Instant, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String(32), nullable=False),
    Column("pilot", String(63)),  # null where it is about the installation
    Column("version", Integer),
    Column("why", String, nullable=False),
    Column("details", JSON, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Index("audit_by_pilot", "pilot", "at"),
    Index("audit_by_time", "at"),
)
