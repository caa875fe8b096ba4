"""Pilots that this installation knows."""

from __future__ import annotations

from sqlalchemy import JSON, Column, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

pilots = Table(
    "pilots",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("folder", String, nullable=False),  # on the machines that run it
    Column("spec", JSON, nullable=False),  # as it was when it was last checked or run
    Column("added_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)
