"""Keeps the services of one installation running until it is told to stop, then ends them in order.

All processes are started in the thread that calls `run`, for the kernel ends
them with it. Runs are not among them: they are put back in line on a stop in
order, and go on where the supervisor is killed.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from pilotage.console.supervision import plans, registers
from pilotage.console.supervision.services import Definition, Service
from pilotage.console.supervision.states import ServiceKind, ServiceState
from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.machines import environments
from pilotage.pipelines.queue import dispatches

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_PLAN_SECONDS = 3.0
_TELL_SECONDS = 5.0
_READY_SECONDS = 90.0
"""After which what is not ready is not waited for any longer."""
_RUN_GRACE_SECONDS = 20.0
_ORDER = (
    (ServiceKind.SCHEDULER, ServiceKind.MONITORS),
    (ServiceKind.SERVER, ServiceKind.CONSOLE),
    (ServiceKind.MLFLOW,),
)
"""Who ends together, before the next."""

OnReady = Callable[[Sequence[Service]], None]


class Supervisor:
    """The services of one installation."""

    def __init__(self, settings: Settings, definitions: Sequence[Definition]) -> None:
        self._settings = settings
        self._engine = tables.connect(settings)
        self._environment = {
            **os.environ,
            **environments.variables(settings),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        self._ports = registers.ports(self._engine)
        self._taken: set[int] = set()
        self._services: dict[str, Service] = {}
        self._planned = self._told = 0.0
        for definition in definitions:
            self._add(definition)

    @property
    def services(self) -> list[Service]:
        """All of them."""
        return list(self._services.values())

    def run(self, stopped: Callable[[float], bool], on_ready: OnReady) -> None:
        """Keep all running until `stopped(seconds)`, which waits, says so; then end them in order.

        Args:
            stopped: waits, and says whether to stop.
            on_ready: told once, when everything runs or was waited for long enough.
        """
        deadline, told = time.monotonic() + _READY_SECONDS, False
        try:
            self._plan()
            for service in self.services:
                service.start()
            while not stopped(_LOOK_SECONDS):
                self._plan()
                self._look()
                if not told and (self._is_ready() or time.monotonic() > deadline):
                    told = True
                    on_ready(self.services)
        finally:
            self._stop()

    def _add(self, definition: Definition) -> Service:
        asked = definition.kind is ServiceKind.CONSOLE  # its port is said anew each time
        port = None if asked else self._ports.get(definition.name)
        service = Service(definition, self._settings, self._environment, port, self._taken)
        self._services[definition.name] = service
        return service

    def _plan(self) -> None:
        """Add the model servers of pilots that have got their first champion."""
        if time.monotonic() - self._planned < _PLAN_SECONDS:
            return
        first, self._planned = not self._planned, time.monotonic()
        try:
            fresh = plans.servers(self._engine, self._settings, self._services.keys())
        except (errors.PilotageError, SQLAlchemyError) as error:
            logger.warning("which pilots have a champion cannot be seen now: %s", error)
            return
        for definition in fresh:
            service = self._add(definition)
            if not first:
                service.start_or_wait()

    def _look(self) -> None:
        changed = False
        for service in self.services:
            changed |= service.look()
        if changed or time.monotonic() - self._told > _TELL_SECONDS:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        try:
            registers.write(self._engine, [service.entry for service in self.services])
        except SQLAlchemyError as error:
            logger.warning("how services are cannot be written now: %s", error)

    def _is_ready(self) -> bool:
        """Whether all run, but for MLflow's server: it takes long, and nothing else waits for it."""
        return all(
            service.state is ServiceState.RUNNING
            for service in self.services
            if service.definition.kind is not ServiceKind.MLFLOW
        )

    def _stop(self) -> None:
        for kinds in _ORDER:
            ending = [service for service in self.services if service.definition.kind in kinds]
            for service in ending:
                service.terminate()
            began = time.monotonic()
            for service in ending:
                service.finish(began + service.definition.grace_seconds - time.monotonic())
            if ServiceKind.SCHEDULER in kinds:
                self._interrupt()
        self._tell()
        self._engine.dispose()

    def _interrupt(self) -> None:
        try:
            for run in dispatches.interrupt(self._engine, self._settings, _RUN_GRACE_SECONDS):
                logger.info("run %s waits to be carried on", run)
        except (errors.PilotageError, SQLAlchemyError) as error:
            logger.warning("runs could not be interrupted and go on: %s", error)
