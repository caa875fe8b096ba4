"""One moment of an installation for a scrape: bounded in time, and whole but for the parts that failed.

The database is asked at most once in `FRESH_SECONDS`, by one thread, however
many scrape: every replica of the console is, and often by two Prometheus. A
database that does not answer is a metric, not a failed scrape, and nothing old is told
then. The time that the database may take is bounded where it can be (PostgreSQL).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, exc, text

from pilotage.console.metrics import executions, pilots, platforms, releases, watching
from pilotage.console.metrics.families import counter, gauge, single
from pilotage.console.operations.desks import Desk
from pilotage.core import errors
from pilotage.pipelines import tables

logger = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
"""How old what is told may be."""
_PATIENCE_SECONDS = 8.0
"""How long a scrape waits for another's question to the database; Prometheus gives up after ten."""
_STATEMENT_MILLISECONDS = 5000

Part = Callable[[Connection], Iterable[Metric]]


class Installation(Collector):
    """What its database tells."""

    def __init__(self, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._clock = clock
        self._lock = threading.Lock()
        self._found: list[Metric] = []
        self._until = float("-inf")
        self._parts: dict[str, Part] = {
            "pilots": pilots.collect,
            "executions": executions.collect,
            "watching": watching.collect,
            "releases": releases.collect,
            "platform": lambda connection: platforms.collect(connection, desk.settings),
        }

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            return [_up(False), _build()]
        try:
            if self._clock() >= self._until:
                self._found = list(self._ask())
                self._until = self._clock() + FRESH_SECONDS
            return self._found
        finally:
            self._lock.release()

    def _ask(self) -> Iterator[Metric]:
        began = time.perf_counter()
        failed: dict[tuple[str, ...], float] = {}
        found: list[Metric] = []
        up = True
        for name, part in self._parts.items():
            try:
                found += self._read(part)
                failed[name,] = 0
            except (exc.DBAPIError, exc.TimeoutError, errors.PilotageError) as error:
                logger.warning("the database does not answer with metrics of %s: %s", name, error)
                failed[name,], up = 1, False
                break  # the others would wait as long
            except (exc.SQLAlchemyError, ValueError, LookupError, TypeError, AttributeError) as error:
                logger.warning("metrics of %s cannot be told: %s", name, error)
                failed[name,] = 1
        if up:
            found += self._audit()
        yield from found
        yield _up(up)
        yield _build()
        text_failed = "1 where a part of the metrics could not be read"
        yield gauge("pilotage_collection_failed", text_failed, ("part",), failed)
        took = time.perf_counter() - began
        yield single("pilotage_collection_seconds", "How long the database took to tell all this", took)

    def _read(self, part: Part) -> list[Metric]:
        with tables.reading(self._desk.engine) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL statement_timeout = {_STATEMENT_MILLISECONDS}"))
            return list(part(connection))

    def _audit(self) -> Iterator[Metric]:
        """How far the audit was seen to be whole; each look goes on for some records where the last ended."""
        try:
            chain = self._desk.watch.look()
        except (exc.SQLAlchemyError, errors.PilotageError) as error:
            logger.warning("the audit cannot be looked at: %s", error)
            return
        yield counter("pilotage_audit_records", "Records of the audit", (), {(): chain.last})
        yield single(
            "pilotage_audit_verified_records",
            "Record up to which this process has seen that none was changed, removed or moved",
            chain.verified,
        )
        yield single(
            "pilotage_audit_broken",
            "1 when a record of the audit was changed, removed or moved",
            chain.problem is not None,
        )


def _up(up: bool) -> Metric:
    return single("pilotage_database_up", "1 while the database answers", up)


def _build() -> Metric:
    version = metadata.version("pilotage")
    return gauge("pilotage_build_info", "The version of Pilotage", ("version",), {(version,): 1})
