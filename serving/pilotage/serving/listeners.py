"""The listening sockets of a server, and how connections spread over the processes that share one.

All processes accept from one socket that their supervisor keeps open: a connection
that waits in its backlog outlives the process that would have taken it. Left to
themselves they would take very different shares, for whoever wakes first takes
all that wait; so each takes one connection at a time, and leaves it to others for a moment
while one of them has fewer, which a board in shared memory shows
(docs/adr/0015-processes.md). What is said on a connection is not known here.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import mmap
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pilotage.core import errors

logger = logging.getLogger(__name__)

BACKLOG = 2048
_YIELD_SECONDS = 0.001
"""How long a process leaves a connection to those that have fewer."""
_BEGIN_SECONDS = 1.0
"""How long a stop waits for connections that are agreeing on encryption."""
_SCARCE_SECONDS = 0.2
"""How long accepting pauses when the system has no descriptors or memory left."""
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ABSENT = 2**62
"""On the board: nobody is at this place."""


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens, inheritable by processes that are handed it; closed at the end.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = _resolve(host, port)
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise _unusable(host, port, error) from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except (OSError, OverflowError) as error:
            raise _unusable(host, port, error) from error
        listener.setblocking(False)
        yield listener


@contextmanager
def reserved(host: str, port: int) -> Iterator[int]:
    """A port that several processes may listen on by themselves, kept for them until the end.

    The socket that keeps it does not listen, so the system hands it no connections.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = _resolve(host, port)
        keeper = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise _unusable(host, port, error) from error
    with keeper:
        try:
            if port:
                _check_free(family, kind, protocol, address)
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            keeper.bind(address)
        except (OSError, OverflowError) as error:
            raise _unusable(host, port, error) from error
        yield keeper.getsockname()[1]


def _check_free(family: int, kind: int, protocol: int, address: tuple[str, int]) -> None:
    """Raise OSError when somebody listens there, also one who would share the port."""
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)


def address(host: str, port: int) -> str:
    """`host:port` as URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url(listener: socket.socket, scheme: str = "http") -> str:
    """Where `listener` is reached."""
    return f"{scheme}://{address(*listener.getsockname()[:2])}"


def _resolve(host: str, port: int) -> tuple[int, int, int, str, tuple[str, int]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return found  # type: ignore[return-value]


def _unusable(host: str, port: int, error: Exception) -> errors.SettingsError:
    return errors.SettingsError(
        f"Cannot listen on {host} port {port}: {getattr(error, 'strerror', None) or error}.",
        remedy="Choose another port (0 for any that is free) or address.",
        host=host,
        port=port,
    )


class Board:
    """How many connections each process has, in a file that all of them map.

    A place is written by the process that has it, and by the supervisor while nobody has it.
    """

    def __init__(self, file: Path, places: int) -> None:
        self.places = places
        if not file.exists():
            file.write_bytes(_ABSENT.to_bytes(8, "little") * places)
        with file.open("r+b") as stream:
            self._numbers = memoryview(mmap.mmap(stream.fileno(), 8 * places)).cast("q")

    def note(self, place: int, connections: int) -> None:
        """Say how many connections `place` has."""
        self._numbers[place] = connections

    def leave(self, place: int) -> None:
        """Say that nobody is at `place`, so that nothing is left to it."""
        self._numbers[place] = _ABSENT

    def least(self) -> int:
        """The fewest connections that a process has."""
        return min(self._numbers)


class Connections(set[object]):
    """The open connections of one process, which tells how many they are whenever that changes."""

    def __init__(self, on_change: Callable[[int], None]) -> None:
        super().__init__()
        self._on_change = on_change

    def add(self, item: object) -> None:
        super().add(item)
        self._on_change(len(self))

    def discard(self, item: object) -> None:
        super().discard(item)
        self._on_change(len(self))


class Acceptor:
    """Takes connections from a listening socket on the running event loop."""

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        board: Board | None = None,
        place: int = 0,
        tls: ssl.SSLContext | None = None,
        handshake_seconds: float = 10.0,
    ) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._board = board
        self._place = place
        self._tls = tls
        self._handshake = handshake_seconds if tls is not None else None
        self._loop = asyncio.get_running_loop()
        self._open = 0
        self._beginning: set[asyncio.Task[None]] = set()
        self._stopped = False

    def start(self) -> None:
        """Begin to take connections."""
        self._note()
        self._resume()

    async def stop(self) -> None:
        """Take what waits in the backlog, and then no more."""
        self._stopped = True
        self._loop.remove_reader(self._listener.fileno())
        if self._board is not None:
            self._board.leave(self._place)
        while self._take():
            pass
        self._listener.close()
        if self._beginning:
            await asyncio.wait(self._beginning, timeout=_BEGIN_SECONDS)

    def opened(self, connections: int) -> None:
        """Hear how many connections are open."""
        self._open = connections
        self._note()

    def _note(self) -> None:
        if self._board is not None and not self._stopped:
            self._board.note(self._place, self._open + len(self._beginning))

    def _resume(self) -> None:
        if not self._stopped:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _pause(self, seconds: float) -> None:
        if self._stopped:
            return
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(seconds, self._resume)

    def _accept(self) -> None:
        """Take one connection, or leave it for a moment to a process that has fewer."""
        if self._has_more_than_others():
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(_YIELD_SECONDS, self._take_what_is_left)
        else:
            self._take()

    def _take_what_is_left(self) -> None:
        if not self._stopped:
            self._resume()
            self._take()

    def _has_more_than_others(self) -> bool:
        return self._board is not None and self._open + len(self._beginning) > self._board.least()

    def _take(self) -> bool:
        """Take one connection; False when none waits."""
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _SCARCE:
                return True  # this connection ended before it was taken
            logger.warning("no connection can be taken: %s", os.strerror(error.errno))
            self._pause(_SCARCE_SECONDS)
            return False
        connection.setblocking(False)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._begin(connection))
        self._beginning.add(task)
        task.add_done_callback(self._began)
        self._note()
        return True

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make_protocol, connection, ssl=self._tls, ssl_handshake_timeout=self._handshake
            )
        except (OSError, ssl.SSLError) as error:
            logger.debug("a connection ended before it began: %s", error)
            connection.close()
        except BaseException:
            connection.close()
            raise

    def _began(self, task: asyncio.Task[None]) -> None:
        self._beginning.discard(task)
        self._note()
        if not task.cancelled() and task.exception() is not None:
            logger.error("a connection could not begin", exc_info=task.exception())
