"""Windows summed by day, so that a year of many pilots is read at once.

Sums add up: what days say together is what their windows say together. Windows of other
prices or another metric than pilot.yaml says now are no part of the money and the metric.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables

Z95 = 1.959963984540054
"""Standard errors in half of a 95 % interval."""
_DAY = timedelta(days=1)


def day_of(moment: datetime) -> datetime:
    """The beginning of the day, in UTC, that `moment` is in."""
    return datetime.combine(moment.astimezone(UTC).date(), time(), UTC)


def sum_up(connection: Connection, spec: PilotSpec, moments: Iterable[datetime]) -> None:
    """Write the sums of the days that `moments` are in anew, in the caller's transaction."""
    wanted = {day_of(moment) for moment in moments}
    if not wanted:
        return
    windows, days = tables.windows, tables.days
    found: dict[datetime, list[Row[Any]]] = defaultdict(list)
    columns = [column for column in windows.c if column.name not in ("features", "score", "report")]
    query = select(*columns).where(
        windows.c.pilot == spec.pilot, windows.c.start >= min(wanted), windows.c.start < max(wanted) + _DAY
    )
    for row in connection.execute(query):
        found[day_of(row.start)].append(row)
    connection.execute(
        delete(days).where(days.c.pilot == spec.pilot, days.c.day >= min(wanted), days.c.day <= max(wanted))
    )
    if found:
        connection.execute(insert(days), [_sum(spec, day, rows) for day, rows in found.items()])


def _sum(spec: PilotSpec, day: datetime, rows: Sequence[Row[Any]]) -> dict[str, Any]:
    measured = [row for row in rows if row.metric == spec.performance_metric]
    value = spec.goal.value
    priced = [row for row in rows if value and row.currency == value.currency]
    return {
        "pilot": spec.pilot,
        "day": day,
        "windows": len(rows),
        "rows": sum(row.rows for row in rows),
        "requests": sum(row.requests for row in rows),
        "errors": sum(row.errors for row in rows),
        "drifted": sum(row.drifted > 0 for row in rows),
        "metric": spec.performance_metric,
        **_mean([row._mapping for row in measured], "realized", "labelled"),
        **_mean([row._mapping for row in measured], "estimated", "rows"),
        "currency": value.currency if value else None,
        "labelled": sum(row.labelled for row in priced),
        "value": math.fsum(row.value for row in priced),
        "baseline": math.fsum(row.baseline for row in priced),
        "gain": math.fsum(row.gain for row in priced if row.gain is not None),
        "gain_variance": math.fsum(row.gain_error**2 for row in priced if row.gain is not None),
        "gain_rows": sum(row.rows for row in priced if row.gain is not None),
    }


def _mean(rows: Sequence[Mapping[Any, Any]], name: str, weight: str) -> dict[str, Any]:
    """The mean of a metric over windows, weighted, and its standard error from their intervals."""
    known = [row for row in rows if row[name] is not None and row[weight]]
    total = sum(row[weight] for row in known)
    if not total:
        return {name: None, f"{name}_error": None, f"{name}_rows": 0}
    errors = [_error(row[f"{name}_low"], row[f"{name}_high"]) for row in known]
    certain = [error for error in errors if error is not None]
    return {
        name: math.fsum(row[weight] * row[name] for row in known) / total,
        f"{name}_error": math.sqrt(
            math.fsum((row[weight] * error) ** 2 for row, error in zip(known, certain, strict=True))
        )
        / total
        if len(certain) == len(known)
        else None,
        f"{name}_rows": total,
    }


def _error(low: float | None, high: float | None) -> float | None:
    return None if low is None or high is None else (high - low) / (2 * Z95)
