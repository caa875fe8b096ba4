"""Which event is still to be told to whom: made once, leased to one sender, tried again, given up.

    pending ──→ delivered
       │  ↑ replay
       └──→ dead (a day without success, or the endpoint is gone)

A sender that dies keeps its lease until it runs out; the delivery is then sent
again, with the same id. Nothing is sent from here, and nothing kept of answers
but their status.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, insert, or_, select, update

from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.webhooks.endpoints import Endpoint
from pilotage.pipelines.webhooks.senders import TIMEOUT_SECONDS, Answer

GIVE_UP = timedelta(days=1)
"""After the first attempt, or the first of a replay."""
_LEASE = timedelta(seconds=6 * TIMEOUT_SECONDS)
"""Longer than an attempt, with a name that is slow to resolve."""
_FIRST_SECONDS, _FACTOR, _MOST_SECONDS = 5.0, 3.0, 4 * 3600.0
_JITTER = 0.25
_MOST_RELAYED = 500
"""Events in one transaction."""


class DeliveryState(StrEnum):
    """What became of telling one endpoint of one event."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True)
class Attempt:
    """One POST."""

    at: datetime
    status: int | None
    """Of HTTP; None where there was no answer."""
    seconds: float
    error: str | None


@dataclass(frozen=True)
class Delivery:
    """One event for one endpoint."""

    id: int
    event: str
    """Its `webhook-id`, the same at each attempt."""
    type: str
    pilot: str
    endpoint: str
    state: DeliveryState
    attempts: int
    """Since it was asked for, first or again."""
    next_at: datetime | None
    """None where none is to come."""
    log: tuple[Attempt, ...]
    """Every attempt, oldest first."""


@dataclass(frozen=True)
class Leased:
    """A delivery that this process, and no other, may send now."""

    id: int
    lease: str
    event: Row[Any]


def relay(engine: Engine, endpoints: Sequence[Endpoint]) -> None:
    """Find whom to tell of each new event; events that are older than a day are told to nobody."""
    table = tables.outbox
    unseen = select(table).where(table.c.relayed_at.is_(None)).order_by(table.c.id).limit(_MOST_RELAYED)
    with engine.begin() as connection:
        tables.lock(connection, "pilotage-webhooks")
        _bury(connection, [endpoint.name for endpoint in endpoints])
        rows = connection.execute(unseen).all()
        gone = _disabled(connection)
        wanted = [
            _row(row.event, endpoint.name)
            for row in rows
            for endpoint in endpoints
            if row.at > tables.now() - GIVE_UP and endpoint.wants(row.type, row.pilot)
            if (endpoint.name, endpoint.url_digest) not in gone
        ]
        if wanted:
            connection.execute(insert(tables.deliveries), wanted)
        if rows:
            seen = update(table).where(table.c.id.in_([row.id for row in rows]))
            connection.execute(seen, {"relayed_at": tables.now()})


def add(connection: Connection, event: str, endpoint: str) -> int:
    """One delivery of `event`, whatever the endpoint wants; returns its id."""
    events, table = tables.outbox, tables.deliveries
    connection.execute(update(events).where(events.c.event == event), {"relayed_at": tables.now()})
    connection.execute(insert(table), _row(event, endpoint))
    made = select(table.c.id).where(table.c.event == event, table.c.endpoint == endpoint)
    return int(connection.execute(made).scalar_one())


def lease_next(engine: Engine, endpoint: str, delivery: int | None = None) -> Leased | None:
    """Lease what is due for `endpoint`, oldest first, or one delivery that need not be due; None: nothing."""
    table, now = tables.deliveries, tables.now()
    free = or_(table.c.leased_until.is_(None), table.c.leased_until < now)
    query = select(table).where(table.c.endpoint == endpoint, table.c.state == DeliveryState.PENDING, free)
    query = query.where(table.c.next_at <= now) if delivery is None else query.where(table.c.id == delivery)
    lease = secrets.token_hex(8)
    with engine.begin() as connection:
        row = connection.execute(query.order_by(table.c.id).limit(1)).first()
        if row is None:
            return None
        taken = connection.execute(
            update(table).where(table.c.id == row.id, table.c.state == DeliveryState.PENDING, free),
            {"lease": lease, "leased_until": now + _LEASE},
        )
        if taken.rowcount != 1:
            return None  # another sender was quicker
        event = connection.execute(select(tables.outbox).where(tables.outbox.c.event == row.event)).one()
    return Leased(row.id, lease, event)


def settle(engine: Engine, leased: Leased, answer: Answer, *, last: bool = False) -> DeliveryState:
    """Log an attempt, and say when the next is due, if one is; `last` says that none is."""
    table = tables.deliveries
    with engine.begin() as connection:
        log = {"delivery": leased.id, "at": tables.now(), "status": answer.status}
        log |= {"seconds": answer.seconds, "error": answer.error}
        connection.execute(insert(tables.delivery_attempts), log)
        row = connection.execute(select(table).where(table.c.id == leased.id)).one()
        if row.lease != leased.lease:
            return DeliveryState(row.state)  # the lease ran out, and another sender's word counts
        attempts, wait = row.attempts + 1, _wait_seconds(row.attempts, answer.retry_after_seconds)
        next_at = tables.now() + timedelta(seconds=wait)
        state = DeliveryState.PENDING
        if answer.is_accepted:
            state = DeliveryState.DELIVERED
        elif last or next_at > row.since + GIVE_UP:
            state = DeliveryState.DEAD
        values = {
            "state": state,
            "attempts": attempts,
            "next_at": next_at,
            "lease": None,
            "leased_until": None,
        }
        values["ended_at"] = None if state is DeliveryState.PENDING else tables.now()
        connection.execute(update(table).where(table.c.id == leased.id), values)
    return state


def disable(engine: Engine, endpoint: Endpoint, why: str) -> None:
    """Tell an endpoint nothing more, until its URL changes or a test of it succeeds."""
    table, gone = tables.deliveries, tables.disabled_endpoints
    row = {"endpoint": endpoint.name, "url": endpoint.url_digest, "at": tables.now(), "why": why}
    with engine.begin() as connection:
        tables.lock(connection, "pilotage-webhooks")
        if (endpoint.name, endpoint.url_digest) not in _disabled(connection):
            connection.execute(insert(gone), row)
        waiting = (table.c.endpoint == endpoint.name, table.c.state == DeliveryState.PENDING)
        dead = {"state": DeliveryState.DEAD, "ended_at": tables.now()}
        connection.execute(update(table).where(*waiting, table.c.lease.is_(None)), dead)


def enable(engine: Engine, endpoint: Endpoint) -> None:
    """Tell an endpoint of what happens from now on."""
    gone = tables.disabled_endpoints
    with engine.begin() as connection:
        connection.execute(gone.delete().where(gone.c.endpoint == endpoint.name))


def disabled(engine: Engine) -> dict[tuple[str, str], str]:
    """Why endpoints are told nothing, by name and digest of the URL."""
    with tables.reading(engine) as connection:
        return _disabled(connection)


def find(
    engine: Engine,
    *,
    endpoint: str | None = None,
    state: DeliveryState | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Delivery]:
    """The latest deliveries, newest first; those with an id below `before`."""
    table = tables.deliveries
    query = select(table, tables.outbox.c.type, tables.outbox.c.pilot).join(tables.outbox)
    if endpoint is not None:
        query = query.where(table.c.endpoint == endpoint)
    if state is not None:
        query = query.where(table.c.state == state)
    if before is not None:
        query = query.where(table.c.id < before)
    return _read(engine, query.order_by(table.c.id.desc()).limit(limit))


def get(engine: Engine, delivery: int) -> Delivery:
    """One delivery.

    Raises:
        NotFound: there is none of this id.
    """
    table = tables.deliveries
    query = select(table, tables.outbox.c.type, tables.outbox.c.pilot).join(tables.outbox)
    found = _read(engine, query.where(table.c.id == delivery))
    if not found:
        raise errors.NotFound(
            f"There is no delivery {delivery}.", remedy="`pilotage webhooks deliveries` lists them."
        )
    return found[0]


def replay(engine: Engine, deliveries: Sequence[int]) -> None:
    """Send these again, with a day to succeed in; the receiver knows them by their `webhook-id`."""
    table, now = tables.deliveries, tables.now()
    values = {"state": DeliveryState.PENDING, "attempts": 0, "since": now, "next_at": now, "ended_at": None}
    with engine.begin() as connection:
        for delivery in deliveries:
            connection.execute(update(table).where(table.c.id == delivery), values)


def _row(event: str, endpoint: str) -> dict[str, Any]:
    return {
        "event": event,
        "endpoint": endpoint,
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "since": tables.now(),
        "next_at": tables.now(),
    }


def _bury(connection: Connection, endpoints: Sequence[str]) -> None:
    """Give up what is for an endpoint that the file no longer names, a day after it was asked for."""
    table = tables.deliveries
    left = (table.c.state == DeliveryState.PENDING, table.c.since < tables.now() - GIVE_UP)
    dead = {"state": DeliveryState.DEAD, "ended_at": tables.now()}
    connection.execute(update(table).where(*left, table.c.endpoint.not_in(list(endpoints))), dead)


def _wait_seconds(failures: int, asked: float) -> float:
    """Until the next attempt: longer each time, not at the same moment for everyone, as asked at least."""
    usual = min(_FIRST_SECONDS * _FACTOR**failures, _MOST_SECONDS)
    return max(usual * random.uniform(1 - _JITTER, 1 + _JITTER), asked)  # noqa: S311 - no secret


def _disabled(connection: Connection) -> dict[tuple[str, str], str]:
    rows = connection.execute(select(tables.disabled_endpoints)).all()
    return {(row.endpoint, row.url): row.why for row in rows}


def _read(engine: Engine, query: Select[Any]) -> list[Delivery]:
    table = tables.delivery_attempts
    with tables.reading(engine) as connection:
        rows = connection.execute(query).all()
        logs = connection.execute(
            select(table).where(table.c.delivery.in_([row.id for row in rows])).order_by(table.c.id)
        ).all()
    return [
        Delivery(
            id=row.id,
            event=row.event,
            type=row.type,
            pilot=row.pilot,
            endpoint=row.endpoint,
            state=DeliveryState(row.state),
            attempts=row.attempts,
            next_at=row.next_at if row.state == DeliveryState.PENDING else None,
            log=tuple(
                Attempt(item.at, item.status, item.seconds, item.error)
                for item in logs
                if item.delivery == row.id
            ),
        )
        for row in rows
    ]
