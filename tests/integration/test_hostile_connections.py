"""Peers at HTTP's edges take no more than their share, and what follows on the connection is right."""

from __future__ import annotations

import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.integration.test_connections import BODY, Peer, head, predictions, serving
from tests.unit.serving import small_models

from pilotage.core import settings
from pilotage.core.registry import Registry
from pilotage.serving.limits import Limits
from pilotage.serving.services import Service
from pilotage.serving.web.connections import HEAD_BYTES, Connection

LIMITS = Limits(head_seconds=1.0, body_seconds=4.0, idle_seconds=1.0, write_seconds=1.5, linger_seconds=0.3)
CHUNKED = "Transfer-Encoding: chunked"
CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Service]]:
    folder = tmp_path_factory.mktemp("hostile")
    installation = settings.load(home=folder / "home", poll_seconds=0.1)
    small_models.register(installation, small_models.predictor())
    Registry(installation).promote(small_models.NAME, 1)
    with serving([small_models.pilot(folder / "pilot")], installation, LIMITS) as found:
        yield found


@pytest.fixture
def connect(served: tuple[int, Service]) -> Iterator[Callable[[], Peer]]:
    made: list[Peer] = []

    def begin() -> Peer:
        made.append(Peer(served[0]))
        return made[-1]

    yield begin
    for peer in made:
        peer.close()


def connections() -> list[Connection]:
    return [found for found in gc.get_objects() if isinstance(found, Connection)]


def test_a_body_that_comes_after_its_answer_leaves_the_connection_idle(connect: Callable[[], Peer]) -> None:
    peer = connect()
    peer.send(head("/nowhere"))
    assert peer.answer()[0] == 404
    peer.send(BODY, head(), BODY)
    status, _, body = peer.answer()
    assert (status, predictions(body)) == (200, 2)
    peer.send(head("/nowhere"))
    assert peer.answer()[0] == 404
    peer.send(BODY)
    assert peer.ended()


def test_a_stop_does_not_wait_for_who_was_answered_before_the_body_came(
    served: tuple[int, Service], tmp_path: Path
) -> None:
    patient = Limits(idle_seconds=60, linger_seconds=0.2)
    with serving([small_models.pilot(tmp_path / "pilot")], served[1].settings, patient, 600) as (port, _):
        peer = Peer(port)
        peer.send(head("/nowhere"))
        assert peer.answer()[0] == 404
        peer.send(BODY)
        time.sleep(0.1)  # and the stop that comes does not take ten minutes
    peer.close()


def test_trailers_are_no_headers(connect: Callable[[], Peer]) -> None:
    for path in ("/predict", "/predict?"):
        peer = connect()
        trailers = b"X-Request-Timeout-Ms: never\r\nX-Request-Id: trailer\r\n\r\n"
        peer.send(head(path, None, CHUNKED), CHUNK, b"0\r\n", trailers, head(), BODY)
        status, headers, body = peer.answer()
        assert (status, predictions(body)) == (200, 2)
        assert headers["x-request-id"] != "trailer"
        assert peer.answer()[0] == 200


@pytest.mark.parametrize("begin", [b"0\r\nX-Long: ", b"1;extension="], ids=["trailer", "extension"])
def test_trailers_without_end_are_refused(connect: Callable[[], Peer], begin: bytes) -> None:
    peer = connect()
    peer.send(head("/predict", None, CHUNKED), CHUNK, begin)
    for _ in range(3):
        time.sleep(0.05)
        peer.send(b"a" * (HEAD_BYTES // 2))
    assert peer.answer()[0] == 431
    assert peer.ended()


@pytest.mark.parametrize("apart", [False, True], ids=["at-once", "apart"])
@pytest.mark.parametrize("path", ["/predict", "/predict?"])
def test_an_offer_of_another_protocol_is_passed_over(
    connect: Callable[[], Peer], path: str, apart: bool
) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    peer = connect()
    for begin, body in (
        (head(path, len(BODY), *offer), BODY),
        (head(path, None, CHUNKED, *offer), CHUNK + b"0\r\n\r\n"),
    ):
        peer.send(begin)
        if apart:
            time.sleep(0.05)
        peer.send(body, head(), BODY)
        for _ in range(2):
            status, _, answer = peer.answer()
            assert (status, predictions(answer)) == (200, 2)


def test_what_looks_like_a_request_in_the_body_of_one_with_an_offer_is_none(
    connect: Callable[[], Peer],
) -> None:
    hidden = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    peer = connect()
    peer.send(head("/predict", len(hidden), "Connection: Upgrade", "Upgrade: x"))
    time.sleep(0.05)
    peer.send(hidden, head(), BODY)
    assert peer.answer()[0] == 400
    assert predictions(peer.answer()[2]) == 2


def test_an_idle_connection_holds_no_body(connect: Callable[[], Peer]) -> None:
    peer = connect()
    peer.send(head(length=len(BODY) + 3_000_000), BODY, b" " * 3_000_000)
    assert peer.answer()[0] == 200
    assert [
        len(found.cycle.body)
        for found in connections()
        if found.cycle is not None and not found.transport.is_closing()
    ] == [0]


def test_a_body_in_the_smallest_chunks_takes_no_more_memory_than_it_has(
    connect: Callable[[], Peer], served: tuple[int, Service]
) -> None:
    peer = connect()
    peer.send(head("/predict", None, CHUNKED), b"2\r\n  \r\n" * 50_000)
    deadline = time.monotonic() + 5
    while served[1].intake.held < 100_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (exchange,) = [found._exchange for found in connections() if found._exchange is not None]
    assert exchange.body.__sizeof__() < 150_000
    peer.send(CHUNK, b"0\r\n\r\n")
    assert predictions(peer.answer()[2]) == 2


def test_who_asks_ahead_is_read_no_faster_than_answered(served: tuple[int, Service]) -> None:
    """Requests that wait behind others are held by nobody's limit, so they must be few."""
    count = 600
    rows = json.dumps({"rows": small_models.rows(100)}).encode()
    with socket.create_connection(("127.0.0.1", served[0]), timeout=20) as client:
        client.sendall(head() + BODY)
        time.sleep(0.1)
        port = client.getsockname()[1]
        (connection,) = (found for found in connections() if found.client and found.client[1] == port)

        def ask() -> None:
            for number in range(count):
                client.sendall(head("/predict", len(rows), f"X-Request-Id: q-{number}") + rows)

        asking = threading.Thread(target=ask)
        asking.start()
        most = answered = 0
        with client.makefile("rb") as answers:
            while answered < count:
                line = answers.readline()
                assert line
                most = max(most, len(connection.pipeline))
                if line.startswith(b"x-request-id: q-"):
                    assert line == b"x-request-id: q-%d\r\n" % answered
                    answered += 1
        asking.join(10)
        assert most < 100, "a read takes 256 kB, which are about fifteen of these requests"


def test_who_does_not_read_answers_is_not_read_either(served: tuple[int, Service]) -> None:
    rows = json.dumps({"rows": small_models.rows(100)}).encode()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served[0]))
        client.settimeout(0.5)
        sent = 0
        with suppress(TimeoutError, ConnectionError):
            while sent < 4000:
                client.sendall(head(length=len(rows)) + rows)
                sent += 1
        assert sent < 4000
        waiting = [len(found.pipeline) for found in connections()]
        assert max(waiting, default=0) < 100
