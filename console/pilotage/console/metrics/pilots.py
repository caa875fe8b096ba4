"""The pilots themselves: what pilot.yaml asks of them, and which version was decided to be champion."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import Metric
from pydantic import ValidationError
from sqlalchemy import Connection, and_, func, select

from pilotage.console.metrics.families import gauge, seconds, single
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.retraining import budgets

logger = logging.getLogger(__name__)

_MAKE_CHAMPION = ("promote", "approve", "promoted", "rollback")
"""What the audit calls decisions that made a version champion."""


def collect(connection: Connection) -> Iterator[Metric]:
    """Objectives and champions, by pilot."""
    found = specs(connection)
    yield single("pilotage_pilots", "Pilots that the installation knows", len(found))
    yield gauge(
        "pilotage_window_length_seconds",
        "How long a window of the monitor is",
        ("pilot",),
        {(name,): spec.monitor.window.total_seconds() for name, spec in found.items()},
    )
    yield gauge(
        "pilotage_goal",
        "Target of the goal's metric; greater is better",
        ("pilot", "metric"),
        {
            (name, spec.goal.metric): spec.goal.target
            for name, spec in found.items()
            if spec.goal.target is not None
        },
    )
    yield from _champions(connection, list(found))
    yield _budgets(connection, list(found))


def _budgets(connection: Connection, names: Sequence[str]) -> Metric:
    """Pilots whose retrainings wait for the next month; from what was told: no scrape adds up costs."""
    table, (begin, _) = tables.outbox, budgets.month_of(tables.now())
    query = select(table.c.pilot).where(table.c.type == Kind.BUDGET_SPENT, table.c.at >= begin)
    spent = set(connection.scalars(query))
    return gauge(
        "pilotage_budget_spent",
        "Whether what the pilot may use in this month was found to be used up",
        ("pilot",),
        {(name,): float(name in spent) for name in names},
    )


def specs(connection: Connection) -> Mapping[str, PilotSpec]:
    """What pilot.yaml said when it was last read, by pilot; one of a later version is left out."""
    found = {}
    for row in connection.execute(select(tables.pilots.c.name, tables.pilots.c.spec)):
        try:
            found[row.name] = PilotSpec.model_validate(row.spec)
        except ValidationError as error:
            logger.debug("%s has no metrics, for its pilot.yaml is not understood: %s", row.name, error)
    return found


def _champions(connection: Connection, names: Sequence[str]) -> Iterator[Metric]:
    """From the audit, whose last decision counts: the registry may be far away, and scrapes must not wait."""
    table = tables.audit
    last = (
        select(func.max(table.c.id).label("id"))
        .where(table.c.action.in_(_MAKE_CHAMPION), table.c.pilot.is_not(None), table.c.version.is_not(None))
        .group_by(table.c.pilot)
        .subquery()
    )
    query = select(table.c.pilot, table.c.version, table.c.at).join(last, and_(table.c.id == last.c.id))
    known = set(names)
    rows = [row for row in connection.execute(query) if row.pilot in known]
    yield gauge(
        "pilotage_champion_version",
        "Version that was decided to be champion last",
        ("pilot",),
        {(row.pilot,): row.version for row in rows},
    )
    yield gauge(
        "pilotage_champion_since_timestamp_seconds",
        "When that was decided",
        ("pilot",),
        {(row.pilot,): seconds(row.at) for row in rows},
    )
