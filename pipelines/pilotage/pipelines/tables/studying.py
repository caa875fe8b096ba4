"""What is found out about a pilot apart from its runs: forecasts, smaller models."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Index, Integer, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

studies = Table(
    "studies",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("options", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("asked_by", String, nullable=False),
    Column("host", String),  # of the process that carries it out, or that was launched to do so
    Column("boot", String),
    Column("pid", Integer),
    Column("process_started", Float),
    Column("seen_at", Instant),  # when that process last said that it lives
    Column("progress", JSON),  # done, total, and what goes on
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("cancel_asked_at", Instant),
    Column("cancel_asked_by", String),
    Column("error", JSON),
    Column("result", JSON),  # in short; all of it is in the storage
    Index("studies_by_pilot", "pilot", "kind", "asked_at"),
    Index("studies_by_state", "state"),
)
