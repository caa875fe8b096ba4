"""What was deleted for good: by retention, and at somebody's request."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

deletions = Table(
    "deletions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("kind", String(16), nullable=False),  # erasure or retention
    Column("state", String(16), nullable=False),  # running or done
    Column("hashes", JSON, nullable=False),  # keyed hashes of what is forgotten; never what was hashed
    Column("why", String, nullable=False),
    Column("who", String, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("result", JSON),
    Index("deletions_by_pilot", "pilot", "asked_at"),
    Index("deletions_by_state", "state"),
)
