"""The reconciler: walks every open transition, a hop at a time, in a thread of the leader's process.

It has a thread of its own, for git and an API server may take a minute to answer
and the leader's lease is renewed every few seconds. What cannot be done now is
noted and tried again; one transition's trouble holds up none of another pilot.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from pilotage.core import errors
from pilotage.core.registry import Registry
from pilotage.core.settings import ClusterAccess, Settings
from pilotage.pipelines import tables
from pilotage.pipelines.clusters.workloads import Workload
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.machines import leases
from pilotage.pipelines.machines.leases import Lease
from pilotage.pipelines.transitions import discoveries, hops, rows
from pilotage.pipelines.transitions.gits import Git, Repository
from pilotage.pipelines.transitions.looks import Watcher
from pilotage.pipelines.transitions.stages import OPEN, Transition, transition

if TYPE_CHECKING:
    from pilotage.pipelines.clusters.connections import Cluster

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0
_DISCOVER_SECONDS = 10.0
_JOIN_SECONDS = 5.0
"""How long the end waits for a hop that is under way; it is a daemon's, and may be cut off anywhere."""


class ClusterWatcher:
    """The cluster that the settings name, reached on first use: that loads the client of Kubernetes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster: Cluster | None = None

    @property
    def watches(self) -> bool:
        """Whether there is one."""
        return self._settings.cluster is not ClusterAccess.NONE

    def read(self, pilot: str) -> Workload | None:
        """What it runs of a pilot."""
        from pilotage.pipelines.clusters import connections, readings

        self._cluster = self._cluster or connections.connect(self._settings)
        return None if self._cluster is None else readings.read(self._cluster, pilot)


class Reconciler:
    """Carries transitions on while its process leads."""

    def __init__(
        self,
        settings: Settings,
        lease: Callable[[], Lease | None],
        *,
        git: Git | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        """Nothing is done yet.

        Args:
            settings: the installation.
            lease: gives the leader's lease; None while another process leads.
            git: where releases are written; what the settings name when left out.
            watcher: where the cluster is seen; what the settings name when left out.
        """
        self._settings = settings
        self._engine: Engine = tables.connect(settings)
        self._lease = lease
        self._means = hops.Means(
            settings,
            self._engine,
            Registry(settings),
            git or Repository(settings),
            watcher or ClusterWatcher(settings),
            None,
        )
        self._discovered = -_DISCOVER_SECONDS

    def tick(self) -> None:
        """Make each hop that is due; nothing while another process leads."""
        lease = self._lease()
        if lease is None:
            return
        self._means.lease = lease
        try:
            self._discover(lease)
            for item in self._due():
                if not self._advance(item):
                    return
        except errors.LeaseLost as error:
            logger.warning("%s", error)

    def _discover(self, lease: Lease) -> None:
        if time.monotonic() - self._discovered < _DISCOVER_SECONDS:
            return
        try:
            environment = self._settings.release_environment
            discoveries.discover(self._engine, self._means.registry, environment, promotions.PLATFORM, lease)
        except errors.LeaseLost:
            raise
        except Exception as error:  # MLflow's trouble must not hold up what is on its way
            logger.warning("which versions are to be released cannot be seen now: %s", error)
        self._discovered = time.monotonic()

    def _due(self) -> list[Transition]:
        """Open transitions whose time has come, the oldest wish first.

        Those to an environment that the settings named before stay as they are: commits would go to the
        one that they name now.
        """
        table, environment = tables.transitions, self._settings.release_environment
        query = select(table).where(
            table.c.stage.in_(OPEN), table.c.next_at <= tables.now(), table.c.environment == environment
        )
        with tables.reading(self._engine) as connection:
            found = connection.execute(query.order_by(table.c.asked_at, table.c.id))
            return [transition(row) for row in found]

    def _advance(self, item: Transition) -> bool:
        """Make one hop; False when another process leads by now."""
        try:
            hops.advance(self._means, item)
        except errors.LeaseLost:
            raise
        except Exception as error:
            level = logging.INFO if item.trouble else logging.WARNING
            logger.log(level, "%s version %d stays %s: %s", item.pilot, item.version, item.stage, error)
            with self._engine.begin() as connection:
                leases.require(connection, self._means.lease)
                rows.fail(connection, item, error)
        return self._lease() is not None

    def follow(self, stopped: Callable[[float], bool]) -> None:
        """Tick until `stopped(seconds)`, which waits, says so."""
        while not stopped(_EVERY_SECONDS):
            try:
                self.tick()
            except SQLAlchemyError as error:
                logger.warning("releases wait for the database: %s", error)
            except Exception:
                logger.exception("releases wait: what happened was not expected")


@contextmanager
def reconciling(settings: Settings, lease: Callable[[], Lease | None]) -> Iterator[None]:
    """Carry transitions on while the block runs, if releases go anywhere."""
    if not settings.release_to:
        yield
        return
    ended = threading.Event()
    reconciler = Reconciler(settings, lease)
    thread = threading.Thread(target=reconciler.follow, args=(ended.wait,), name="reconciler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_JOIN_SECONDS)
