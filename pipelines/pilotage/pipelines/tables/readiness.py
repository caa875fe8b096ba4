"""How ready pilots were over time, what people vouch for, and what was tried out for it."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

readiness_scores = Table(
    "readiness_scores",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("at", Instant, nullable=False),
    Column("version", Integer),  # that was judged; null while the pilot has no champion
    Column("score", Float, nullable=False),
    Column("sections", JSON, nullable=False),  # points by section
    Column("points", JSON, nullable=False),  # by test
    Index("readiness_scores_by_pilot", "pilot", "at"),
)

readiness_notes = Table(
    "readiness_notes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("test", String(32), nullable=False),
    Column("text", String, nullable=False),
    Column("who", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("withdrawn_at", Instant),
    Column("withdrawn_by", String),
    Index("readiness_notes_by_pilot", "pilot", "at"),
)

readiness_proofs = Table(
    "readiness_proofs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("kind", String(16), nullable=False),  # tests, repeat, simple
    Column("at", Instant, nullable=False),
    Column("who", String, nullable=False),
    Column("version", Integer),
    Column("recipe", String(64), nullable=False),  # SHA-256 of what it was about
    Column("passed", Boolean, nullable=False),
    Column("summary", String, nullable=False),
    Column("details", JSON, nullable=False),
    Index("readiness_proofs_by_pilot", "pilot", "kind", "at"),
)
