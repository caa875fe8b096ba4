"""Requests that may be repeated: a note that one was carried out, in the transaction of what it changed.

Without it a process that dies between the change and the answer would leave
nobody knowing whether a repetition is the first time. Keys are taken, and
answers kept, by whoever receives requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from sqlalchemy import Connection, update

from pilotage.pipelines import tables


class Key(NamedTuple):
    """What tells one request from another, whose."""

    who: str
    key: str


_current: ContextVar[Key | None] = ContextVar("repeats", default=None)


@contextmanager
def carrying_out(key: Key) -> Iterator[None]:
    """What this context changes belongs to the request of `key`."""
    token = _current.set(key)
    try:
        yield
    finally:
        _current.reset(token)


def note(connection: Connection) -> None:
    """Note in the caller's transaction that the request at hand, if it has a key, was carried out."""
    current = _current.get()
    if current is not None:
        table = tables.idempotency_keys
        connection.execute(
            update(table).where(table.c.who == current.who, table.c.key == current.key),
            {"carried_out_at": tables.now()},
        )
