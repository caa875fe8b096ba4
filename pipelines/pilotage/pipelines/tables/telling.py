"""Events, and how the world was told of them."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from pilotage.pipelines.tables.bases import Instant, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event", String(64), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("pilot", String(63), nullable=False),
    Column("subject", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("data", JSON, nullable=False),
    Column("relayed_at", Instant),  # when the webhooks that are to be told were known
    Index("outbox_by_relay", "relayed_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event", ForeignKey("outbox.event", ondelete="CASCADE"), nullable=False),
    Column("endpoint", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("since", Instant, nullable=False),  # when it was asked for, first or again
    Column("next_at", Instant, nullable=False),
    Column("leased_until", Instant),
    Column("lease", String(64)),
    Column("ended_at", Instant),
    UniqueConstraint("event", "endpoint", name="one_delivery_an_endpoint"),
    Index("deliveries_by_state", "state", "next_at"),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("delivery", ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("status", Integer),
    Column("seconds", Float, nullable=False),
    Column("error", String),
)

disabled_endpoints = Table(
    "disabled_endpoints",
    metadata,
    Column("endpoint", String(63), primary_key=True),
    Column("url", String(64), primary_key=True),  # its SHA-256: an address may hold a secret
    Column("at", Instant, nullable=False),
    Column("why", String, nullable=False),
)
