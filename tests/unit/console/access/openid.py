"""A small OpenID provider on loopback, that can be told to lie."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "pilotage console", "s3cret/with:signs"


class Provider:
    """Its state; what it sends is changed through `claims`, `sign` and `metadata`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = RSAKey.generate_key(2048, {"kid": "one"}, private=True, auto_kid=False)
        self.person: dict[str, Any] = {"sub": "1234", "preferred_username": "Ada", "name": "Ada L."}
        self.claims: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.codes: dict[str, dict[str, str]] = {}
        self.secret = SECRET

    def signed(self, claims: dict[str, Any], key: Any = None, **header: str) -> str:
        """An id token as it should be."""
        return jwt.encode({"alg": "RS256", "kid": "one", **header}, claims, key or self.key)

    @property
    def configuration(self) -> dict[str, Any]:
        """What discovery tells."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            **self.metadata,
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser is sent back to: the person at it agreed."""
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        assert query["client_id"] == CLIENT
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def exchange(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The tokens for a code, once."""
        asked = self.codes.pop(form["code"], None)
        if asked is None:
            return 400, {"error": "invalid_grant"}
        client, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (unquote(client), unquote(secret)) != (CLIENT, self.secret):
            return 401, {"error": "invalid_client"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims = {**claims, **self.person, **self.claims}
        token = self.sign({key: value for key, value in claims.items() if value is not None})
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": token}


@contextmanager
def providing() -> Iterator[Provider]:
    """A provider that runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/.well-known/openid-configuration":
                self._answer(200, provider.configuration)
            elif parts.path == "/keys":
                self._answer(200, KeySet([provider.key]).as_dict(private=False))
            elif parts.path == "/authorize":
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("Location", provider.authorize(query))
                self.end_headers()
            else:
                self._answer(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {key: values[0] for key, values in parse_qs(body).items()}
            self._answer(*provider.exchange(form, self.headers.get("Authorization", "")))

        def _answer(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the name that it has there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = Provider(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
