"""Who may come in: users, roles, tokens, sessions. Secrets are kept as digests only."""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from pilotage.pipelines.tables.bases import Instant, metadata

users = Table(
    "users",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("full_name", String, nullable=False, default=""),
    Column("password", String),  # argon2 hash; null where only an OpenID provider signs in
    Column("issuer", String),
    Column("subject", String),
    Column("state", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String, nullable=False),
    UniqueConstraint("issuer", "subject", name="one_user_an_identity"),
)

grants = Table(
    "grants",
    metadata,
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), primary_key=True),
    Column("pilot", String(63), primary_key=True),  # "*" for all
    Column("role", String(16), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("who", String, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(128), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the secret
    Column("grants", JSON, nullable=False),  # pilot and role; it never holds more than its user does
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("revoked_at", Instant),
)

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the cookie
    Column("id", String(64), nullable=False, unique=True),  # names it where it is listed
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("address", String, nullable=False),
    Column("agent", String, nullable=False),
    Column("revoked_at", Instant),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
)

sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False),  # a user's name or an address
    Column("at", Instant, nullable=False),
    Index("attempts_by_key", "key", "at"),
)

oidc_requests = Table(
    "oidc_requests",
    metadata,
    Column("digest", String(64), primary_key=True),  # of the state
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    Column("next", String, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("who", String(128), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("request", String(64), nullable=False),  # salt and scrypt of method, path and body
    Column("status", Integer),  # null while the first request is carried out
    Column("headers", JSON),
    Column("body", JSON),
    Column("carried_out_at", Instant),  # written in the transaction of the change itself
    Column("created_at", Instant, nullable=False),
    Index("keys_by_time", "created_at"),
)
