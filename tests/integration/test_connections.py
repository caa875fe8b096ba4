"""The short way of predictions over raw sockets: HTTP's corners, hostile peers, and several pilots."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.unit.serving import small_models

from pilotage.core import settings
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.serving.limits import Limits
from pilotage.serving.services import Service
from pilotage.serving.web import connections
from pilotage.serving.web.apps import create_app
from pilotage.serving.web.lanes import Lane

BODY = json.dumps({"rows": small_models.rows(2)}).encode()
LIMITS = Limits(
    body_bytes=20_000, rows=50, head_seconds=1.5, body_seconds=1.5, write_seconds=2, linger_seconds=0.3
)


@contextmanager
def serving(
    pilots: list[Any], installation: Settings, limits: Limits, patience: int = 5
) -> Iterator[tuple[int, Service]]:
    """A server in a thread of this process; its port and service.

    A stop waits `patience` seconds for what is in progress.
    """
    service = Service(pilots, installation, limits)
    lane = Lane(service, None)
    config = uvicorn.Config(
        create_app(service),
        port=0,
        loop="uvloop",
        http=connections.connections(lane),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=patience,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield server.servers[0].sockets[0].getsockname()[1], service
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings.load(home=tmp_path_factory.mktemp("home"), poll_seconds=0.1)
    small_models.register(found, small_models.predictor())
    Registry(found).promote(small_models.NAME, 1)
    return found


@pytest.fixture(scope="module")
def served(installation: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Service]]:
    pilot = small_models.pilot(tmp_path_factory.mktemp("pilot"))
    with serving([pilot], installation, LIMITS) as found:
        yield found


@pytest.fixture
def port(served: tuple[int, Service]) -> int:
    return served[0]


class Peer:
    """A raw connection that reads whole answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self.socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        line = self._file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        headers: dict[str, str] = {}
        while (field := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self._file.read(int(headers.get("content-length", 0)))
        return int(line.split()[1]), headers, body

    def ended(self) -> bool:
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@pytest.fixture
def connect(port: int) -> Iterator[Callable[[], Peer]]:
    made: list[Peer] = []

    def begin() -> Peer:
        made.append(Peer(port))
        return made[-1]

    yield begin
    for peer in made:
        peer.close()


def head(path: str = "/predict", length: int | None = len(BODY), *more: str, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: x", "Content-Type: application/json", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def predictions(body: bytes) -> int:
    return len(json.loads(body)["predictions"])


def test_a_connection_is_kept_and_answers_have_what_http_asks_for(connect: Callable[[], Peer]) -> None:
    peer = connect()
    for _ in range(3):
        peer.send(head(), BODY)
        status, headers, body = peer.answer()
        assert (status, predictions(body)) == (200, 2)
        assert headers["content-type"] == "application/json"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["date"].endswith("GMT")
        assert headers["x-request-id"]
        assert "connection" not in headers


def test_a_request_may_come_byte_by_byte(connect: Callable[[], Peer]) -> None:
    peer = connect()
    peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    whole = head() + BODY
    for start in range(0, len(whole), 7):
        peer.send(whole[start : start + 7])
    assert peer.answer()[0] == 200


def test_a_body_may_come_in_chunks(connect: Callable[[], Peer]) -> None:
    peer = connect()
    peer.send(head("/predict", None, "Transfer-Encoding: chunked"))
    for part in (BODY[:50], BODY[50:]):
        peer.send(b"%x\r\n%b\r\n" % (len(part), part))
    peer.send(b"0\r\n\r\n")
    status, _, body = peer.answer()
    assert (status, predictions(body)) == (200, 2)


def test_pipelined_requests_are_answered_in_order(connect: Callable[[], Peer]) -> None:
    peer = connect()
    bodies = [json.dumps({"rows": small_models.rows(count)}).encode() for count in (1, 2, 3)]
    requests = [head(length=len(body)) + body for body in bodies]
    get = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    peer.send(requests[0], requests[1], get, requests[2], get)
    answers = [peer.answer() for _ in range(5)]
    assert [status for status, _, _ in answers] == [200] * 5
    assert [predictions(answers[place][2]) for place in (0, 1, 3)] == [1, 2, 3]
    assert json.loads(answers[2][2]) == json.loads(answers[4][2]) == {"status": "live"}
    peer.send(requests[1])
    assert predictions(peer.answer()[2]) == 2


@pytest.mark.parametrize(
    "request_head",
    [
        pytest.param(head("/predict", len(BODY), "Connection: close"), id="close"),
        pytest.param(head(version="1.0"), id="http-1.0"),
    ],
)
def test_a_client_that_wants_no_more_is_left_after_its_answer(
    connect: Callable[[], Peer], request_head: bytes
) -> None:
    peer = connect()
    peer.send(request_head, BODY)
    status, headers, _ = peer.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert peer.ended()


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(connect: Callable[[], Peer]) -> None:
    peer = connect()
    peer.send(head("/predict", len(BODY), "Expect: 100-continue"))
    assert peer.answer()[0] == 100
    peer.send(BODY)
    assert peer.answer()[0] == 200


def test_the_way_through_the_application_gives_the_same_answer(connect: Callable[[], Peer]) -> None:
    peer = connect()
    peer.send(head(), BODY, head("/predict?a=1"), BODY)
    short, long = json.loads(peer.answer()[2]), json.loads(peer.answer()[2])
    assert short == long


def test_a_request_id_is_given_back(connect: Callable[[], Peer]) -> None:
    peer = connect()
    for path in ("/predict", "/predict?"):
        peer.send(head(path, len(BODY), "X-Request-Id: abc-1"), BODY)
        assert peer.answer()[1]["x-request-id"] == "abc-1"


def test_too_large_a_body_is_refused_before_its_end(connect: Callable[[], Peer], port: int) -> None:
    peer = connect()
    peer.send(head(length=10**9), b"x" * 30_000)
    status, headers, body = peer.answer()
    assert (status, json.loads(body)["title"]) == (413, "Request Entity Too Large")
    assert headers["connection"] == "close"
    peer = connect()
    peer.send(head("/predict", None, "Transfer-Encoding: chunked"), b"9c40\r\n", b"x" * 40_000)
    assert peer.answer()[0] == 413


def test_a_head_without_end_is_refused(connect: Callable[[], Peer]) -> None:
    peer = connect()
    peer.send(b"GET / HTTP/1.1\r\nX-Long: ", b"a" * (connections.HEAD_BYTES + 10))
    assert peer.answer()[0] == 431
    assert peer.ended()
    peer = connect()
    peer.send(b"GET / HTTP/1.1\r\n", *(b"X-%d: a\r\n" % number for number in range(300)))
    assert peer.answer()[0] == 431


def test_what_is_not_http_is_refused_with_a_problem_document(connect: Callable[[], Peer]) -> None:
    peer = connect()
    peer.send(b"nonsense\r\n\r\n")
    status, headers, body = peer.answer()
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["status"] == 400
    assert peer.ended()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"POST /predict HTT", 408, id="half-a-head"),
        pytest.param(head() + BODY[:10], 408, id="half-a-body"),
        pytest.param(head("/labels") + BODY[:10], None, id="half-a-body-for-the-application"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_a_client_that_does_not_go_on_is_left(
    connect: Callable[[], Peer], served: tuple[int, Service], sent: bytes, status: int | None
) -> None:
    peer = connect()
    peer.send(sent)
    began = time.monotonic()
    if status is not None:
        assert peer.answer()[0] == status
    else:
        peer._file.read()
    assert time.monotonic() - began > 1
    deadline = time.monotonic() + 5
    while served[1].intake.held:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(
    connect: Callable[[], Peer], served: tuple[int, Service]
) -> None:
    for cut in (0, 10, 200):
        peer = connect()
        peer.send(head(), BODY[:cut])
        peer.close()
    deadline = time.monotonic() + 5
    while served[1].intake.held or served[1].meters.in_flight.value:
        assert time.monotonic() < deadline, (served[1].intake.held, served[1].meters.in_flight.value)
        time.sleep(0.05)


def test_a_deadline_is_read_and_a_wrong_one_refused(connect: Callable[[], Peer]) -> None:
    peer = connect()
    for path in ("/predict", "/predict?"):
        for value, status in {"60000": 200, "0": 400, "-1": 400, "soon": 400, "1e3": 400}.items():
            peer.send(head(path, len(BODY), f"X-Request-Timeout-Ms: {value}"), BODY)
            assert peer.answer()[0] == status


def served_on(peer: Peer) -> bool:
    """Whether the connection gets an answer."""
    try:
        peer.send(head(), BODY)
        return peer.answer()[0] == 200
    except (AssertionError, ConnectionError):
        return False


def test_more_connections_than_are_taken_are_closed_at_once(installation: Settings, tmp_path: Path) -> None:
    pilot = small_models.pilot(tmp_path / "pilot")
    with serving([pilot], installation, Limits(connections=3)) as (port, service):
        peers = [Peer(port) for _ in range(3)]
        for peer in peers:
            peer.send(head(), BODY)
            assert peer.answer()[0] == 200
        late = Peer(port)
        assert not served_on(late)
        assert service.meters.reading().shed == {"connections": 1}
        peers[0].close()
        deadline = time.monotonic() + 5
        while not served_on(other := Peer(port)):
            other.close()
            assert time.monotonic() < deadline
        for peer in [*peers[1:], late, other]:
            peer.close()


def test_overload_is_answered_at_once_and_the_admitted_are_served(
    installation: Settings, tmp_path: Path
) -> None:
    """Beyond the limit of what may wait, 503 with Retry-After; nothing hangs, nothing is lost."""
    pilot = small_models.pilot(tmp_path / "pilot")
    with serving([pilot], installation, Limits(pending=4)) as (port, service):
        batcher = service.endpoint().batcher
        hold, original = threading.Event(), batcher._plane.answer

        def held(*given: Any) -> Any:
            hold.wait(10)
            return original(*given)

        batcher._plane.answer = held  # type: ignore[method-assign, assignment]
        for _ in range(20):
            batcher.costs.note(1, 0.02)  # so the thread answers
        peers = [Peer(port) for _ in range(12)]
        for peer in peers:
            peer.send(head(), BODY)
        time.sleep(0.3)
        hold.set()
        answers = [peer.answer() for peer in peers]
        statuses = [status for status, _, _ in answers]
        assert statuses.count(200) == 4
        assert statuses.count(503) == 8
        assert all(headers["retry-after"] == "1" for status, headers, _ in answers if status == 503)
        for peer in peers:
            peer.send(head(), BODY)
            assert peer.answer()[0] == 200
            peer.close()
        assert batcher.depth == 0


def test_an_idle_connection_outlives_a_stop_for_a_moment(installation: Settings, tmp_path: Path) -> None:
    """A request that is under way when the server is told to stop is still answered."""
    pilot = small_models.pilot(tmp_path / "pilot")
    limits = Limits(linger_seconds=1.5)
    with serving([pilot], installation, limits) as (port, _):
        peer = Peer(port)
        peer.send(head(), BODY)
        assert peer.answer()[0] == 200
        later = threading.Timer(0.6, lambda: peer.send(head(), BODY))
        later.start()
    status, headers, _ = peer.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert peer.ended()
    peer.close()


def test_several_pilots_are_reached_by_their_names(installation: Settings, tmp_path: Path) -> None:
    flights = small_models.pilot(tmp_path / "flights")
    other = small_models.pilot(tmp_path / "other", small_models.YAML.replace("flights", "trains", 1))
    with serving([flights, other], installation, Limits()) as (port, _):
        peer = Peer(port)
        peer.send(head("/models/flights/predict"), BODY)
        assert peer.answer()[0] == 200
        peer.send(head("/predict"), BODY)
        status, _, body = peer.answer()
        assert (status, "Several models are served here" in json.loads(body)["detail"]) == (404, True)
        peer.send(head("/models/trains/predict"), BODY)
        status, _, body = peer.answer()
        assert (status, "no champion" in json.loads(body)["detail"]) == (503, True)
        peer.send(head("/models/ships/predict"), BODY)
        assert peer.answer()[0] == 404
        peer.close()
