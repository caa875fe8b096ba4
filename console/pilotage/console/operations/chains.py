"""The audit's chain, verified bit by bit whenever somebody looks, so that no page waits for all of it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from sqlalchemy import Engine, select

from pilotage.console.operations.listings import Model
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

STEP = 1000
"""Records of one look."""
AGAIN = timedelta(minutes=10)
"""How old a look at the first record may be before it is begun again, all the others having been seen."""


class Chain(Model):
    """How far the audit was seen to be whole."""

    verified: int
    """The last line up to which nothing was changed, removed or moved."""
    digest: str
    """Its digest."""
    last: int
    """The last line that there is."""
    begun_at: datetime
    """When it was begun to look from the first line on."""
    problem: str | None
    """What is wrong with the line after it."""


class Watch:
    """How far the audit in one database was seen to be whole by this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._head = audits.START
        self._begun = tables.now()

    def look(self) -> Chain:
        """Go on from where the last look ended."""
        with self._lock:
            found = audits.verify(self._engine, after=self._head, most=STEP)
            self._head = found.head
            begun = self._begun
            if found.problem is None and found.complete and tables.now() - begun > AGAIN:
                self._head, self._begun = audits.START, tables.now()
        query = select(tables.audit.c.id).order_by(tables.audit.c.id.desc()).limit(1)
        with tables.reading(self._engine) as connection:
            last = connection.scalar(query) or 0
        return Chain(
            verified=found.head.id,
            digest=found.head.digest,
            last=last,
            begun_at=begun,
            problem=None if found.problem is None else found.problem.message,
        )
