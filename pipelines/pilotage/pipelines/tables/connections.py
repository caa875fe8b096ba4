"""The way into the database: SQLite by default, PostgreSQL by its URL."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.migrations import HISTORY
from pilotage.pipelines.tables import revisions
from pilotage.pipelines.tables.transactions import READING

_BUSY_MILLISECONDS = 30_000
"""How long a writer waits for another one."""
_CONNECT_SECONDS = 10
"""How long PostgreSQL may take to answer at all."""
_CONNECTION = {
    "connect_timeout": _CONNECT_SECONDS,
    # A server that moved to another machine says nothing of connections to the old one: notice in a minute.
    **{"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000},
}
_POOL = {"pool_size": 8, "max_overflow": 32, "pool_pre_ping": True}
"""Connections that are kept, and that may be added, in one process; one that went away is replaced."""


def connect(settings: Settings) -> Engine:
    """The engine on the installation's database, its tables there and up to date; one a process and URL.

    Raises:
        SettingsError: PILOTAGE_DATABASE_URL cannot be understood, or the database is of a newer version.
        MissingExtra: the driver of PostgreSQL is not installed.
        Unavailable: the database does not answer, or PILOTAGE_MIGRATE is false and it waits for
            `pilotage migrate`.
    """
    engine = open_engine(settings)
    with _explaining(engine):
        if settings.migrate:
            revisions.bring_up_to_date(engine)
        else:
            revisions.require_current(engine)
    return engine


def migrate(settings: Settings) -> tuple[str | None, str]:
    """Bring the database up to date whatever PILOTAGE_MIGRATE says; its revision before and after.

    Raises:
        SettingsError, MissingExtra, Unavailable: as `connect`.
    """
    engine = open_engine(settings)
    with _explaining(engine):
        before = revisions.glance(engine)
        revisions.bring_up_to_date(engine)
        return before, HISTORY.head


def require_current(engine: Engine) -> str:
    """Make sure, with one query, that the database is as this version of Pilotage expects; its revision.

    Raises:
        Unavailable: it does not answer, or is of an older version that somebody has to migrate.
        SettingsError: it is of a newer version, or damaged.
    """
    with _explaining(engine):
        return revisions.require_current(engine)


@contextmanager
def _explaining(engine: Engine) -> Iterator[None]:
    """Say in our terms why a database cannot be used."""
    shown = engine.url.render_as_string(hide_password=True)
    try:
        yield
    except OperationalError as error:
        raise errors.Unavailable(
            f"The database {shown} does not answer: {error.orig}.",
            remedy="Check that it runs and that its disk is writable.",
        ) from error
    except DatabaseError as error:
        raise errors.SettingsError(
            f"The database {shown} is damaged or none: {error.orig}.",
            remedy="Restore it from a backup; or move it away, and a new one is made.",
        ) from error


def open_engine(settings: Settings) -> Engine:
    """The engine of the installation's database, whatever is in that; see `connect`."""
    return _engine(_url(settings), os.getpid())


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def _url(settings: Settings) -> URL:
    try:
        url = make_url(settings.database)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if settings.database_url:
            raise _cannot_use("that PILOTAGE_DATABASE_URL names", error) from error
        raise errors.SettingsError(
            f"The home `{settings.home}` cannot be made: {error}.",
            remedy="Set PILOTAGE_HOME to a folder that can be written, or make way for it.",
        ) from error
    except Exception as error:
        raise _cannot_use("that PILOTAGE_DATABASE_URL names", error) from error
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


@lru_cache(maxsize=64)
def _engine(url: URL, process: int) -> Engine:
    """The engine of this process: connections of a parent belong to the parent."""
    postgresql = url.get_backend_name() == "postgresql"
    try:
        engine = create_engine(
            url,
            json_serializer=_json,
            **(_POOL if postgresql else {"poolclass": NullPool}),  # an SQLite connection costs nothing
            connect_args=_CONNECTION if postgresql else {},
        )
    except ModuleNotFoundError as error:
        if not postgresql:
            raise _cannot_use(f"`{url.render_as_string(hide_password=True)}`", error) from error
        raise errors.MissingExtra(
            f"The driver `{error.name}` of PostgreSQL is not installed.",
            remedy='`pip install "pilotage[postgresql]"` installs it.',
            package=error.name,
        ) from error
    except Exception as error:
        raise _cannot_use(f"`{url.render_as_string(hide_password=True)}`", error) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _cannot_use(shown: str, error: Exception) -> errors.SettingsError:
    return errors.SettingsError(
        f"The database {shown} cannot be used: {error}.",
        remedy="Set PILOTAGE_DATABASE_URL to an SQLAlchemy URL whose driver is installed, or unset it.",
    )


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
    reads = connection.get_execution_options().get(READING, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _json(value: object) -> str:
    try:
        return json.dumps(value, default=str, sort_keys=True, allow_nan=False)
    except ValueError:
        return json.dumps(finite(value), default=str, sort_keys=True, allow_nan=False)


def finite(value: Any) -> Any:
    """`value` as JSON has it: numbers that are not finite, which only Python's JSON knows, become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
