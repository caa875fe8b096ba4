"""The scheduler: asks for what schedules say, starts what waits in line, buries what died, tells the world.

Any number of them may run against one database. Each looks after the runs of its
own machine; only the one that holds the lease fires schedules and starts runs.
Killing one touches no run: those are processes of their own.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pilotage.core import errors, pilots
from pilotage.core.settings import Settings
from pilotage.pipelines import tables, webhooks
from pilotage.pipelines.execution import executions
from pilotage.pipelines.journals import catalogues
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.machines import leases, processes
from pilotage.pipelines.machines.leases import Lease
from pilotage.pipelines.queue import dispatches
from pilotage.pipelines.retraining import schedules, triggers
from pilotage.pipelines.transitions import reconcilers

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
_SYNC_SECONDS = 10.0
_BURY_SECONDS = 5.0
_TRIGGERS_SECONDS = 5.0
_RECURRENCES_SECONDS = 60.0
_READINESS_SECONDS, _START_SECONDS = 600.0, 30.0
"""How often pilots are judged, and how long after the start first: there is more urgent work."""
_JOIN_SECONDS = 5.0
_DELETIONS_SECONDS = 3600.0
_BY = "pilotage"


class Scheduler:
    """One process that leads if it can."""

    def __init__(self, settings: Settings, *, ttl_seconds: float = leases.TTL_SECONDS) -> None:
        self._settings = settings
        self._engine: Engine = tables.connect(settings)
        self._ttl_seconds = ttl_seconds
        own = processes.current()
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{own.started:.2f}"
        self._lease: Lease | None = None
        self._due = {"readiness": time.monotonic() + _START_SECONDS}
        self._launched: list[subprocess.Popen[Any]] = []
        self._read: dict[str, float] = {}
        self._clock: threading.Thread | None = None
        self._deleter: threading.Thread | None = None
        self._judge: threading.Thread | None = None

    @property
    def lease(self) -> Lease | None:
        """The leader's lease, if it held it when it last looked."""
        return self._lease

    @property
    def leads(self) -> bool:
        """Whether it held the lease when it last looked."""
        return self._lease is not None

    def tick(self) -> None:
        """Do once what is due.

        Raises:
            Unavailable: the database does not answer; the next tick catches up.
        """
        self._reap()
        try:
            if self._is_due("lease", self._ttl_seconds / 3):
                self._renew()
            if self._is_due("bury", _BURY_SECONDS):
                executions.bury_dead_runs(Records(self._engine), self._settings)
            if self._lease is not None:
                self._lead(self._lease)
        except errors.LeaseLost as error:
            logger.warning("%s", error)
            self._lease = None
        except SQLAlchemyError as error:
            self._due.pop("lease", None)
            raise errors.Unavailable(
                f"The database does not answer: {error}.", remedy="Check that it runs."
            ) from error

    def resign(self) -> None:
        """Give the lease back."""
        self._step_back()
        self._reap()
        for thread in (self._clock, self._deleter, self._judge):
            if thread is not None:
                thread.join(_JOIN_SECONDS)
        self._engine.dispose()

    def _require_current(self) -> None:
        """Lead nothing once another version has migrated the database: this one does not know its rows."""
        try:
            tables.require_current(self._engine)
        except errors.PilotageError as error:
            if isinstance(error.__cause__, SQLAlchemyError):
                raise error.__cause__ from None  # it does not answer, and may be as it was when it does again
            self._step_back()
            raise errors.Unavailable(
                f"This process leads nothing: {error.message}", remedy=error.remedy
            ) from error

    def _step_back(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            with suppress(SQLAlchemyError):  # it ends by itself
                leases.release(self._engine, lease)

    def _reap(self) -> None:
        """Let processes that ended go; they are this one's children while it lives."""
        self._launched = [process for process in self._launched if process.poll() is None]

    def _renew(self) -> None:
        self._require_current()
        before = self._lease
        self._lease = leases.acquire(self._engine, leases.LEADER, self._holder, self._ttl_seconds)
        if self._lease is not None and before != self._lease:
            logger.info("this scheduler leads, in term %d", self._lease.term)
            self._due.pop("sync", None)

    def _lead(self, lease: Lease) -> None:
        if self._is_due("sync", _SYNC_SECONDS):
            self._read_pilots()
            schedules.sync(self._engine, lease)
        written = not self._settings.kubeflow_schedules
        schedules.fire(self._engine, lease, written=written, settings=self._settings)
        every = _RECURRENCES_SECONDS if self._settings.kubeflow_schedules else math.inf
        if self._settings.kubeflow_url and self._is_due("recurrences", every):
            self._keep_clock(lease)
        if self._is_due("readiness", _READINESS_SECONDS):
            self._judge_readiness(lease)
        if self._is_due("triggers", _TRIGGERS_SECONDS):
            self._ask_for_retrainings(lease)
        if self._is_due("deletions", _DELETIONS_SECONDS):
            self._delete()
        self._launched += dispatches.dispatch(self._engine, self._settings, lease)

    def _ask_for_retrainings(self, lease: Lease) -> None:
        """Answer triggers that monitors elsewhere opened; those with this database dispatch their own."""
        for pilot in triggers.told_elsewhere(self._engine):
            try:
                triggers.ask(self._settings, pilot, lease)
            except errors.LeaseLost:
                raise
            except errors.PilotageError as error:
                logger.warning("the retraining of %s waits: %s", pilot, error)

    def _delete(self) -> None:
        """Delete what pilots keep no longer, and finish erasures, in a thread of its own: rows are read."""
        if self._deleter is not None and self._deleter.is_alive():
            return

        def work() -> None:
            from pilotage.pipelines.deletions import erasures, retentions

            try:
                erasures.resume(self._engine, self._settings)
                retentions.purge(self._engine, self._settings, who=_BY)
            except (errors.PilotageError, SQLAlchemyError, OSError) as error:
                logger.warning("data is deleted later: %s", error)

        self._deleter = threading.Thread(target=work, name="deletions", daemon=True)
        self._deleter.start()

    def _judge_readiness(self, lease: Lease) -> None:
        """See how ready pilots are, apart from what the leader does: there may be hundreds."""
        if self._judge is not None and self._judge.is_alive():
            return

        def judge() -> None:
            from pilotage.pipelines.readiness import histories, holds

            try:
                histories.keep(self._engine, self._settings, lease)
                holds.catch_up(self._settings, self._engine)
            except (errors.PilotageError, SQLAlchemyError) as error:
                logger.warning("how ready pilots are is seen to later: %s", error)

        self._judge = threading.Thread(target=judge, name="readiness", daemon=True)
        self._judge.start()

    def _keep_clock(self, lease: Lease) -> None:
        """See to Kubeflow's recurring runs, apart from what the leader does: its API may be slow."""
        if self._clock is not None and self._clock.is_alive():
            return

        def sync() -> None:
            from pilotage.pipelines.kubeflow import recurrences

            try:
                recurrences.sync(self._engine, self._settings, lease)
            except (errors.PilotageError, SQLAlchemyError) as error:
                logger.warning("Kubeflow's recurring runs are seen to later: %s", error)

        self._clock = threading.Thread(target=sync, name="recurrences", daemon=True)
        self._clock.start()

    def _read_pilots(self) -> None:
        """Read each pilot.yaml that changed since it was last read."""
        with tables.reading(self._engine) as connection:
            known = catalogues.entries(connection)
        for entry in known:
            try:
                changed = (entry.folder / pilots.FILE_NAME).stat().st_mtime
            except OSError:
                continue  # it is on another machine
            if self._read.get(entry.name) == changed:
                continue
            self._read_pilot(entry)
            self._read[entry.name] = changed

    def _read_pilot(self, entry: catalogues.Entry) -> None:
        try:
            found = pilots.load(entry.folder)
        except errors.PilotageError as error:
            logger.warning("%s stays as it was: %s", entry.name, error)
            return
        if found.name == entry.name:
            with self._engine.begin() as connection:
                catalogues.put(connection, found.spec, found.folder)

    def _is_due(self, what: str, every_seconds: float) -> bool:
        clock = time.monotonic()
        if clock < self._due.get(what, 0.0):
            return False
        self._due[what] = clock + every_seconds
        return True


def follow(settings: Settings, stopped: Callable[[float], bool]) -> None:
    """Schedule until `stopped(seconds)`, which waits, says so.

    Raises:
        SettingsError: the database or the file of webhooks cannot be used.
    """
    scheduler = Scheduler(settings)
    try:
        with webhooks.delivering(settings), reconcilers.reconciling(settings, lambda: scheduler.lease):
            while True:
                try:
                    scheduler.tick()
                except errors.Failure as error:
                    logger.warning("the scheduler goes on: %s", error)
                if stopped(EVERY_SECONDS):
                    return
    finally:
        scheduler.resign()
