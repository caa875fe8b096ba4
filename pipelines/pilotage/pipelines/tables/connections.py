"""The way into the database: SQLite by default, PostgreSQL by its URL."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.tables.bases import metadata

_BUSY_MILLISECONDS = 30_000
"""How long a writer waits for another one."""


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
