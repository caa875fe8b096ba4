"""Runs, their steps, and what earlier steps left for the next run."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from pilotage.pipelines.tables.bases import Instant, metadata

runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("asked_by", String, nullable=False),
    Column("why", String, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("retry_of", String(64)),
    Column("schedule", String(64)),
    Column("due_at", Instant),  # the moment of the schedule that it is for
    Column("trigger", String(64)),
    Column("folder", String, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("host", String),  # of the process that carries it out; null while it waits for one
    Column("boot", String),
    Column("pid", Integer),
    Column("process_started", Float),
    Column("launch", JSON),  # the process that was started for it while it waits, and how many died
    Column("remote", JSON),  # what carries it out elsewhere; null for a run of this machine
    Column("seen_at", Instant),  # when its process last looked at that
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("cancel_asked_at", Instant),
    Column("cancel_asked_by", String),
    Column("exit_code", Integer),
    Column("error", JSON),
    Column("result", JSON),
    Index("runs_by_pilot", "pilot", "asked_at"),
    Index("runs_by_state", "state"),
    Index("runs_by_time", "asked_at"),
    Index("runs_by_schedule", "schedule", "asked_at"),
    UniqueConstraint("schedule", "due_at", name="one_run_a_moment"),
)

steps = Table(
    "steps",
    metadata,
    Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("cached", Boolean, nullable=False, default=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("seconds", Float),
    Column("peak_memory_bytes", BigInteger),
    Column("log", String),
    Column("inputs", JSON),
    Column("outputs", JSON),
    Column("metrics", JSON),
    Column("error", JSON),
)

cache_entries = Table(
    "cache_entries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("step", String(32), nullable=False),
    Column("key", String(64), nullable=False),
    Column("context", String, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("outputs", JSON, nullable=False),
    Column("files", JSON, nullable=False),
    Column("run", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("pilot", "step", "key", "context", name="one_entry_a_key"),
)
