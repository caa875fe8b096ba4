"""The platform: who leads, what the world was not told, whether the audit is whole, which tokens end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta

from prometheus_client.core import Metric
from sqlalchemy import Connection, func, select

from pilotage.console.metrics.families import counter, gauge, seconds, single
from pilotage.console.supervision.states import ServiceState
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.machines import leases
from pilotage.pipelines.webhooks import DeliveryState

_USED = timedelta(days=7)
_SOON = timedelta(days=7)
_SILENT = timedelta(seconds=30)


def collect(connection: Connection, settings: Settings) -> Iterator[Metric]:
    """All of it."""
    yield from _leader(connection)
    yield from _webhooks(connection, settings)
    yield from _tokens(connection)
    yield from _services(connection)


def _leader(connection: Connection) -> Iterator[Metric]:
    table = tables.leases
    row = connection.execute(select(table).where(table.c.name == leases.LEADER)).first()
    held = row is not None and row.expires_at > tables.now()
    yield single("pilotage_leader", "1 while a scheduler leads; without one nothing is started", held)
    if row is not None:
        yield counter(
            "pilotage_leader_terms", "How often another scheduler began to lead", (), {(): row.term}
        )
        yield single(
            "pilotage_leader_lease_end_timestamp_seconds",
            "When the leader's lease ends unless it is renewed",
            seconds(row.expires_at),
        )
    here = held and row is not None and row.holder.startswith(f"{socket.gethostname()}/")
    yield single("pilotage_leader_here", "1 where the one that leads is in this pod or machine", here)


def _webhooks(connection: Connection, settings: Settings) -> Iterator[Metric]:
    table, outbox, gone = tables.deliveries, tables.outbox, tables.disabled_endpoints
    for state in (DeliveryState.PENDING, DeliveryState.DEAD):
        query = select(table.c.endpoint, func.count().label("number")).where(table.c.state == state)
        numbers = {
            (row.endpoint,): row.number for row in connection.execute(query.group_by(table.c.endpoint))
        }
        if state is DeliveryState.PENDING:
            text = "Events that a webhook is still to be told of"
            yield gauge("pilotage_webhook_deliveries_pending", text, ("endpoint",), numbers)
        else:
            text = "Events that a webhook was not told of, for a day"
            yield counter("pilotage_webhook_deliveries_dead", text, ("endpoint",), numbers)
    disabled = connection.scalar(select(func.count()).select_from(gone))
    yield single("pilotage_webhooks_disabled", "Webhooks that are told nothing any more", disabled or 0)
    if settings.webhooks_file is not None:  # else nobody looks at them
        oldest = connection.scalar(select(func.min(outbox.c.at)).where(outbox.c.relayed_at.is_(None)))
        yield single(
            "pilotage_event_oldest_timestamp_seconds",
            "When the oldest event happened that nobody has looked at for webhooks; now where there is none",
            seconds(oldest or tables.now()),
        )


def _tokens(connection: Connection) -> Iterator[Metric]:
    table, now = tables.tokens, tables.now()
    ending = table.c.expires_at > now, table.c.expires_at <= now + _SOON
    used = table.c.revoked_at.is_(None), table.c.used_at > now - _USED
    number = connection.scalar(select(func.count()).select_from(table).where(*ending, *used))
    yield single(
        "pilotage_tokens_expiring",
        "Tokens in use, shown in the last 7 days, that end within 7 days",
        number or 0,
    )


def _services(connection: Connection) -> Iterator[Metric]:
    """What `pilotage up` runs, and consoles in pods; the cluster itself knows the rest."""
    table = tables.services
    numbers: dict[tuple[str, ...], float] = {}
    for row in connection.execute(select(table.c.kind, table.c.state, table.c.seen_at)):
        silent = row.seen_at < tables.now() - _SILENT and row.state != ServiceState.STOPPED
        label = row.kind, str(ServiceState.LOST) if silent else row.state
        numbers[label] = numbers.get(label, 0.0) + 1
    yield gauge(
        "pilotage_services",
        "Processes that `pilotage up` runs, and consoles of a cluster",
        ("kind", "state"),
        numbers,
    )
