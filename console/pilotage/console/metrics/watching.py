"""What the monitor found: the newest window of each pilot, its drift, performance and value, and alarms.

Whether something drifted is the monitor's verdict, with its control of false
alarms; alerts follow that, and the numbers here say how far it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from prometheus_client.core import Metric
from sqlalchemy import Connection, Row, and_, func, select

from pilotage.console.metrics.families import gauge, seconds
from pilotage.pipelines import tables
from pilotage.pipelines.retraining.observations import LIVING

MOST_FEATURES = 5
"""Of a pilot, those that drifted furthest; a pilot may have thousands."""
VALUE = timedelta(days=30)
_METRIC = timedelta(days=14)
_LONGEST_NAME = 100


def collect(connection: Connection) -> Iterator[Metric]:
    """All of it, by pilot."""
    newest = _newest(connection)
    yield from _windows(newest)
    yield from _drift(newest)
    yield from _alarms(connection)
    yield from _days(connection)


def _newest(connection: Connection) -> Mapping[str, Row[Any]]:
    """The newest window of each pilot, found by index however many there are; of its latest version."""
    table, names = tables.windows, tables.pilots
    all_ = table.alias("of_pilot")
    last = (
        select(func.max(all_.c.start)).where(all_.c.pilot == names.c.name).correlate(names).scalar_subquery()
    )
    query = (
        select(table)
        .join(names, and_(table.c.pilot == names.c.name, table.c.start == last))
        .order_by(table.c.pilot, table.c.version)
    )
    return {row.pilot: row for row in connection.execute(query)}


def _windows(newest: Mapping[str, Row[Any]]) -> Iterator[Metric]:
    told = (
        ("pilotage_window_version", "Version that the newest window is of", "version"),
        ("pilotage_window_rows", "Rows served in the newest window", "rows"),
        ("pilotage_window_requests", "Requests in the newest window", "requests"),
        ("pilotage_window_errors", "Requests in the newest window that failed", "errors"),
        ("pilotage_window_labelled_rows", "Rows of the newest window whose labels have come", "labelled"),
        ("pilotage_window_drifted_features", "Features that drifted in the newest window", "drifted"),
    )
    for name, text, column in told:
        values = {(pilot,): float(getattr(row, column)) for pilot, row in newest.items()}
        yield gauge(name, text, ("pilot",), values)
    yield gauge(
        "pilotage_window_end_timestamp_seconds",
        "When the newest window ended that the monitor has judged",
        ("pilot",),
        {(pilot,): seconds(row.end) for pilot, row in newest.items()},
    )
    yield gauge(
        "pilotage_window_judged_timestamp_seconds",
        "When the monitor judged it",
        ("pilot",),
        {(pilot,): seconds(row.updated_at) for pilot, row in newest.items()},
    )
    yield gauge(
        "pilotage_window_latency_p99_seconds",
        "99th percentile of the newest window's latency",
        ("pilot",),
        {
            (pilot,): row.latency_p99_ms / 1000
            for pilot, row in newest.items()
            if row.latency_p99_ms is not None
        },
    )


def _drift(newest: Mapping[str, Row[Any]]) -> Iterator[Metric]:
    effects = {pilot: _effects(row.features) for pilot, row in newest.items()}
    yield gauge(
        "pilotage_window_features",
        "Features that were compared with the reference",
        ("pilot",),
        {(pilot,): float(len(found)) for pilot, found in effects.items()},
    )
    yield gauge(
        "pilotage_window_largest_psi",
        "Population stability index of the feature that is furthest from the reference",
        ("pilot",),
        {(pilot,): found[0][1] for pilot, found in effects.items() if found},
    )
    yield gauge(
        "pilotage_window_score_psi",
        "Population stability index of the model's scores",
        ("pilot",),
        {(pilot,): float(row.score["effect"]) for pilot, row in newest.items() if row.score},
    )
    yield gauge(
        "pilotage_window_feature_psi",
        f"The same of features that drifted, at most {MOST_FEATURES} of a pilot",
        ("pilot", "feature"),
        {
            (pilot, feature[:_LONGEST_NAME]): effect
            for pilot, row in newest.items()
            for feature, effect in _drifted(row.features, effects[pilot])
        },
    )


def _effects(features: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Feature and effect, the largest first."""
    found = [(name, float(told["effect"])) for name, told in features.items()]
    return sorted(found, key=lambda item: -item[1])


def _drifted(features: Mapping[str, Any], effects: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(name, effect) for name, effect in effects if features[name].get("drifted")][:MOST_FEATURES]


def _alarms(connection: Connection) -> Iterator[Metric]:
    table = tables.alarms
    keys = table.c.pilot, table.c.cause, table.c.state
    query = select(*keys, func.count().label("number")).where(table.c.state.in_(LIVING)).group_by(*keys)
    yield gauge(
        "pilotage_alarms",
        "Alarms that are not over",
        ("pilot", "cause", "state"),
        {(row.pilot, row.cause, row.state): row.number for row in connection.execute(query)},
    )
    snoozes = tables.snoozes
    asleep = select(snoozes.c.pilot, snoozes.c.until).where(snoozes.c.until > tables.now())
    yield gauge(
        "pilotage_snooze_end_timestamp_seconds",
        "Until when no retraining starts, where somebody wants it so",
        ("pilot",),
        {(row.pilot,): seconds(row.until) for row in connection.execute(asleep)},
    )


def _days(connection: Connection) -> Iterator[Metric]:
    table, now = tables.days, tables.now()
    query = select(table).where(table.c.day >= now - VALUE).order_by(table.c.day)
    performance: dict[tuple[str, ...], float] = {}
    sums: dict[str, dict[tuple[str, ...], float]] = {"value": {}, "baseline": {}, "gain": {}}
    for row in connection.execute(query):
        if row.metric is not None and row.day >= now - _METRIC:
            for ground, value in (("labels", row.realized), ("estimate", row.estimated)):
                if value is not None:
                    performance[row.pilot, row.metric, ground] = value
        if row.currency is not None:
            for name, values in sums.items():
                label = row.pilot, row.currency
                values[label] = values.get(label, 0.0) + getattr(row, name)
    yield gauge(
        "pilotage_performance",
        "The metric on the newest day of the last 14 that has it, from labels and estimated without",
        ("pilot", "metric", "ground"),
        performance,
    )
    for name, text in (
        ("value", "What predictions whose labels came have brought in 30 days"),
        ("baseline", "What the baseline would have brought on the same rows"),
        ("gain", "What all predictions have brought in 30 days beyond the baseline, estimated"),
    ):
        yield gauge(f"pilotage_{name}_30d", text, ("pilot", "currency"), sums[name])
