"""An issuer of JSON Web Tokens, its key set, and a server that gives it out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ISSUER = "https://issuer.example"
AUDIENCE = "pilotage"


@dataclass
class Issuer:
    """Keys by id, and tokens signed with them."""

    keys: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """Algorithm and private key."""

    def add(self, kid: str, algorithm: str = "ES256") -> Any:
        make = {"ES256": _elliptic, "RS256": _rsa, "PS256": _rsa, "EdDSA": _edwards}[algorithm]
        self.keys[kid] = (algorithm, make())
        return self.keys[kid][1]

    def token(self, kid: str, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good token but for `claims`; None leaves one out."""
        algorithm, key = self.keys[kid]
        now = int(time.time())
        good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 60}
        payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode(payload, key, algorithm, headers={"kid": kid, **(header or {})})

    def document(self) -> dict[str, Any]:
        return {"keys": [self._entry(kid) for kid in self.keys]}

    def body(self) -> bytes:
        return json.dumps(self.document()).encode()

    def _entry(self, kid: str) -> dict[str, Any]:
        algorithm, key = self.keys[kid]
        public = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
        return {**public, "kid": kid, "alg": algorithm, "use": "sig"}


def _elliptic() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _edwards() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@dataclass
class KeyServer:
    """Gives out a key set over HTTP; what it does can be changed while it runs."""

    body: bytes
    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    pause_seconds: float = 0.0
    """Before the answer."""
    open: threading.Event = field(default_factory=threading.Event)
    """Set, unless a test holds up the answers."""


@contextmanager
def serving(body: bytes) -> Iterator[KeyServer]:
    found = KeyServer(body)
    found.open.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked += 1
            time.sleep(found.pause_seconds)
            found.open.wait(60)
            self.send_response(found.status)
            for name, value in {"Content-Length": str(len(found.body)), **found.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):  # the client had enough
                self.wfile.write(found.body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/jwks"
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
