"""Versions on their way into a cluster, by a commit."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

transitions = Table(
    "transitions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("environment", String(63), nullable=False),
    Column("action", String(16), nullable=False),  # promoted, promote, approve, rollback
    Column("who", String, nullable=False),
    Column("why", String, nullable=False),
    Column("forced", Boolean, nullable=False, default=False),
    Column("run", String(64)),
    Column("stage", String(16), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("commit", String(64)),
    Column("branch", String),
    Column("url", String),
    Column("committed_at", Instant),
    Column("seen_at", Instant),  # what the cluster follows says so since
    Column("taken_up_at", Instant),  # the cluster is to run it since
    Column("progress", JSON),
    Column("looked_at", Instant),
    Column("stalled_seconds", Float, nullable=False, default=0.0),
    Column("standing", String, nullable=False, default=""),
    Column("trouble", String),
    Column("trouble_since", Instant),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", Instant, nullable=False),
    Column("replaced", Integer),  # champion before
    Column("outcome", String(16)),  # what a version that is taken back is marked as
    Column("reason", String, nullable=False, default=""),
    Column("ended_by", String),
    Column("ended_at", Instant),
    Index("transitions_by_pilot", "pilot", "asked_at"),
    Index("transitions_by_stage", "stage", "next_at"),
)
