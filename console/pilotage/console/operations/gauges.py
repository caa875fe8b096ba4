"""What Prometheus is told of an installation: every number is read from the database when it is asked for.

So each replica tells the same, and one that was restarted forgets nothing; take the greatest over replicas,
never the sum. Names and labels of all metrics of the console are here; those of model servers are in
`serving`.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime
from importlib.metadata import version
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select

from pilotage.core.artifacts import TriggerState
from pilotage.pipelines import approvals, leases, outbox, tables
from pilotage.pipelines.states import State
from pilotage.pipelines.webhooks.deliveries import DeliveryState

Sample = tuple[tuple[str, ...], float]
"""Values of a metric's labels, and its own."""

METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pilotage_build_info": ("The version that runs", ("version",)),
    "pilotage_leader": ("Whether the scheduler of this replica leads", ()),
    "pilotage_lease_term": ("How often the lead was taken by another process", ()),
    "pilotage_lease_expires_timestamp_seconds": ("When the lead ends unless it is renewed", ()),
    "pilotage_consoles": ("Replicas that told of themselves in the last minute", ()),
    "pilotage_runs": ("Runs by state", ("pilot", "state")),
    "pilotage_run_last_ended_timestamp_seconds": (
        "When the latest run ended in this state",
        ("pilot", "state"),
    ),
    "pilotage_queue_oldest_seconds": ("How long the run that was asked for first waits", ()),
    "pilotage_triggers": ("Requests to retrain, by state", ("pilot", "state")),
    "pilotage_trigger_oldest_open_seconds": ("How long the oldest request that is open is", ("pilot",)),
    "pilotage_approvals_waiting": ("Versions that wait for a person", ("pilot",)),
    "pilotage_alarms": ("Alarms by state", ("pilot", "cause", "state")),
    "pilotage_alarm_last_raised_timestamp_seconds": ("When the latest alarm was raised", ("pilot", "cause")),
    "pilotage_window_last_end_timestamp_seconds": ("End of the latest window that was judged", ("pilot",)),
    "pilotage_schedules": ("Schedules by state", ("pilot", "state")),
    "pilotage_schedule_missed": ("Moments of schedules that passed without a run", ("pilot",)),
    "pilotage_version_promoted_timestamp_seconds": ("When a version last became champion", ("pilot",)),
    "pilotage_webhook_deliveries": ("Deliveries of events by state", ("endpoint", "state")),
    "pilotage_webhook_oldest_due_seconds": ("How long the oldest delivery that is due is", ("endpoint",)),
}
"""Help and labels by name."""
_CONSOLE_SECONDS = 60.0


def read(engine: Engine) -> dict[str, list[Sample]]:
    """All metrics now, by name; one without samples has nothing to tell."""
    found: dict[str, list[Sample]] = {"pilotage_build_info": [((version("pilotage"),), 1.0)]}
    with tables.reading(engine) as connection:
        found |= _leadership(connection)
        found |= _runs(connection)
        found |= _retraining(connection)
        found |= _scheduling(connection)
        found |= _telling(connection)
    return found


def _leadership(connection: Connection) -> dict[str, list[Sample]]:
    lease = connection.execute(select(tables.leases).where(tables.leases.c.name == leases.LEADER)).first()
    seen = tables.services.c.seen_at
    told = select(seen).where(tables.services.c.kind == "console")
    alive = [at for at in connection.scalars(told) if _age(at) < _CONSOLE_SECONDS]
    if lease is None:
        return {"pilotage_leader": [((), 0.0)], "pilotage_consoles": [((), float(len(alive)))]}
    own = f"{socket.gethostname()}/{os.getpid()}/"
    mine = lease.holder.startswith(own) and lease.expires_at > tables.now()
    return {
        "pilotage_leader": [((), float(mine))],
        "pilotage_lease_term": [((), float(lease.term))],
        "pilotage_lease_expires_timestamp_seconds": [((), lease.expires_at.timestamp())],
        "pilotage_consoles": [((), float(len(alive)))],
    }


def _runs(connection: Connection) -> dict[str, list[Sample]]:
    table = tables.runs
    rows = connection.execute(
        select(table.c.pilot, table.c.state, func.count(), func.max(table.c.ended_at)).group_by(
            table.c.pilot, table.c.state
        )
    ).all()
    waits = connection.scalar(select(func.min(table.c.asked_at)).where(table.c.state == State.PENDING))
    return {
        "pilotage_runs": [((pilot, state), float(count)) for pilot, state, count, _ in rows],
        "pilotage_run_last_ended_timestamp_seconds": [
            ((pilot, state), ended.timestamp()) for pilot, state, _, ended in rows if ended is not None
        ],
        "pilotage_queue_oldest_seconds": [((), _age(waits))],
    }


def _retraining(connection: Connection) -> dict[str, list[Sample]]:
    asked, alarms, windows = tables.triggers, tables.alarms, tables.windows
    waiting = tables.approvals.c.state == approvals.ApprovalState.PENDING.value
    opened = select(asked.c.pilot, func.min(asked.c.opened_at)).where(asked.c.state == TriggerState.OPEN)
    raised = select(alarms.c.pilot, alarms.c.cause, func.max(alarms.c.raised_at))
    judged = select(windows.c.pilot, func.max(windows.c.end)).group_by(windows.c.pilot)
    return {
        "pilotage_triggers": _counts(connection, select(asked.c.pilot, asked.c.state, func.count())),
        "pilotage_trigger_oldest_open_seconds": [
            ((pilot,), _age(at)) for pilot, at in connection.execute(opened.group_by(asked.c.pilot))
        ],
        "pilotage_approvals_waiting": _counts(
            connection, select(tables.approvals.c.pilot, func.count()).where(waiting)
        ),
        "pilotage_alarms": _counts(
            connection, select(alarms.c.pilot, alarms.c.cause, alarms.c.state, func.count())
        ),
        "pilotage_alarm_last_raised_timestamp_seconds": [
            ((pilot, cause), at.timestamp())
            for pilot, cause, at in connection.execute(raised.group_by(alarms.c.pilot, alarms.c.cause))
        ],
        "pilotage_window_last_end_timestamp_seconds": [
            ((pilot,), at.timestamp()) for pilot, at in connection.execute(judged)
        ],
    }


def _scheduling(connection: Connection) -> dict[str, list[Sample]]:
    table, told = tables.schedules, tables.outbox
    missed = select(table.c.pilot, func.sum(table.c.missed)).group_by(table.c.pilot)
    promoted = (
        select(told.c.pilot, func.max(told.c.at))
        .where(told.c.type == str(outbox.Kind.VERSION_PROMOTED))
        .group_by(told.c.pilot)
    )
    return {
        "pilotage_schedules": _counts(connection, select(table.c.pilot, table.c.state, func.count())),
        "pilotage_schedule_missed": [((pilot,), float(count)) for pilot, count in connection.execute(missed)],
        "pilotage_version_promoted_timestamp_seconds": [
            ((pilot,), at.timestamp()) for pilot, at in connection.execute(promoted)
        ],
    }


def _telling(connection: Connection) -> dict[str, list[Sample]]:
    table = tables.deliveries
    due = select(table.c.endpoint, func.min(table.c.since)).where(table.c.state == DeliveryState.PENDING)
    return {
        "pilotage_webhook_deliveries": _counts(
            connection, select(table.c.endpoint, table.c.state, func.count())
        ),
        "pilotage_webhook_oldest_due_seconds": [
            ((endpoint,), _age(at)) for endpoint, at in connection.execute(due.group_by(table.c.endpoint))
        ],
    }


def _counts(connection: Connection, query: Select[Any]) -> list[Sample]:
    """Samples of a query whose last column is the count, and whose others are labels."""
    labels = list(query.selected_columns)[:-1]
    return [
        (tuple(map(str, row[:-1])), float(row[-1])) for row in connection.execute(query.group_by(*labels))
    ]


def _age(at: datetime | None) -> float:
    return 0.0 if at is None else max(0.0, (tables.now() - at).total_seconds())
