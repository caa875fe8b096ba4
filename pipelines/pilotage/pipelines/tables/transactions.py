"""Transactions: those that only look, and names that one transaction at a time holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

READING = "pilotage_reading"
"""Execution option of connections that change nothing."""
IN_USE = "snapshots in use"
"""Held while a run or a study begins, and while a snapshot is deleted: never both at once."""


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only looks: everything in it is of one moment, and it waits for no writer.

    With `engine.begin()` an SQLite database has one transaction at a time.
    """
    options: dict[str, object] = {READING: True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


def lock(connection: Connection, name: str) -> None:
    """Hold `name` until the transaction ends; others that ask for it wait.

    SQLite's transactions exclude each other as they are; see `connections`.
    """
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
