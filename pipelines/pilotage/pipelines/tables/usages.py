"""What work used of machines: one row for each attempt of a part of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

usages = Table(
    "usages",
    metadata,
    Column("kind", String(16), primary_key=True),  # of the subject: run, study
    Column("subject", String(64), primary_key=True),  # id of the run or the study
    Column("part", String(32), primary_key=True),  # step of the run, or what goes on beside steps
    Column("attempt", Integer, primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("at", Instant, nullable=False),  # when it ended
    Column("wall_seconds", Float, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("gpu_seconds", Float, nullable=False),
    Column("gpu", String(128), nullable=False),
    Column("peak_memory_bytes", BigInteger, nullable=False),
    Column("processor", String(128), nullable=False),
    Column("processors", Integer, nullable=False),
    Column("joules", Float),  # where they were measured
    Index("usages_by_pilot", "pilot", "at"),
)
