"""One console of several, as a cluster runs it: pages, API and, where it leads, the scheduler, in one
process.

Nothing that people rely on is kept in the process: any replica answers any request, and the one that holds
the lease does what is to be done once. `pilotage up` is for one machine and starts more than this.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from pilotage.console import applications
from pilotage.console.access import doors
from pilotage.console.access.actors import at_this_machine
from pilotage.console.api.healths import Health
from pilotage.console.metrics import listeners
from pilotage.console.operations import pilots
from pilotage.console.operations.desks import Desk
from pilotage.console.supervision import ports, registers
from pilotage.console.supervision.registers import Entry
from pilotage.console.supervision.states import ServiceKind, ServiceState
from pilotage.core import errors
from pilotage.core.settings import Settings, is_loopback
from pilotage.pipelines import schedulers, tables
from pilotage.pipelines.machines import processes
from pilotage.pipelines.queue import dispatches

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 5
"""How long requests that are under way hold up a stop; live pages end at once."""
_DUTY_GRACE_SECONDS = 15.0
_RUN_GRACE_SECONDS = 20.0
_STALL_SECONDS = 300.0
"""A pass of the scheduler that takes longer never ends: a restart helps."""
_TELL_SECONDS = 10.0


class Duty(threading.Thread):
    """The scheduler beside the server, in a thread of its own; it tells others that the replica is there."""

    def __init__(self, settings: Settings, desk: Desk, url: str, failed: Callable[[], None]) -> None:
        super().__init__(name="duty", daemon=True)
        self._settings = settings
        self._desk = desk
        self._url = url
        self.service = f"console:{url.rpartition(':')[2]}"
        """Its name among the services of this machine."""
        self._failed = failed
        self._ending = threading.Event()
        self._passed = time.monotonic()
        self._told = 0.0
        self._since = tables.now()
        self.error: Exception | None = None
        """What ended it."""

    @property
    def works(self) -> bool:
        """Whether its last pass was not too long ago."""
        return self._ending.is_set() or time.monotonic() - self._passed < _STALL_SECONDS

    def run(self) -> None:
        """Schedule until it is told to end."""
        try:
            schedulers.follow(self._settings, self._rest)
        except Exception as error:
            self.error = error
            self._failed()

    def end(self) -> None:
        """Let it end after the pass that it is in, and give its lease back."""
        self._ending.set()

    def _rest(self, seconds: float) -> bool:
        self._passed = time.monotonic()
        if self._passed - self._told > _TELL_SECONDS:
            self._told = self._passed
            self._tell()
        return self._ending.wait(seconds)

    def _tell(self) -> None:
        pid = processes.current().pid
        entry = Entry(
            self.service, ServiceKind.CONSOLE, None, ServiceState.RUNNING, self._url, pid, 0, self._since, ""
        )
        try:
            registers.write(self._desk.engine, [entry])
            registers.forget(self._desk.engine)
        except SQLAlchemyError as error:
            logger.warning("that this console runs cannot be written now: %s", error)


class _Server(uvicorn.Server):
    """Drains: once told to stop it is not ready, a while later it takes nothing more, then it ends."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds
        self._on_stop = on_stop
        self._stopping = False
        self.on_ready: Callable[[], None] = lambda: None

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._stopping or not self._drain_seconds:
            self._end()
            super().handle_exit(sig, frame)
            return
        self._stopping = True
        self.config.app.state.health.draining = True  # type: ignore[union-attr]
        timer = threading.Timer(self._drain_seconds, lambda: signal.raise_signal(sig))
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        self._stopping = True
        self._on_stop()


def run(
    settings: Settings,
    folders: Sequence[Path],
    host: str,
    port: int,
    on_ready: Callable[[dict[str, Any]], None],
) -> None:
    """Answer and, where it leads, schedule until SIGINT or SIGTERM; then drain, and give the lease back.

    Args:
        settings: the installation.
        folders: pilots to take in.
        host: address to listen on.
        port: its port.
        on_ready: given the address once it answers.

    Raises:
        SettingsError: the host is open to other machines and no address for people is set, or the database
            is of another version.
        Failure: the address cannot be listened on, or the scheduler ended by itself.
    """
    require_address(settings, host)
    desk = Desk(settings)
    for folder in folders:
        pilots.add_pilot(desk, at_this_machine(), folder)
    app = applications.create(desk, doors.authenticate)
    health: Health = app.state.health
    url = f"http://{ports.written(host)}:{port}"
    server = _Server(_config(app, settings, host, port), settings.drain_delay_seconds, lambda: stop())
    duty = Duty(settings, desk, url, failed=lambda: setattr(server, "should_exit", True))
    health.works = lambda: duty.works

    def stop() -> None:
        health.draining = True
        duty.end()
        app.state.streams.close()

    def ready() -> None:
        duty.start()
        on_ready({"console": url, "people": settings.console_url or url})

    server.on_ready = ready
    with listeners.serving(desk, app):
        try:
            server.run()
        finally:
            _finish(settings, desk, duty)
    if duty.error is not None:
        raise duty.error
    if not server.started:
        raise errors.Failure(f"{host}:{port} cannot be listened on.", remedy="Name another with `--port`.")


def require_address(settings: Settings, host: str) -> None:
    """Make sure that people who come from other machines are known by a name and over https.

    Nobody can come in without proof in any case: there are no users and no passwords to begin with.

    Raises:
        SettingsError: PILOTAGE_CONSOLE_URL is not set, and `host` can be reached from elsewhere.
    """
    if is_loopback(host) or settings.console_url:
        return
    raise errors.SettingsError(
        f"`{host}` can be reached from other machines, and PILOTAGE_CONSOLE_URL does not say at which"
        " address people do.",
        remedy="Set it to https://YOUR-CONSOLE, whose proxy or ingress speaks TLS; or listen on 127.0.0.1.",
    )


def _config(app: Any, settings: Settings, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _finish(settings: Settings, desk: Desk, duty: Duty) -> None:
    """End the scheduler, put runs of this machine back in line, and say that the replica is gone."""
    duty.end()
    if duty.is_alive():
        duty.join(_DUTY_GRACE_SECONDS)
    try:
        for run in dispatches.interrupt(desk.engine, settings, _RUN_GRACE_SECONDS):
            logger.info("run %s waits to be carried on", run)
        registers.remove(desk.engine, duty.service)
    except (errors.PilotageError, SQLAlchemyError) as error:
        logger.warning("this console could not clear up behind it: %s", error)
    desk.engine.dispose()
