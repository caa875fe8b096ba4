"""How often somebody may try to sign in: by name and by address, longer waits with each failure.

Attempts are counted in the database before the password is looked at, so that
many at once, over several processes, are no way around. Names and addresses
are kept as digests: people type passwords into the field for the name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, func, insert, select

from pilotage.console.access.digests import digest_of
from pilotage.core import errors
from pilotage.pipelines import tables

_FORGET = timedelta(hours=1)
_FREE_BY_NAME, _FREE_BY_ADDRESS = 5, 20
"""Failures that cost no waiting."""
_MOST_SECONDS = 900.0


class Attempt:
    """One try; it counts as failed until it is said to have succeeded."""

    def __init__(self) -> None:
        self.succeeded = False


@contextmanager
def counted(engine: Engine, name: str, address: str) -> Iterator[Attempt]:
    """Try to sign in as `name` from `address`.

    Raises:
        LimitReached: there were too many failures of late.
    """
    by_name, by_address = digest_of(f"name {name.lower()}"), digest_of(f"address {network_of(address)}")
    table, now = tables.sign_in_attempts, tables.now()
    with engine.begin() as connection:
        tables.lock(connection, "sign-in")
        connection.execute(delete(table).where(table.c.at < now - _FORGET))
        wait = max(
            _wait_seconds(connection, by_name, _FREE_BY_NAME, now),
            _wait_seconds(connection, by_address, _FREE_BY_ADDRESS, now),
        )
        if wait > 0:
            raise errors.LimitReached(
                "There were too many attempts to sign in.",
                remedy=f"Try again in {wait:.0f} s.",
                seconds=wait,
            )
        connection.execute(insert(table), [{"key": key, "at": now} for key in (by_name, by_address)])
    attempt = Attempt()
    yield attempt
    if attempt.succeeded:
        with engine.begin() as connection:
            connection.execute(delete(table).where(table.c.key == by_name))
            connection.execute(delete(table).where(table.c.key == by_address, table.c.at == now))


def network_of(address: str) -> str:
    """What stands for an address: of IPv6 the first 64 bits, as one machine has all the others."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _wait_seconds(connection: Connection, key: str, free: int, now: datetime) -> float:
    """How long is to be waited still; twice as long with each failure beyond the free ones."""
    table = tables.sign_in_attempts
    failures, last = connection.execute(
        select(func.count(), func.max(table.c.at)).where(table.c.key == key)
    ).one()
    if failures < free:
        return 0.0
    wait: float = min(_MOST_SECONDS, 2.0 ** min(failures - free, 20))
    return wait - float((now - last).total_seconds())
