"""Schedules, and who may act on them."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

schedules = Table(
    "schedules",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("source", String(16), nullable=False),  # pilot.yaml, or a person
    Column("cron", String, nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("next_at", Instant),  # null while it is paused
    Column("last_due_at", Instant),
    Column("last_run", String(64)),
    Column("missed", Integer, nullable=False, default=0),  # moments that passed with nothing to start them
    Column("created_at", Instant, nullable=False),
    Column("created_by", String, nullable=False),
    Index("schedules_by_pilot", "pilot"),
    Index("schedules_by_next", "state", "next_at"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String, nullable=False),
    Column("term", Integer, nullable=False),  # grows with each new holder
    Column("acquired_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
)
