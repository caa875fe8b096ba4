"""How ready pilots were over time: a row when points change, and one a day in any case.

The leader writes them, and whoever asks for a score at this machine.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, insert, select

from pilotage.core import errors
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues, states
from pilotage.pipelines.machines import leases
from pilotage.pipelines.machines.leases import Lease
from pilotage.pipelines.readiness import judgements
from pilotage.pipelines.readiness.rubrics import RULES, Section
from pilotage.pipelines.readiness.scores import Readiness

logger = logging.getLogger(__name__)

AT_LEAST = timedelta(days=1)


@dataclass(frozen=True)
class Entry:
    """How ready a pilot was."""

    id: str
    pilot: str
    at: datetime
    version: int | None
    score: float
    sections: dict[str, float]
    points: dict[str, float]
    """By test."""


def record(engine: Engine, found: Readiness, lease: Lease | None = None) -> bool:
    """Keep a score if it differs from the last one, or that is a day old; whether it was kept.

    Raises:
        LeaseLost: `lease` is not held any more.
    """
    points = {test.id: test.points for test in found.tests}
    row: dict[str, Any] = {
        "id": states.new_id(),
        "pilot": found.pilot,
        "at": found.at,
        "version": found.version,
        "score": found.score,
        "sections": {str(section.name): section.score for section in found.sections},
        "points": points,
    }
    table = tables.readiness_scores
    last = select(table).where(table.c.pilot == found.pilot).order_by(table.c.at.desc(), table.c.id.desc())
    with engine.begin() as connection:
        if lease is not None:
            leases.require(connection, lease)
        tables.lock(connection, f"readiness of {found.pilot}")
        held = connection.execute(last.limit(1)).first()
        same = held is not None and (held.points, held.version) == (points, found.version)
        if same and held is not None and found.at - held.at < AT_LEAST:
            return False
        connection.execute(insert(table), row)
    return True


def listed(engine: Engine, pilot: str, limit: int = 400) -> list[Entry]:
    """The latest scores, the oldest of them first."""
    table = tables.readiness_scores
    query = select(table).where(table.c.pilot == pilot).order_by(table.c.at.desc(), table.c.id.desc())
    with tables.reading(engine) as connection:
        rows = connection.execute(query.limit(limit)).all()
    return [_entry(row) for row in reversed(rows)]


def _entry(row: Row[Any]) -> Entry:
    """A row, with sections and tests in the paper's order: the database sorts them."""
    sections = {str(name): row.sections[name] for name in Section if name in row.sections}
    points = {rule.id: row.points[rule.id] for rule in RULES if rule.id in row.points}
    return Entry(**{**row._mapping, "sections": sections, "points": points})


def keep(engine: Engine, settings: Settings, lease: Lease) -> None:
    """Judge every pilot, and keep what is new.

    Raises:
        LeaseLost: another process leads.
    """
    registry = Registry(settings)
    with tables.reading(engine) as connection:
        names = [entry.name for entry in catalogues.entries(connection)]
    for name in names:
        try:
            record(engine, judgements.assess(settings, name, engine=engine, registry=registry), lease)
        except errors.LeaseLost:
            raise
        except errors.PilotageError as error:
            logger.warning("how ready %s is cannot be told now: %s", name, error)
