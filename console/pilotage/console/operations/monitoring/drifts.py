"""Drift by feature and time, and what one feature looked like in one window beside the reference."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import select

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Model
from pilotage.console.operations.monitoring import monitors
from pilotage.console.operations.monitoring.monitors import Drifting, Window
from pilotage.core import errors
from pilotage.core.artifacts import DriftReport, FeatureDrift
from pilotage.core.storage import Storage
from pilotage.pipelines import tables

MOST_WINDOWS = 200
"""Of one matrix."""


class Of(StrEnum):
    """What a distribution is of."""

    FEATURE = "feature"
    SCORE = "score"
    """The probability of the positive class, the highest of all, or the predicted number."""
    PREDICTION = "prediction"
    """The predicted classes, where there are more than two."""


class Matrix(Model):
    """Drift of features over time."""

    pilot: str
    limit: float
    """Smallest effect that matters."""
    windows: tuple[Window, ...]
    """Oldest first."""
    features: tuple[str, ...]
    """Those that drifted most often and most, first."""
    cells: tuple[tuple[Drifting | None, ...], ...]
    """A row a feature, a column a window; null where the window has no such feature."""


class Distribution(Model):
    """A feature's values, or what the model said, in one window beside the reference."""

    pilot: str
    version: int
    start: datetime
    end: datetime
    of: Of
    feature: str
    kind: str
    """`number` or `category`."""
    labels: tuple[str, ...]
    """Names of the cells."""
    reference: tuple[float, ...]
    """Shares of the cells."""
    window: tuple[float, ...]
    drifting: Drifting
    distance: float
    """Kolmogorov-Smirnov distance for numbers, Cramér's V for categories."""
    p_value: float
    missing_rate: float
    reference_missing_rate: float
    unseen_rate: float
    reason: str


def get_matrix(
    desk: Desk,
    actor: Actor,
    pilot: str,
    *,
    version: int | None = None,
    until: datetime | None = None,
    windows: int = 60,
) -> Matrix:
    """Drift of features over the last `windows` windows, or those that begin before `until`.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    spec, table = specs.find(desk, actor, pilot), tables.windows
    query = select(table).where(table.c.pilot == pilot)
    if version is not None:
        query = query.where(table.c.version == version)
    if until is not None:
        query = query.where(table.c.start < until)
    query = query.order_by(table.c.start.desc(), table.c.version.desc()).limit(min(windows, MOST_WINDOWS))
    with tables.reading(desk.engine) as connection:
        rows = connection.execute(query).all()[::-1]
        told = monitors.told(connection, pilot, rows)
    found = [{name: Drifting(**drift) for name, drift in row.features.items()} for row in rows]
    features = _ranked(found)
    return Matrix(
        pilot=pilot,
        limit=spec.monitor.drift.min_effect,
        windows=told,
        features=tuple(features),
        cells=tuple(tuple(held.get(name) for held in found) for name in features),
    )


def get_distribution(
    desk: Desk,
    actor: Actor,
    pilot: str,
    version: int,
    start: datetime,
    *,
    of: Of = Of.FEATURE,
    feature: str = "",
) -> Distribution:
    """A feature in one window beside the reference, or what the model said.

    Raises:
        NotFound: the window, its report or the feature is not there, or not for this actor.
    """
    report = read_report(desk, actor, pilot, version, start)
    part = _part(report, of, feature)
    return Distribution(
        pilot=pilot,
        version=version,
        start=report.start,
        end=report.end,
        of=of,
        feature=part.feature,
        kind=part.kind,
        labels=part.labels,
        reference=part.reference,
        window=part.window,
        drifting=Drifting(
            effect=part.psi, drifted=part.drifted, persistent=part.persistent, importance=part.importance
        ),
        distance=part.distance,
        p_value=part.p_value,
        missing_rate=part.missing_rate,
        reference_missing_rate=part.reference_missing_rate,
        unseen_rate=part.unseen_rate,
        reason=part.reason,
    )


def read_report(desk: Desk, actor: Actor, pilot: str, version: int, start: datetime) -> DriftReport:
    """All that the monitor found of one window.

    Raises:
        NotFound: the window or its report is not there, or not for this actor.
    """
    actor.require(Permission.READ, pilot)
    with tables.reading(desk.engine) as connection:
        row = monitors.row_of(connection, pilot, version, start)
    data = Storage(desk.settings.storage).read(f"{row.report}/{DriftReport.FILE}")
    return DriftReport.model_validate_json(data)


def _part(report: DriftReport, of: Of, feature: str) -> FeatureDrift:
    parts = {
        Of.FEATURE: next((part for part in report.features if part.feature == feature), None),
        Of.SCORE: report.score,
        Of.PREDICTION: report.prediction,
    }
    found = parts[of]
    if found is None:
        what = f"feature `{feature[:80]}`" if of is Of.FEATURE else of
        raise errors.NotFound(
            f"The window that begins at {report.start.isoformat()} has no {what}.",
            remedy=f"Its features are {', '.join(part.feature for part in report.features[:20])}.",
        )
    return found


def _ranked(found: list[dict[str, Drifting]]) -> list[str]:
    """Features that drifted most often first, then those that differ most where it counts."""
    weights: dict[str, tuple[int, float]] = {}
    for held in found:
        for name, drift in held.items():
            times, most = weights.get(name, (0, 0.0))
            weights[name] = times + drift.drifted, max(most, drift.effect)
    return sorted(weights, key=lambda name: (*(-part for part in weights[name]), name))
