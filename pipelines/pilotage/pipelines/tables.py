"""The database's tables, and the way into it: SQLite by default, PostgreSQL by its URL.

Only shapes, types and connections; what the rows mean is in `records`,
`triggers`, `promotions`, `outbox` and `webhooks`.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeDecorator

from pilotage.core import errors
from pilotage.core.settings import Settings

_BUSY_MILLISECONDS = 30_000
"""How long a writer waits for another one."""


class Instant(TypeDecorator[datetime]):
    """An aware time in UTC; SQLite forgets zones, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pilot", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("trigger", String(64)),
    Column("folder", String, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("host", String, nullable=False),
    Column("boot", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started", Float, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("exit_code", Integer),
    Column("error", JSON),
    Column("result", JSON),
    Index("runs_by_pilot", "pilot", "started_at"),
    Index("runs_by_state", "state"),
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
    Column("peak_memory_bytes", Integer),
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
    UniqueConstraint("pilot", "alarm", name="one_trigger_an_alarm"),
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

approvals = Table(
    "approvals",
    metadata,
    Column("pilot", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("run", String(64)),
    Column("asked_at", Instant, nullable=False),
    Column("decided_at", Instant),
    Column("who", String),
    Column("why", String),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String(32), nullable=False),
    Column("pilot", String(63), nullable=False),
    Column("version", Integer),
    Column("why", String, nullable=False),
    Column("details", JSON, nullable=False),
    Index("audit_by_pilot", "pilot", "at"),
)


def connect(settings: Settings) -> Engine:
    """An engine on the installation's database, its tables there.

    Raises:
        SettingsError: PILOTAGE_DATABASE_URL cannot be understood.
        Unavailable: the database does not answer.
    """
    try:
        url = make_url(settings.database)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        pool = NullPool if url.get_backend_name() == "sqlite" else None  # an SQLite connection costs nothing
        engine = create_engine(url, json_serializer=_json, poolclass=pool)
    except Exception as error:
        raise errors.SettingsError(
            f"The database `{settings.database_url or settings.database}` cannot be used: {error}.",
            remedy="Set PILOTAGE_DATABASE_URL to an SQLAlchemy URL whose driver is installed, or unset it.",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
    try:
        _create(engine)
    except OperationalError as error:
        raise errors.Unavailable(
            f"The database {url.render_as_string(hide_password=True)} does not answer: {error.orig}.",
            remedy="Check that it runs and that its disk is writable.",
        ) from error
    except DatabaseError as error:
        raise errors.SettingsError(
            f"The database {url.render_as_string(hide_password=True)} is damaged or none: {error.orig}.",
            remedy="Restore it from a backup; or move it away, and a new one is made.",
        ) from error
    return engine


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def lock(connection: Connection, name: str) -> None:
    """Hold `name` until the transaction ends; others that ask for it wait.

    SQLite's transactions exclude each other as they are; see `_on_sqlite_begin`.
    """
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def _create(engine: Engine) -> None:
    """Create what is missing; two processes may do so at once.

    A database of an earlier version lacks tables, or columns that may be empty; both are added.

    Raises:
        SettingsError: a table lacks a column that cannot be added to rows that are there.
    """
    if not _missing(engine):
        return
    with engine.begin() as connection:
        lock(connection, "pilotage-tables")
        metadata.create_all(connection)
        for column in _missing(connection):
            if not column.nullable:
                raise errors.SettingsError(
                    f"The table `{column.table.name}` of {engine.url.render_as_string(hide_password=True)}"
                    f" lacks the column `{column.name}`: it was made by another version of Pilotage.",
                    remedy="Restore it from a backup; or move the database away, and a new one is made.",
                )
            write = engine.dialect.identifier_preparer
            place, name = write.format_table(column.table), write.format_column(column)
            kind = column.type.compile(engine.dialect)
            connection.execute(text(f"ALTER TABLE {place} ADD COLUMN {name} {kind}"))


def _missing(bind: Engine | Connection) -> list[Column[Any]]:
    """Columns that the database does not have."""
    found = inspect(bind)
    held = found.get_multi_columns()
    names = {table: {column["name"] for column in columns} for (_, table), columns in held.items()}
    return [
        column
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name not in names.get(table.name, ())
    ]


def _on_sqlite_connect(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin as `_on_sqlite_begin` says
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _on_sqlite_begin(connection: Any) -> None:
    # A transaction that reads first and writes later would fail, not wait, when another wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _json(value: object) -> str:
    return json.dumps(value, default=str, sort_keys=True)
