"""Whether anything was written to the database since somebody last looked, for next to nothing.

One small question answers for all live pages of a process. It may say yes
where nothing of interest changed, never no where something did.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from sqlalchemy import Engine, PoolProxiedConnection, text


class Pulse(Protocol):
    """A question that costs little."""

    async def beat(self) -> object:
        """A value that differs from the one before when something was written in between."""

    def close(self) -> None:
        """Give back what is held."""


class FilePulse:
    """SQLite's `PRAGMA data_version`, which reads one counter of the mapped file and takes no lock.

    It tells of other connections only, so the connection is kept and writes nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: PoolProxiedConnection | None = None

    async def beat(self) -> object:
        """The counter."""
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        cursor = self._connection.cursor()
        try:
            cursor.execute("PRAGMA data_version")
            return cursor.fetchone()
        finally:
            cursor.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class LogPulse:
    """How far PostgreSQL has written its log; read without touching a table."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def beat(self) -> object:
        """The position."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> object:
        with self._engine.connect() as connection:
            return connection.scalar(text("SELECT pg_current_wal_insert_lsn()::text"))

    def close(self) -> None:
        """Nothing is held."""


def of(engine: Engine) -> Pulse:
    """The pulse of a database."""
    return FilePulse(engine) if engine.dialect.name == "sqlite" else LogPulse(engine)
