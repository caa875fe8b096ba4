"""What is known of each window that was closed; an index over files, which can be made anew from them."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Index, Integer, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

windows = Table(
    "windows",
    metadata,
    Column("pilot", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("end", Instant, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("latency_p50_ms", Float),
    Column("latency_p99_ms", Float),
    Column("drifted", Integer, nullable=False, default=0),  # features
    Column("features", JSON, nullable=False),  # effect and verdict by feature
    Column("metric", String(64)),
    Column("estimated", JSON),  # value, low, high
    Column("realized", JSON),
    Column("labelled", Integer, nullable=False, default=0),  # rows
    Column("value", JSON),  # what the predictions brought, and what the baseline would have
    Column("report", String),
    Column("updated_at", Instant, nullable=False),
    Index("windows_by_time", "pilot", "start"),
)
