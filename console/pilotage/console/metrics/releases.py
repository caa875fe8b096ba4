"""Versions on their way into a cluster: how far each is, since when, and how the last ones ended."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric
from sqlalchemy import Connection, func, select

from pilotage.console.metrics.families import gauge, seconds
from pilotage.pipelines import tables
from pilotage.pipelines.transitions.stages import OPEN

_LABELS = ("pilot", "environment", "stage")


def collect(connection: Connection) -> Iterator[Metric]:
    """By pilot, environment and stage."""
    table = tables.transitions
    keys = table.c.pilot, table.c.environment, table.c.stage
    query = select(
        *keys,
        func.count().label("number"),
        func.min(table.c.asked_at).label("asked"),
        func.max(table.c.ended_at).label("ended"),
    ).group_by(*keys)
    rows = {(row.pilot, row.environment, row.stage): row for row in connection.execute(query)}
    under_way = {key: row for key, row in rows.items() if key[2] in OPEN}
    yield gauge(
        "pilotage_releases",
        "Versions on their way into a cluster",
        _LABELS,
        {key: row.number for key, row in under_way.items()},
    )
    yield gauge(
        "pilotage_release_oldest_timestamp_seconds",
        "When the oldest of them was asked for",
        _LABELS,
        {key: seconds(row.asked) for key, row in under_way.items()},
    )
    yield gauge(
        "pilotage_release_last_end_timestamp_seconds",
        "When the last release ended that ended so",
        _LABELS,
        {
            key: seconds(row.ended)
            for key, row in rows.items()
            if key not in under_way and row.ended is not None
        },
    )
