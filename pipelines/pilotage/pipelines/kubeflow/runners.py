"""One run of a pilot's training pipeline in Kubeflow, from its submission to its end.

What `local` is for this machine. A run that is interrupted here, because `pilotage
up` stops or its pod is moved, goes on there and is looked at by the next process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.pipelines.journals.events import Journal
from pilotage.pipelines.journals.stops import Reason, Stopped
from pilotage.pipelines.kubeflow import requirements, submissions
from pilotage.pipelines.kubeflow.clients import Client
from pilotage.pipelines.kubeflow.followers import Follower
from pilotage.pipelines.queue import remotes

logger = logging.getLogger(__name__)


class KubeflowRunner:
    """Runs pipelines in pods."""

    def __init__(self, settings: Settings, engine: Engine, journal: Journal) -> None:
        self._settings = settings
        self._engine = engine
        self._journal = journal
        self._client = Client(settings)
        self._storage = Storage(settings.storage)  # before a stop, which must not break its imports off

    def run(self, spec: PilotSpec, folder: Path, remote: Mapping[str, Any]) -> None:
        """Submit the run unless `remote` says that it was, and return when it has succeeded.

        Raises:
            PilotageError: what it failed with, or why it cannot be submitted.
            Stopped: it was told to stop, and has ended in Kubeflow unless it was only interrupted here.
            LeaseLost: another process looks at it.
        """
        follower: Follower | None = None
        try:
            if not remote.get("id"):
                requirements.require(self._settings, spec, folder)
            with self._looking() as still:
                submitted = submissions.submit(
                    self._client, self._engine, self._settings, self._journal.run, spec, folder, remote
                )
                follower = self._follower(submitted, still)
                follower.follow()
        except Stopped as stop:
            if stop.reason is Reason.INTERRUPTED:
                raise
            follower = follower or self._known(spec, remote)
            if follower is None or not follower.cancel():
                raise

    def _known(self, spec: PilotSpec, remote: Mapping[str, Any]) -> Follower | None:
        """Somebody who ends a run that was stopped while it was being submitted, if Kubeflow has it."""
        found = remote.get("id")
        try:
            if found is None:
                experiment = self._client.experiment(spec.pilot)
                name = submissions.name_of(spec.pilot, self._journal.run)
                found = submissions.find(self._client, experiment, name)
        except errors.PilotageError as error:
            logger.warning("whether Kubeflow has the run that was stopped is not known: %s", error)
        if found is None:
            return None
        return self._follower(str(found), lambda: None)

    def _follower(self, remote: str, still: Callable[[], None]) -> Follower:
        return Follower(self._client, self._settings, self._storage, self._journal, remote, still)

    @contextmanager
    def _looking(self) -> Iterator[Callable[[], None]]:
        """Say that this process looks at the run, while the block goes on.

        What it gives raises LeaseLost once another process does.
        """
        over, lost = threading.Event(), threading.Event()

        def tell() -> None:
            while not over.wait(remotes.EVERY_SECONDS):
                try:
                    if not remotes.look(self._engine, self._journal.run):
                        lost.set()
                        return
                except SQLAlchemyError as error:
                    logger.warning("that this process looks at the run cannot be said now: %s", error)

        def still() -> None:
            if lost.is_set():
                raise errors.LeaseLost(
                    f"Another process looks at run {self._journal.run} now.", remedy="Nothing is left to do."
                )

        thread = threading.Thread(target=tell, name="looking", daemon=True)
        thread.start()
        try:
            yield still
        finally:
            over.set()
            thread.join()
