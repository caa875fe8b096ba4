"""Listening, and taking connections in even shares."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pilotage.core import errors
from pilotage.serving import listeners
from pilotage.serving.listeners import Acceptor, Board, Connections


class Greeter(asyncio.Protocol):
    """Says who it is and stays."""

    def __init__(self, name: bytes, connections: Connections) -> None:
        self._name = name
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._connections.add(self)
        transport.write(self._name)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)


def acceptor(listener: socket.socket, name: bytes, board: Board | None = None, place: int = 0) -> Acceptor:
    def made() -> Greeter:
        return Greeter(name, connections)

    found = Acceptor(listener, made, board=board, place=place)
    connections = Connections(found.opened)
    return found


async def clients(listener: socket.socket, count: int) -> list[tuple[bytes, asyncio.StreamWriter]]:
    """Open connections, with what each was greeted by."""
    found = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        found.append((await asyncio.wait_for(reader.readexactly(1), 5), writer))
    return found


def test_connections_go_to_whoever_has_fewer_and_come_back_when_others_close(tmp_path: Path) -> None:
    async def story() -> None:
        board = Board(tmp_path / "board", 3)
        with listeners.listening("127.0.0.1", 0) as listener:
            twin = listener.dup()
            twin.setblocking(False)
            both = [acceptor(listener, b"a", board, 0), acceptor(twin, b"b", board, 1)]
            for one in both:
                one.start()
            first = await clients(listener, 20)
            assert [name for name, _ in first].count(b"a") == 10
            for name, writer in first:
                if name == b"a":
                    writer.close()
            await asyncio.sleep(0.05)
            second = await clients(listener, 10)
            assert {name for name, _ in second} == {b"a"}
            await both[0].stop()
            third = await clients(twin, 3)
            assert {name for name, _ in third} == {b"b"}
            await both[1].stop()
            for _, writer in first + second + third:
                writer.close()
            await asyncio.sleep(0.05)

    asyncio.run(story())


def test_a_process_that_hangs_with_few_connections_delays_others_but_does_not_stop_them(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        board = Board(tmp_path / "board", 2)
        board.note(1, 0)  # has none, and takes none
        with listeners.listening("127.0.0.1", 0) as listener:
            one = acceptor(listener, b"a", board, 0)
            one.start()
            found = await clients(listener, 10)
            assert [name for name, _ in found] == [b"a"] * 10
            await one.stop()
            for _, writer in found:
                writer.close()
            await asyncio.sleep(0.05)

    asyncio.run(story())


def test_what_waits_in_the_backlog_is_taken_before_the_end() -> None:
    async def story() -> None:
        with listeners.listening("127.0.0.1", 0) as listener:
            one = acceptor(listener, b"a")
            waiting = [socket.create_connection(listener.getsockname()) for _ in range(5)]
            await one.stop()
            for connection in waiting:
                with connection:
                    connection.settimeout(0)
                    assert connection.recv(1) == b"a"
            await asyncio.sleep(0.05)

    asyncio.run(story())


class Scarce(socket.socket):
    """A listener whose system has no descriptors left for a while."""

    left = 2

    def accept(self) -> tuple[socket.socket, object]:
        if self.left:
            self.left -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


def test_accepting_goes_on_when_descriptors_are_there_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listeners, "_SCARCE_SECONDS", 0.02)

    async def story() -> None:
        with Scarce() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.setblocking(False)
            one = acceptor(listener, b"a")
            one.start()
            ((name, writer),) = await clients(listener, 1)
            assert name == b"a"
            writer.close()
            await one.stop()
            await asyncio.sleep(0.05)

    asyncio.run(story())
    assert "Too many open files" in caplog.text


@pytest.mark.parametrize("claim", [listeners.listening, listeners.reserved])
def test_a_port_that_is_taken_is_said_in_words(claim: Callable[..., AbstractContextManager[object]]) -> None:
    with listeners.listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(errors.SettingsError, match=f"127.0.0.1 port {port}: Address already in use"),
            claim("127.0.0.1", port),
        ):
            pass


def test_a_reserved_port_is_shared_by_those_who_ask_to_share() -> None:
    with listeners.reserved("127.0.0.1", 0) as port:
        for _ in range(2):
            with socket.socket() as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                one.bind(("127.0.0.1", port))


@pytest.mark.parametrize(("host", "port"), [("no such host", 0), ("192.0.2.1", 0)])
def test_an_address_that_cannot_be_is_refused(host: str, port: int) -> None:
    with (
        pytest.raises(errors.SettingsError, match=f"Cannot listen on {host} port {port}"),
        listeners.listening(host, port),
    ):
        pass


def test_urls_have_brackets_around_ipv6() -> None:
    assert listeners.address("::1", 80) == "[::1]:80"
    assert listeners.address("127.0.0.1", 80) == "127.0.0.1:80"
