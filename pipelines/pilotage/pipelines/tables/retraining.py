"""Alarms, and the requests to retrain that they open."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, String, Table, UniqueConstraint

from pilotage.pipelines.tables.bases import Instant, metadata

alarms = Table(
    "alarms",
    metadata,
    Column("pilot", String(63), primary_key=True),
    Column("id", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("cause", String(32), nullable=False),
    Column("start", Instant, nullable=False),
    Column("end", Instant, nullable=False),
    Column("message", String, nullable=False),
    Column("details", JSON, nullable=False),
    Column("raised_at", Instant, nullable=False),
    Column("state", String(16), nullable=False),
    Column("decided_at", Instant),  # acknowledged
    Column("who", String),
    Column("why", String),
    Column("closed_at", Instant),
    Column("closed_why", String),
    Index("alarms_by_pilot", "pilot", "end"),
    Index("alarms_by_state", "state", "end"),
    Index("alarms_by_time", "end"),
)

triggers = Table(
    "triggers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("alarm", String, nullable=False),
    Column("cause", String(32), nullable=False),
    Column("at", Instant, nullable=False),
    Column("reason", String, nullable=False),
    Column("state", String(16), nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("reached", Instant),  # how far the data's own time had come at the start
    Column("ended_at", Instant),
    Column("attempts", Integer, nullable=False, default=0),
    Column("claim", JSON),
    Column("run", String(64)),
    Column("waits_for", String(16)),
    Column("until", Instant),
    Column("told_by", String),  # who told of its alarm from elsewhere; null for a monitor with this database
    UniqueConstraint("pilot", "alarm", name="one_trigger_an_alarm"),
    Index("triggers_by_time", "at"),
)

snoozes = Table(
    "snoozes",
    metadata,
    Column("pilot", String(63), primary_key=True),
    Column("until", Instant, nullable=False),
    Column("who", String, nullable=False),
    Column("why", String, nullable=False),
    Column("at", Instant, nullable=False),
)
