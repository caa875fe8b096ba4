"""Processes that `pilotage up` keeps running."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

services = Table(
    "services",
    metadata,
    Column("name", String(128), primary_key=True),  # console, scheduler, monitors, mlflow, server/<pilot>
    Column("host", String, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("pilot", String(63)),
    Column("url", String),
    Column("state", String(16), nullable=False),
    Column("pid", Integer),
    Column("process_started", Float),
    Column("restarts", Integer, nullable=False, default=0),
    Column("since", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("detail", String, nullable=False, default=""),
)
