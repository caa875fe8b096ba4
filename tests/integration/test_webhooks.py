"""Events reach real HTTP servers, signed and once; servers that misbehave delay and reveal nothing."""

from __future__ import annotations

import json
import logging
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from sqlalchemy import Engine
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from pilotage.core import settings
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import outbox
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.webhooks import couriers, deliveries, senders, signatures
from pilotage.pipelines.webhooks.deliveries import Delivery, DeliveryState

OLD, NEW = signatures.new_secret(), signatures.new_secret()
PATH = "/hooks/path-that-is-a-secret"


@dataclass
class Receiver:
    """An HTTP server that answers as it is told and keeps what it got."""

    answers: list[Any] = field(default_factory=list)
    """Statuses, or functions of the handler, in turn; then 204."""
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.got.append((handler.path, dict(handler.headers.items()), body))
        answer = self.answers.pop(0) if self.answers else 204
        if callable(answer):
            answer(handler)
            return
        handler.send_response(answer)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.got]


@pytest.fixture
def start() -> Iterator[Callable[..., Receiver]]:
    """Start a receiver on loopback."""
    running: list[ThreadingHTTPServer] = []

    def begin(*answers: Any, context: ssl.SSLContext | None = None) -> Receiver:
        receiver = Receiver(list(answers))

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.answer(self)

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        scheme = "http" if context is None else "https"
        receiver.url = f"{scheme}://127.0.0.1:{server.server_address[1]}{PATH}"
        return receiver

    yield begin
    for server in running:
        server.shutdown()
        server.server_close()


@dataclass
class Desk:
    """An installation with webhooks."""

    settings: Settings
    file: Path

    @property
    def engine(self) -> Engine:
        return tables.connect(self.settings)

    def write(self, **urls: str) -> None:
        lines = [
            f"- {{name: {name}, url: '{url}', secret: ['env:HOOK_NEW', 'env:HOOK_OLD']}}"
            for name, url in urls.items()
        ]
        self.file.write_text("\n".join(lines) + "\n")

    def emit(self, count: int = 1, kind: Kind = Kind.ALARM_RAISED) -> None:
        with self.engine.begin() as connection:
            for number in range(count):
                outbox.emit(
                    connection, kind, "flights", f"alarm/{number}", {"number": number, "word": "näher"}
                )

    def due_again(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(tables.deliveries.update().values(next_at=tables.now()))

    @property
    def found(self) -> list[Delivery]:
        return list(reversed(deliveries.find(self.engine, limit=1000)))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOOK_NEW", NEW)
    monkeypatch.setenv("HOOK_OLD", OLD)
    monkeypatch.setattr(senders, "TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(senders.post, "__defaults__", (1.0,))
    file = tmp_path / "webhooks.yaml"
    found = settings.load(home=tmp_path / "home", webhooks_file=file, webhook_private_hosts=("127.0.0.0/8",))
    return Desk(found, file)


def test_events_arrive_signed_in_order_and_as_cloudevents(desk: Desk, start: Callable[..., Receiver]):
    receiver = start()
    desk.write(ops=receiver.url)
    desk.emit(3)
    assert couriers.send_due(desk.settings) == 3
    assert couriers.send_due(desk.settings) == 0
    assert [event["data"]["number"] for event in receiver.events] == [0, 1, 2]
    for path, headers, body in receiver.got:
        assert path == PATH
        for secret in (OLD, NEW):  # code that is not ours
            assert Webhook(secret).verify(body, headers)["type"] == Kind.ALARM_RAISED
        with pytest.raises(WebhookVerificationError):
            Webhook(signatures.new_secret()).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(NEW).verify(body.replace(b"number", b"numbre"), headers)
        event = from_http_event(HTTPMessage({key.lower(): value for key, value in headers.items()}, body))
        assert event.get_id() == headers["webhook-id"]
        assert event.get_source() == "/pilotage/pilots/flights"
        data = event.get_data()
        assert isinstance(data, dict)
        assert data["word"] == "näher"
        assert event.get_time() is not None


def test_a_server_that_fails_is_tried_again_with_the_same_id(desk: Desk, start: Callable[..., Receiver]):
    receiver = start(500, 503, 429)
    desk.write(ops=receiver.url)
    desk.emit()
    for accepted in (0, 0, 0, 1):
        assert couriers.send_due(desk.settings) == accepted
        assert couriers.send_due(desk.settings) == 0, "not before it is due"
        if not accepted:
            desk.due_again()
    (delivery,) = desk.found
    assert [item.status for item in delivery.log] == [500, 503, 429, 204]
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1
    assert len({body for _, _, body in receiver.got}) == 1


def test_a_server_that_is_gone_is_told_nothing_until_a_test_succeeds(
    desk: Desk, start: Callable[..., Receiver]
):
    receiver = start(410)
    desk.write(ops=receiver.url)
    desk.emit(2)
    couriers.send_due(desk.settings)
    assert len(receiver.got) == 1
    assert {item.state for item in desk.found} == {DeliveryState.DEAD}
    desk.emit()
    assert couriers.send_due(desk.settings) == 0
    assert couriers.test(desk.settings, "ops").state is DeliveryState.DELIVERED
    assert receiver.events[-1]["type"] == Kind.WEBHOOK_TEST
    desk.emit()
    assert couriers.send_due(desk.settings) == 1
    replayed = couriers.replay(
        desk.settings, [item.id for item in desk.found if item.state is DeliveryState.DEAD]
    )
    assert {item.state for item in replayed} == {DeliveryState.DELIVERED}


def redirect(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(307)
    handler.send_header("Location", f"http://{handler.headers['Host']}/elsewhere")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(60)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte of a header now and then, so that no single wait is long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(600):
        time.sleep(0.1)
        handler.wfile.write(b"x")


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:  # until the client hangs up
        handler.wfile.write(b"secret of the receiver" * 1000)


def many_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 10_000)


def not_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"secret of the receiver\r\n\r\n")


def continues(handler: BaseHTTPRequestHandler) -> None:
    for _ in range(600):
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.1)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (redirect, 307, "a redirect, which is not followed"),
        (silent, None, "no answer within 1 s"),
        (drip, None, "no answer within 1 s"),
        (continues, None, "no answer within 1 s"),
        (many_headers, None, "not HTTP"),
        (not_http, None, "not HTTP"),
        (hang_up, None, "hung up without an answer"),
        (404, 404, "answered 404"),
    ],
)
def test_a_server_that_misbehaves(desk, start, caplog, answer: Any, status: int | None, said: str):
    caplog.set_level(logging.DEBUG)
    receiver = start(answer)
    desk.write(ops=receiver.url)
    desk.emit()
    began = time.monotonic()
    assert couriers.send_due(desk.settings) == 0
    assert time.monotonic() - began < 30, "the slow ones would take a minute"
    (attempt,) = desk.found[0].log
    assert attempt.status == status
    assert attempt.error is not None
    assert said in attempt.error
    assert len(receiver.got) == 1
    logged = caplog.text + repr(desk.found)
    assert "webhook ops has not taken" in logged
    for secret in (OLD, NEW, PATH, "secret of the receiver", "elsewhere"):
        assert secret not in logged


def test_an_endless_answer_is_not_read(desk: Desk, start: Callable[..., Receiver]):
    receiver = start(endless)
    desk.write(ops=receiver.url)
    desk.emit()
    assert couriers.send_due(desk.settings) == 1


def test_a_slow_receiver_delays_no_other(desk: Desk, start: Callable[..., Receiver]):
    slow, quick = start(silent, silent), start()
    desk.write(slow=slow.url, quick=quick.url)
    desk.emit(5)
    assert couriers.send_due(desk.settings) == 5
    assert (len(slow.got), len(quick.got)) == (1, 5)


def test_loopback_that_is_not_listed_is_never_connected_to(desk: Desk, start: Callable[..., Receiver]):
    receiver = start()
    desk.write(ops=receiver.url.replace("http:", "https:"))
    closed = desk.settings.model_copy(update={"webhook_private_hosts": ()})
    desk.emit()
    assert couriers.send_due(closed) == 0
    assert desk.found[0].log[0].error == "`127.0.0.1` has no public address."
    answer = senders.post(urlsplit(receiver.url), b"{}", {}, ())
    assert answer.error == "`127.0.0.1` is not listed for plain http."
    assert receiver.got == []


def test_a_certificate_is_checked(desk: Desk, start: Callable[..., Receiver], tmp_path: Path, monkeypatch):
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    receiver = start(context=context)
    desk.write(ops=receiver.url)
    desk.emit()
    assert couriers.send_due(desk.settings) == 0
    assert desk.found[0].log[0].error == "certificate: self-signed certificate"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    desk.due_again()
    assert couriers.send_due(desk.settings) == 1


def test_a_sender_that_is_killed_in_the_middle_is_made_good(
    desk: Desk, start: Callable[..., Receiver], monkeypatch
):
    receiver = start(silent)
    desk.write(ops=receiver.url)
    desk.emit()
    variables = {
        "PILOTAGE_HOME": str(desk.settings.home),
        "PILOTAGE_WEBHOOKS_FILE": str(desk.file),
        "PILOTAGE_WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
    }
    code = (
        "from pilotage.core import settings\n"
        "from pilotage.pipelines.webhooks import couriers\n"
        "couriers.send_due(settings.load())"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **variables})
    deadline = time.monotonic() + 60
    while not receiver.got:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert couriers.send_due(desk.settings) == 0, "the dead one's lease holds"
    with desk.engine.begin() as connection:
        connection.execute(tables.deliveries.update().values(leased_until=tables.now()))
    assert couriers.send_due(desk.settings) == 1
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1


def test_events_are_sent_beside_the_block_and_at_its_end(desk: Desk, start: Callable[..., Receiver]):
    receiver = start()
    desk.write(ops=receiver.url)
    with couriers.delivering(desk.settings):
        desk.emit()
        deadline = time.monotonic() + 20
        while not receiver.got:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        desk.emit()
    assert len(receiver.got) == 2


def test_the_monitor_sends_what_happened(desk: Desk, start: Callable[..., Receiver], tmp_path: Path):
    receiver = start()
    desk.write(ops=receiver.url)
    desk.emit()
    (tmp_path / "pilot.yaml").write_text(
        "version: 1\npilot: flights\ndata: {source: rows.csv, target: y}\ngoal: {metric: roc_auc}\n"
    )
    variables = {
        "PILOTAGE_HOME": str(desk.settings.home),
        "PILOTAGE_WEBHOOKS_FILE": str(desk.file),
        "PILOTAGE_WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
    }
    command = [sys.executable, "-m", "pilotage.console", "monitor", str(tmp_path), "--json"]
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pilot"] == "flights"
    assert [event["type"] for event in receiver.events] == [Kind.ALARM_RAISED]
    desk.file.write_text("- {name: ops, url: 'https://example.org', secret: 'whsec_inline'}\n")
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 2
    assert "a secret is not written in this file" in json.loads(done.stdout)["error"]["message"]
