"""Events, written in the transaction that they tell of: what is rolled back was never told.

An event is kept as a CloudEvent's parts. Nothing is sent from here; `webhooks`
finds whom to tell, and tells them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from pilotage.pipelines import tables

CONTENT_TYPE = "application/cloudevents+json"


class Kind(StrEnum):
    """Every type of event."""

    ALARM_RAISED = "pilotage.alarm.raised"
    TRIGGER_OPENED = "pilotage.trigger.opened"
    TRIGGER_WAITING = "pilotage.trigger.waiting"
    TRIGGER_STARTED = "pilotage.trigger.started"
    """Its run began."""
    TRIGGER_REOPENED = "pilotage.trigger.reopened"
    """Its run was stopped, or its process died; it will be started again."""
    TRIGGER_ENDED = "pilotage.trigger.ended"
    """Done, failed, or superseded by a newer one."""
    VERSION_RELEASING = "pilotage.version.releasing"
    """It is on its way into a cluster."""
    VERSION_PROMOTED = "pilotage.version.promoted"
    VERSION_ROLLED_BACK = "pilotage.version.rolled-back"
    """The champion before is champion again, or a rollout was halted."""
    VERSION_REJECTED = "pilotage.version.rejected"
    VERSION_PENDING = "pilotage.version.pending"
    """It waits for a person's approval."""
    BUDGET_SPENT = "pilotage.budget.spent"
    """Retrainings wait for the next month."""
    WEBHOOK_TEST = "pilotage.webhook.test"


def emit(
    connection: Connection,
    kind: Kind,
    pilot: str,
    subject: str,
    data: Mapping[str, Any],
    *,
    event: str | None = None,
) -> str:
    """Tell of what the caller's transaction changes; returns the event's id.

    Args:
        connection: the caller's transaction.
        kind: what happened.
        pilot: to which pilot.
        subject: the alarm, trigger or version, as `trigger/ID`.
        data: JSON about it.
        event: an id; a new one when left out.
    """
    name = event or f"evt_{secrets.token_hex(16)}"
    row = {
        "event": name,
        "type": str(kind),
        "pilot": pilot,
        "subject": subject,
        "at": tables.now(),
        "data": dict(data),
    }
    connection.execute(insert(tables.outbox), row)
    return name


def events(connection: Connection, pilot: str, kind: Kind) -> set[str]:
    """Ids of the events of one kind that were told of `pilot`."""
    table = tables.outbox
    query = select(table.c.event).where(table.c.pilot == pilot, table.c.type == str(kind))
    return set(connection.scalars(query))


def body(row: Row[Any]) -> bytes:
    """An event's row as a CloudEvent 1.0 in structured JSON; the same bytes whenever it is sent."""
    moment: datetime = row.at
    document = {
        "specversion": "1.0",
        "id": row.event,
        "source": f"/pilotage/pilots/{row.pilot}",
        "type": row.type,
        "subject": row.subject,
        "time": moment.isoformat().replace("+00:00", "Z"),
        "sequence": f"{row.id:012d}",  # the extension of that name: later events have greater ones
        "datacontenttype": "application/json",
        "data": row.data,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
