"""Runs that are carried out elsewhere, and the processes here that look at them.

Such a process may die, with its machine or its pod, while the run goes on. It says
from time to time that it looks; when it has not for a while, or is seen to be gone,
the run is put back in line, and the next process looks on where that one stopped.
What carries runs out, and how it is asked, is not known here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, select, update

from pilotage.pipelines import tables
from pilotage.pipelines.journals.records import ACTIVE
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import processes
from pilotage.pipelines.queue import requests

logger = logging.getLogger(__name__)

EVERY_SECONDS = 15.0
"""How often a process says that it looks."""
SILENT = timedelta(seconds=120)
"""After which a process is taken to be gone, wherever it was."""
_WHY = "its process was gone while it went on elsewhere"


def note(engine: Engine, run: str, **values: Any) -> Mapping[str, Any]:
    """Keep what is known of what carries the run out; all of it."""
    table = tables.runs
    with engine.begin() as connection:
        row = connection.execute(select(table.c.remote).where(table.c.id == run).with_for_update()).one()
        known: dict[str, Any] = {**(row.remote or {}), **values}
        connection.execute(update(table).where(table.c.id == run), {"remote": known})
    return known


def look(engine: Engine, run: str) -> bool:
    """Say that this process looks at the run; whether it is still the one that does."""
    table, own = tables.runs, processes.current()
    mine = (
        table.c.id == run,
        table.c.state == State.RUNNING,
        table.c.host == own.host,
        table.c.pid == own.pid,
    )
    with engine.begin() as connection:
        return bool(connection.execute(update(table).where(*mine).values(seen_at=tables.now())).rowcount)


def waiting(engine: Engine, pilot: str) -> str | None:
    """The run of a pilot that goes on elsewhere while no process looks at it."""
    table = tables.runs
    query = select(table.c.id, table.c.remote).where(table.c.pilot == pilot, table.c.state == State.PENDING)
    with tables.reading(engine) as connection:
        rows = connection.execute(query.order_by(table.c.asked_at)).all()
    return next((str(row.id) for row in rows if row.remote is not None), None)


def going(engine: Engine, pilot: str) -> str | None:
    """A run of a pilot that goes on elsewhere, looked at or not."""
    table = tables.runs
    query = select(table.c.id, table.c.remote).where(table.c.pilot == pilot, table.c.state.in_(ACTIVE))
    with tables.reading(engine) as connection:
        rows = connection.execute(query).all()
    return next((str(row.id) for row in rows if row.remote is not None), None)


def recover(engine: Engine) -> list[str]:
    """Put runs whose process is gone back in line; their ids."""
    table = tables.runs
    with tables.reading(engine) as connection:
        rows = connection.execute(select(table).where(table.c.state == State.RUNNING)).all()
    found = []
    for row in rows:
        if row.remote is None or row.pid is None:
            continue
        process = processes.Identity(host=row.host, boot=row.boot, pid=row.pid, started=row.process_started)
        silent = row.seen_at is None or tables.now() - row.seen_at > SILENT
        if (silent or not processes.alive(process)) and requests.requeue(engine, row.id, _WHY, process):
            logger.warning("run %s goes on elsewhere; its process %d is gone", row.id, process.pid)
            found.append(str(row.id))
    return found
