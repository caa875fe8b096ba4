"""Running a model server as a process: its socket, its threads' environment, its orderly end."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from pilotage.core import errors
from pilotage.core.pilots import Pilot
from pilotage.core.settings import Settings
from pilotage.serving.limits import Limits
from pilotage.serving.web.apps import create_app

logger = logging.getLogger(__name__)

_BACKLOG = 2048


def run(
    pilot: Pilot,
    settings: Settings,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    on_ready: Callable[[str], None] | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve `pilot` until SIGTERM or SIGINT; then finish what is in progress, write all counts and return.

    Args:
        pilot: what to serve; its champion may come later.
        settings: of the installation.
        host: address to listen on.
        port: 0 stands for any that is free.
        on_ready: called with the URL once connections are accepted and the champion, if there is
            one, is loaded or took longer than `Limits.first_load_seconds`.
        limits: what the server takes on.

    Raises:
        SettingsError: the address cannot be listened on, or the storage cannot be opened.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    limits = limits or Limits()
    with _listening(host, port) as listener:
        url = _url(listener)
        config = uvicorn.Config(
            create_app(pilot, settings, limits=limits),
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=limits.drain_seconds,
        )
        with _orderly_end():
            _Server(config, lambda: _announce(pilot.name, url, on_ready)).run(sockets=[listener])
        logger.info("stopped serving %s", pilot.name)


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()


def _announce(name: str, url: str, on_ready: Callable[[str], None] | None) -> None:
    logger.info("serving %s at %s", name, url)
    if on_ready is not None:
        on_ready(url)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise _unusable(host, port, error) from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except (OSError, OverflowError) as error:
            raise _unusable(host, port, error) from error
        yield listener


def _unusable(host: str, port: int, error: Exception) -> errors.SettingsError:
    return errors.SettingsError(
        f"Cannot listen on {host} port {port}: {getattr(error, 'strerror', None) or error}.",
        remedy="Choose another port (0 for any that is free) or address.",
        host=host,
        port=port,
    )


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Return after SIGTERM or SIGINT: uvicorn raises the signal again when it is done, which would kill."""
    try:
        before = {
            number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
        }
    except ValueError:  # not the main thread, where signals do not arrive
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
