"""Runs and what asks for them: how they ended, what waits, schedules, triggers, approvals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from prometheus_client.core import Metric
from sqlalchemy import Connection, Row, func, select

from pilotage.console.metrics.families import counter, gauge, seconds
from pilotage.core.artifacts import TriggerState
from pilotage.pipelines import tables
from pilotage.pipelines.decisions.approvals import ApprovalState
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.retraining import schedules
from pilotage.pipelines.retraining.schedules import ScheduleState

_ACTIVE = (State.PENDING, State.RUNNING)
_ENDED = (State.SUCCEEDED, State.FAILED, State.DIED, State.CANCELLED)
_PENDING = (TriggerState.OPEN, TriggerState.WAITING, TriggerState.STARTED)
_GAPS = 8
"""Moments whose distances tell how long a schedule may be silent: a week of a schedule of weekdays."""


def collect(connection: Connection) -> Iterator[Metric]:
    """All of them, by pilot."""
    yield from _runs(connection)
    yield from _schedules(connection)
    yield from _triggers(connection)
    yield from _approvals(connection)


def _runs(connection: Connection) -> Iterator[Metric]:
    table = tables.runs
    query = select(
        table.c.pilot,
        table.c.state,
        func.count().label("number"),
        func.min(table.c.asked_at).label("asked"),
        func.max(table.c.ended_at).label("ended"),
    ).group_by(table.c.pilot, table.c.state)
    rows = {(row.pilot, row.state): row for row in connection.execute(query)}
    names = connection.scalars(select(tables.pilots.c.name)).all()
    ended = {(name, str(state)): 0.0 for name in names for state in _ENDED}
    ended |= {key: row.number for key, row in rows.items() if key[1] in _ENDED}
    active = {key: row for key, row in rows.items() if key[1] in _ACTIVE}
    labels = ("pilot", "state")
    yield counter("pilotage_runs", "Runs that ended, by how", labels, ended)
    yield gauge(
        "pilotage_run_last_end_timestamp_seconds",
        "When the last run ended that ended so",
        labels,
        {key: seconds(row.ended) for key, row in rows.items() if key in ended and row.ended is not None},
    )
    yield gauge(
        "pilotage_runs_active",
        "Runs that wait in line or go on",
        labels,
        {key: row.number for key, row in active.items()},
    )
    yield gauge(
        "pilotage_run_oldest_timestamp_seconds",
        "When the oldest of them was asked for",
        labels,
        {key: seconds(row.asked) for key, row in active.items()},
    )


def _schedules(connection: Connection) -> Iterator[Metric]:
    table = tables.schedules
    following: dict[tuple[str, ...], float] = {}
    periods: dict[tuple[str, ...], float] = {}
    missed: dict[tuple[str, ...], float] = {}
    for row in connection.execute(select(table)):
        label = (row.pilot,)
        missed[label] = missed.get(label, 0.0) + row.missed
        if row.state != ScheduleState.ACTIVE or row.next_at is None:
            continue
        following[label] = min(seconds(row.next_at), following.get(label, float("inf")))
        period = _period(row)
        if period is not None:
            periods[label] = min(period, periods.get(label, float("inf")))
    yield gauge(
        "pilotage_schedule_next_timestamp_seconds",
        "When a schedule is due next; in the past while nobody asks for its run",
        ("pilot",),
        following,
    )
    yield gauge(
        "pilotage_schedule_period_seconds",
        "Longest time between two of a schedule's next moments",
        ("pilot",),
        periods,
    )
    yield counter(
        "pilotage_schedule_missed_moments",
        "Moments of schedules that passed without a run of their own",
        ("pilot",),
        missed,
    )


def _period(row: Row[Any]) -> float | None:
    return _longest_gap(
        row.cron, row.time_zone, datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    )


@lru_cache(maxsize=2048)
def _longest_gap(cron: str, zone: str, after: datetime) -> float | None:
    """Seconds; None of what is not understood, or has fewer than two moments to come."""
    try:
        moments = schedules.moments(cron, ZoneInfo(zone), after, _GAPS)
    except (ValueError, LookupError, ArithmeticError):
        return None
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
    return max(gaps, default=None)


def _triggers(connection: Connection) -> Iterator[Metric]:
    table = tables.triggers
    query = select(
        table.c.pilot,
        table.c.state,
        func.count().label("number"),
        func.min(table.c.opened_at).label("opened"),
        func.max(table.c.ended_at).label("ended"),
    ).group_by(table.c.pilot, table.c.state)
    rows = {(row.pilot, row.state): row for row in connection.execute(query)}
    labels = ("pilot", "state")
    yield gauge(
        "pilotage_triggers",
        "Requests to retrain that were not carried out yet",
        labels,
        {key: row.number for key, row in rows.items() if key[1] in _PENDING},
    )
    yield gauge(
        "pilotage_trigger_oldest_timestamp_seconds",
        "When the oldest of them was opened",
        labels,
        {key: seconds(row.opened) for key, row in rows.items() if key[1] in _PENDING},
    )
    yield gauge(
        "pilotage_trigger_last_end_timestamp_seconds",
        "When the last request to retrain ended that ended so",
        labels,
        {
            key: seconds(row.ended)
            for key, row in rows.items()
            if key[1] not in _PENDING and row.ended is not None
        },
    )


def _approvals(connection: Connection) -> Iterator[Metric]:
    table = tables.approvals
    query = (
        select(table.c.pilot, func.count().label("number"), func.min(table.c.asked_at).label("asked"))
        .where(table.c.state == ApprovalState.PENDING)
        .group_by(table.c.pilot)
    )
    rows = connection.execute(query).all()
    yield gauge(
        "pilotage_approvals_pending",
        "Versions that wait for a person",
        ("pilot",),
        {(row.pilot,): row.number for row in rows},
    )
    yield gauge(
        "pilotage_approval_oldest_timestamp_seconds",
        "When the oldest of them began to wait",
        ("pilot",),
        {(row.pilot,): seconds(row.asked) for row in rows},
    )
