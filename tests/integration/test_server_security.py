"""A real server that asks for tokens, over TLS, and loads only what was signed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.unit.serving import small_models
from tests.unit.serving.security import issuers
from tests.unit.serving.security.certificates import Pair, certify, write_pair
from tests.unit.serving.security.issuers import AUDIENCE, ISSUER, Issuer

from pilotage.core import settings, signatures, storage
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.serving.security import tokens
from pilotage.serving.security.tokens import Role

SCRIPT = """
import logging, sys
from pathlib import Path
from pilotage.core import pilots, settings
from pilotage.serving import servers
logging.basicConfig(level=logging.INFO)
folder, url_file, grpc_file = sys.argv[1:]
servers.run(
    pilots.load(Path(folder)),
    settings.load(),
    port=0,
    grpc_port=0,
    on_grpc=Path(grpc_file).write_text,
    on_ready=Path(url_file).write_text,
)
"""
ROWS = {"rows": small_models.rows(2)}
INFER = f"/v2/models/{small_models.NAME}/infer"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return certify(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture
def pair(tmp_path: Path, authority: Pair) -> Pair:
    return certify(tmp_path / "tls", "server", authority)


def trusting(authority: Pair, client: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.cert)
    if client is not None:
        context.load_cert_chain(client.cert, client.key)
    return context


# -- servers -------------------------------------------------------------------


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    url: str
    grpc: str
    log: Path

    def post(self, path: str, verify: ssl.SSLContext | bool = True, **headers: str) -> httpx.Response:
        body = ROWS if path == "/predict" else {}
        return httpx.post(self.url + path, json=body, headers=headers, verify=verify, timeout=20)


Start = Callable[..., Server]


def wait_for(claim: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion."""
    home = tmp_path_factory.mktemp("template")
    found = settings.load(home=home)
    small_models.register(found, small_models.predictor(seed=1))
    Registry(found).promote(small_models.NAME, 1)
    return home


@pytest.fixture
def installation(template: Path, home: Path) -> Settings:
    shutil.copytree(template, home)
    return settings.load(home=home)


@pytest.fixture
def start(tmp_path: Path, installation: Settings) -> Iterator[Start]:
    """Starts servers; `fails=True` returns what one that refuses said."""
    started: list[subprocess.Popen[bytes]] = []
    small_models.pilot(tmp_path / "pilot")

    def begin(fails: bool = False, **variables: object) -> Any:
        number = len(started)
        url, grpc_file, log = (tmp_path / f"{name}-{number}" for name in ("url", "grpc", "log"))
        environment = {f"PILOTAGE_{name.upper()}": str(value) for name, value in variables.items()}
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(tmp_path / "pilot"), str(url), str(grpc_file)],
                env={**os.environ, "PILOTAGE_POLL_SECONDS": "0.1", **environment},
                stdout=stream,
                stderr=stream,
            )
        started.append(process)
        wait_for(lambda: process.poll() is not None or (url.exists() and url.read_text()))
        if fails:
            assert process.wait(20) != 0
            return log.read_text()
        assert process.poll() is None, log.read_text()
        return Server(process, url.read_text(), grpc_file.read_text(), log)

    yield begin
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


# -- tokens --------------------------------------------------------------------


def test_a_server_that_asks_for_tokens_answers_nobody_else(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    asker = "Bearer " + tokens.add(file, "asker")
    slow = "Bearer " + tokens.add(file, "slow", rate=2)
    scraper = "Bearer " + tokens.add(file, "prometheus", roles=frozenset({Role.METRICS}))
    server = start(auth_tokens_file=file)
    for path in ("/predict", "/invocations", INFER, "/labels", "/explain", "/nothing"):
        refused = server.post(path)
        assert (path, refused.status_code) == (path, 401)
        assert refused.headers["www-authenticate"].startswith("Bearer realm=")
        assert refused.json()["type"] == "urn:pilotage:problem:unauthorized"
        assert server.post(path, Authorization="Bearer wrong").status_code == 401
        assert server.post(path, Authorization=scraper).status_code == 403
        assert server.post(path, Authorization=asker).status_code not in (401, 403, 500)
    for path in ("/metrics", "/docs", "/v2", f"/v2/models/{small_models.NAME}", "/openapi.json"):
        assert (path, httpx.get(server.url + path).status_code) == (path, 401)
    for path in ("/health/live", "/health/ready", "/ping", "/v2/health/ready"):
        assert (path, httpx.get(server.url + path).status_code) == (path, 200)
    assert httpx.get(f"{server.url}/metrics", headers={"Authorization": scraper}).status_code == 200
    assert server.post("/predict", Authorization=asker).json()["predictions"]

    statuses = [server.post("/predict", Authorization=slow) for _ in range(4)]
    assert [answer.status_code for answer in statuses[:2]] == [200, 200]
    assert 429 in [answer.status_code for answer in statuses]
    limited = next(answer for answer in statuses if answer.status_code == 429)
    assert limited.headers["retry-after"] == "1"

    kept = [line for line in file.read_text().splitlines(True) if not line.startswith("asker:")]
    storage.write_file(file, "".join(kept).encode())
    wait_for(lambda: server.post("/predict", Authorization=asker).status_code == 401, 5)
    secrets = [value.removeprefix("Bearer ") for value in (asker, slow, scraper)]
    assert not any(secret in server.log.read_text() for secret in secrets)


def test_strangers_hold_no_memory(start: Start, tmp_path: Path) -> None:
    """Their bodies are not kept, and a token that is not known is refused before the body has come."""
    file = tmp_path / "tokens"
    asker = tokens.add(file, "asker")
    server = start(auth_tokens_file=file)
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=10) as wire:
        head = "POST /predict HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer made-up\r\n"
        head += "Content-Length: 9000000\r\n\r\n"
        wire.sendall(head.encode() + b"x" * 1000)
        answer = wire.recv(65536)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()
    body = json.dumps(ROWS).encode()
    with socket.create_connection((url.host, url.port), timeout=10) as wire:
        for part in (f"POST /predict HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {asker}\r\n", ""):
            lines = part or f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            wire.sendall(lines.encode())
        for byte in range(0, len(body), 100):
            wire.sendall(body[byte : byte + 100])
            time.sleep(0.01)
        assert wire.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_json_web_tokens_are_taken_over_a_change_of_keys(start: Start) -> None:
    issuer = Issuer()
    issuer.add("first")
    with issuers.serving(issuer.body()) as keys:
        server = start(auth_jwks=keys.url, auth_jwt_issuer=ISSUER, auth_jwt_audience=AUDIENCE)

        def ask(token: str) -> int:
            return server.post("/predict", Authorization=f"Bearer {token}").status_code

        assert ask(issuer.token("first")) == 200
        assert ask(issuer.token("first", aud="others")) == 401
        assert ask(issuer.token("first", exp=1)) == 401
        issuer.add("second", "RS256")
        keys.body = issuer.body()
        assert ask(issuer.token("second")) == 401, "the issuer was asked again too soon"
        keys.status = 500
        assert ask(issuer.token("first", jti="again")) == 200
        keys.status = 200
        wait_for(lambda: ask(issuer.token("second")) == 200, 15)
        assert keys.asked <= 3


# -- TLS -----------------------------------------------------------------------


def test_tls_is_spoken_and_a_renewed_certificate_taken(start: Start, pair: Pair, authority: Pair) -> None:
    server = start(tls_cert_file=pair.cert, tls_key_file=pair.key)
    assert server.url.startswith("https://127.0.0.1:")
    assert server.post("/predict", trusting(authority)).status_code == 200
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        server.post("/predict")
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url.replace("https", "http") + "/health/live")

    port = httpx.URL(server.url).port or 0

    def serial() -> int:
        found = ssl.get_server_certificate(("127.0.0.1", port))
        return x509.load_pem_x509_certificate(found.encode()).serial_number

    assert serial() == pair.made.serial_number
    renewed = certify(pair.cert.parent / "renewed", "server", authority)
    write_pair(renewed, pair)
    wait_for(lambda: serial() == renewed.made.serial_number, 10)
    storage.write_file(pair.key, b"broken")
    time.sleep(1.2)
    assert serial() == renewed.made.serial_number
    assert server.post("/predict", trusting(authority)).status_code == 200


def test_mutual_tls_lets_in_who_has_a_certificate(
    start: Start, pair: Pair, authority: Pair, tmp_path: Path
) -> None:
    server = start(tls_cert_file=pair.cert, tls_key_file=pair.key, tls_client_ca_file=authority.cert)
    ours = certify(tmp_path / "ours", "client", authority)
    theirs = certify(tmp_path / "theirs", "client", certify(tmp_path / "theirs", "authority"))
    old = certify(tmp_path / "old", "client", authority, days=-1)
    assert server.post("/predict", trusting(authority, ours)).status_code == 200
    for client in (None, theirs, old):
        with pytest.raises(httpx.TransportError):
            server.post("/predict", trusting(authority, client))
    assert healthy(server, authority, ours)
    with pytest.raises(grpc.RpcError):
        healthy(server, authority, theirs)
    with pytest.raises(grpc.RpcError):
        healthy(server, authority, None)


def healthy(server: Server, authority: Pair, client: Pair | None) -> bool:
    """What gRPC's health service says over TLS."""
    credentials = grpc.ssl_channel_credentials(
        authority.cert.read_bytes(),
        client.key.read_bytes() if client else None,
        client.cert.read_bytes() if client else None,
    )
    with grpc.secure_channel(server.grpc, credentials) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


# -- signatures ----------------------------------------------------------------


def sign(found: Settings, version: int, key: Path) -> Path:
    registry = Registry(found)
    folder = registry.folder(registry.version(small_models.NAME, version))
    signatures.sign(folder, key, storage.file_digest(folder / "model.skops"))
    return folder


def test_a_tampered_model_is_refused_and_the_champion_stays(
    start: Start, installation: Settings, tmp_path: Path
) -> None:
    private, public = signatures.make_keys(tmp_path / "keys")
    registry = Registry(installation)
    for seed in (2, 3):
        small_models.register(installation, small_models.predictor(seed=seed))
    sign(installation, 1, private)
    tampered = sign(installation, 2, private)
    with (tampered / "pilotage" / "model.json").open("a") as stream:
        stream.write(" ")
    server = start(verify_key_file=public)

    def ready() -> dict[str, Any]:
        return dict(httpx.get(f"{server.url}/health/ready").json())

    def refused(version: int) -> bool:
        return f"Version {version} could not be loaded (UntrustedModel)" in json.dumps(ready())

    assert json.dumps(ready()).count("UntrustedModel") == 0
    for version in (2, 3):
        registry.promote(small_models.NAME, version)
        wait_for(partial(refused, version))
        answer = server.post("/predict").json()
        assert int(answer["version"]) == 1
    assert "is wrong" in server.log.read_text()
    assert "is not signed" in server.log.read_text()
    sign(installation, 3, private)
    wait_for(lambda: int(server.post("/predict").json()["version"]) == 3)


# -- wrong settings ------------------------------------------------------------


def test_what_cannot_be_used_is_said_at_the_start(
    start: Start, pair: Pair, authority: Pair, tmp_path: Path
) -> None:
    other = certify(tmp_path / "other", "server", authority)
    expired = certify(tmp_path / "expired", "server", authority, days=-1)
    for given, said in (
        ({"tls_cert_file": pair.cert}, "PILOTAGE_TLS_CERT_FILE without PILOTAGE_TLS_KEY_FILE"),
        ({"tls_cert_file": pair.cert, "tls_key_file": other.key}, "PILOTAGE_TLS_KEY_FILE"),
        ({"tls_cert_file": expired.cert, "tls_key_file": expired.key}, "expired at"),
        ({"verify_key_file": pair.cert}, "PILOTAGE_VERIFY_KEY_FILE"),
    ):
        assert said in str(start(fails=True, **given))
