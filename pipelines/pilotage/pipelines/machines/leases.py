"""Leases: at most one process leads, and one that stopped telling that it lives is replaced.

Each new holder gets a greater term. A leader's transactions make sure of its
term, which holds off a successor until they end; so one that was paused for a
while cannot act any more. On PostgreSQL time is the database's, so that machines
whose clocks differ agree; a lease that ends later than a new one would is of a
clock that was put back since, and is taken. What a leader does is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, func, insert, select, update

from pilotage.core import errors
from pilotage.pipelines import tables

LEADER = "scheduler"
TTL_SECONDS = 15.0


@dataclass(frozen=True)
class Lease:
    """What a process holds."""

    name: str
    holder: str
    term: int


def acquire(engine: Engine, name: str, holder: str, ttl_seconds: float = TTL_SECONDS) -> Lease | None:
    """Take the lease if it is free, or keep it for another while; None when another process has it."""
    table = tables.leases
    with engine.begin() as connection:
        tables.lock(connection, f"lease {name}")
        clock = _clock(connection)
        row = connection.execute(select(table).where(table.c.name == name).with_for_update()).first()
        until = clock + timedelta(seconds=ttl_seconds)
        if row is None:
            first = {"name": name, "holder": holder, "term": 1, "acquired_at": clock, "expires_at": until}
            connection.execute(insert(table), first)
            return Lease(name, holder, 1)
        held = clock < row.expires_at <= until
        if row.holder == holder and held:
            connection.execute(update(table).where(table.c.name == name), {"expires_at": until})
            return Lease(name, holder, row.term)
        if held:
            return None
        taken = {"holder": holder, "term": row.term + 1, "acquired_at": clock, "expires_at": until}
        connection.execute(update(table).where(table.c.name == name), taken)
        return Lease(name, holder, row.term + 1)


def release(engine: Engine, lease: Lease) -> None:
    """Give the lease back, if it is held still, so that another process need not wait for its end."""
    table = tables.leases
    mine = table.c.name == lease.name, table.c.holder == lease.holder, table.c.term == lease.term
    with engine.begin() as connection:
        connection.execute(update(table).where(*mine), {"expires_at": _clock(connection)})


def require(connection: Connection, lease: Lease | None) -> None:
    """Make sure of the lease until the transaction ends; with None there is nothing to make sure of.

    Raises:
        LeaseLost: it is not held any more.
    """
    if lease is None:
        return
    table = tables.leases
    row = connection.execute(select(table).where(table.c.name == lease.name).with_for_update()).first()
    current = None if row is None else (row.holder, row.term)
    if row is None or current != (lease.holder, lease.term) or row.expires_at <= _clock(connection):
        raise errors.LeaseLost(
            f"`{lease.holder}` does not hold the lease `{lease.name}` of term {lease.term} any more.",
            remedy="Another process goes on with its work.",
        )


def _clock(connection: Connection) -> datetime:
    if connection.dialect.name == "postgresql":
        found: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return found
    return tables.now()
