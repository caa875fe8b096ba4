"""Clients that are slow, silent or gone: they keep nobody waiting, and are closed after their time."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from tests.unit.serving import small_models

from pilotage.core import settings
from pilotage.core.registry import Registry

pytestmark = pytest.mark.usefixtures("uncovered")

SCRIPT = """
import logging, sys
from pathlib import Path
from pilotage.core import pilots, settings
from pilotage.serving import limits, servers
logging.basicConfig(level=logging.INFO)
folder, url_file = sys.argv[1:]
servers.run(
    pilots.load(Path(folder)),
    settings.load(),
    port=0,
    on_ready=Path(url_file).write_text,
    limits=limits.Limits(head_seconds=1.5, body_seconds=2.0, write_seconds=1.5, connections=600),
)
"""
CLIENTS = 200
LONGEST_SECONDS = 60.0
"""Without limits they would be held for ever."""
ROWS = {"rows": small_models.rows(3)}
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that loses patience within seconds."""
    folder = tmp_path_factory.mktemp("slow")
    found = settings.load(home=folder / "home")
    small_models.register(found, small_models.predictor(seed=1))
    Registry(found).promote(small_models.NAME, 1)
    small_models.pilot(folder / "pilot")
    url_file, log = folder / "url", folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder / "pilot"), str(url_file)],
            env={**os.environ, "PILOTAGE_HOME": str(found.home)},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 60
    while not (url_file.exists() and url_file.read_text()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield url_file.read_text()
    process.terminate()
    assert process.wait(30) == 0
    written = log.read_text()
    assert "Traceback" not in written, written
    shutil.rmtree(folder)


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=LONGEST_SECONDS)


def nothing(connection: socket.socket) -> None:
    """Say nothing at all."""


def half_a_head(connection: socket.socket) -> None:
    connection.sendall(HEAD)


def half_a_body(connection: socket.socket) -> None:
    connection.sendall(HEAD + b'content-length: 1000\r\n\r\n{"rows": [')


def half_a_chunk(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n400\r\n{")


def half_a_body_elsewhere(connection: socket.socket) -> None:
    connection.sendall(HEAD.replace(b"/predict", b"/labels") + b"content-length: 1000\r\n\r\n{")


def unread_answers(connection: socket.socket) -> None:
    """Ask for the longest document over and over, with little room for the answers, and read none."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    try:
        for _ in range(400):
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
    except BlockingIOError:
        pass
    connection.settimeout(LONGEST_SECONDS + 10)


SLOW = [nothing, half_a_head, half_a_body, half_a_chunk, half_a_body_elsewhere]


def ended(connection: socket.socket) -> bytes:
    """What comes until the server closes; fails when it does not."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.mark.parametrize("behave", [pytest.param(one, id=one.__name__) for one in SLOW])
def test_many_slow_clients_hold_up_nobody_and_are_closed(
    url: str, behave: Callable[[socket.socket], None]
) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(url)) for _ in range(CLIENTS)]
        for connection in slow:
            behave(connection)
        begun = time.monotonic()
        with httpx.Client(base_url=url, timeout=30) as client:
            while time.monotonic() - begun < 1.0:
                assert client.post("/predict", json=ROWS).status_code == 200
        answers = [ended(connection) for connection in slow]
    for answer in answers:
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
        if answer:
            assert b"connection: close" in answer.partition(b"\r\n\r\n")[0].lower()


def test_clients_that_do_not_read_are_closed_and_hold_up_nobody(url: str) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(url)) for _ in range(5)]
        for connection in slow:
            unread_answers(connection)
        begun = time.monotonic()
        with httpx.Client(base_url=url, timeout=10) as client:
            while time.monotonic() - begun < 1.0:
                assert client.post("/predict", json=ROWS).status_code == 200

            def shed() -> bool:
                return "slow-reader" in client.get("/metrics").text

            while not shed():
                assert time.monotonic() - begun < LONGEST_SECONDS, client.get("/metrics").text
                time.sleep(0.1)


def test_a_body_that_comes_byte_by_byte_but_in_time_is_answered(url: str) -> None:
    body = json.dumps(ROWS).encode()
    with connect(url) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body))
        for position in range(0, len(body), len(body) // 20):
            connection.sendall(body[position : position + len(body) // 20])
            time.sleep(0.03)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_in_the_middle_disturbs_nobody(url: str) -> None:
    for behave in SLOW:
        for _ in range(50):
            with connect(url) as connection:
                behave(connection)
    assert httpx.post(f"{url}/predict", json=ROWS).status_code == 200


def test_a_head_that_grows_for_ever_is_cut_off(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(HEAD)
        try:
            for _ in range(200):
                connection.sendall(b"x-filler: " + b"x" * 1000 + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = ended(connection)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
