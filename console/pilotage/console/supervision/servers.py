"""The servers that `pilotage up` starts beside model servers: the console itself, and MLflow's own."""

from __future__ import annotations

import http.client
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from pilotage.console import applications
from pilotage.console.access import doors
from pilotage.console.metrics import listeners
from pilotage.console.operations.desks import Desk
from pilotage.console.supervision import ports
from pilotage.console.supervision.children import dying_with_parent
from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.serving import addresses

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 3
"""How long open connections, such as live pages, hold up a stop."""
_LOOK_SECONDS = 0.25
_STOP_SECONDS = 8.0


class _Console(uvicorn.Server):
    """Tells when it takes requests, and ends live pages' streams when it is told to stop."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._on_stop()


def run_console(settings: Settings, host: str, port: int, ready_file: Path | None) -> None:
    """Serve API and pages until SIGINT or SIGTERM.

    Raises:
        Failure: the address cannot be listened on.
    """
    desk = Desk(settings)
    app = applications.create(desk, doors.authenticate)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    address = f"http://{ports.written(host)}:{port}"
    server = _Console(
        config, lambda: addresses.announce(ready_file, address), on_stop=app.state.streams.close
    )
    with listeners.serving(desk, app):
        server.run()
    if not server.started:
        raise errors.Failure(f"{host}:{port} cannot be listened on.", remedy="Name another with `--port`.")


def run_mlflow(
    settings: Settings, port: int, ready_file: Path | None, stopped: Callable[[float], bool]
) -> None:
    """Run MLflow's own server over this installation's store until `stopped(seconds)` says so.

    Raises:
        Failure: it ended by itself.
    """
    host = "127.0.0.1"
    store = ["--backend-store-uri", settings.tracking, "--artifacts-destination", str(settings.artifacts)]
    place = ["--host", host, "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(  # noqa: S603 - MLflow in our own interpreter
        [sys.executable, "-m", "mlflow", "server", *store, *place],
        stdin=subprocess.DEVNULL,
        preexec_fn=dying_with_parent(),
    )
    ready = False
    try:
        while not stopped(_LOOK_SECONDS):
            if process.poll() is not None:
                raise errors.Failure(f"MLflow's server ended with exit code {process.returncode}.")
            if not ready and _answers(host, port):
                ready = True
                addresses.announce(ready_file, f"http://{host}:{port}")
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
