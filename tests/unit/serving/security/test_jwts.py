"""JSON Web Tokens are taken from their issuer alone, and its keys are kept through outages and changes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.unit.serving.security import issuers
from tests.unit.serving.security.issuers import AUDIENCE, ISSUER, Issuer, KeyServer

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.serving.problems import Problem
from pilotage.serving.security import jwts, keysets
from pilotage.serving.security.jwts import Verifier
from pilotage.serving.security.keysets import KeySet
from pilotage.serving.security.tokens import Role

ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    made = Issuer()
    for algorithm in ALGORITHMS:
        made.add(algorithm, algorithm)
    return made


def asked(source: object, **more: Any) -> Settings:
    return settings.load(
        auth_jwks=str(source), auth_jwt_issuer=ISSUER, auth_jwt_audience=f"other, {AUDIENCE}", **more
    )


def opened(source: object, **more: Any) -> Verifier:
    found = jwts.open_verifier(asked(source, **more))
    assert found is not None
    return found


@pytest.fixture
def file(tmp_path: Path, issuer: Issuer) -> Path:
    place = tmp_path / "jwks.json"
    place.write_bytes(issuer.body())
    return place


@pytest.fixture
def verifier(file: Path) -> Verifier:
    return opened(file)


@pytest.fixture
def server(issuer: Issuer) -> Iterator[KeyServer]:
    with issuers.serving(issuer.body()) as found:
        yield found


def refusal(verifier: Verifier, token: str | bytes) -> str:
    with pytest.raises(Problem) as caught:
        verifier.verify(token.encode() if isinstance(token, str) else token)
    assert caught.value.status == 401
    assert 'error="invalid_token"' in caught.value.headers["WWW-Authenticate"]
    return caught.value.detail


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token_gives_its_subject(verifier: Verifier, issuer: Issuer, algorithm: str) -> None:
    claims = verifier.verify(issuer.token(algorithm).encode())
    assert (claims.subject, set(claims.roles)) == ("ada", {Role.PREDICT})
    assert claims.expires == pytest.approx(time.time() + 60 + 30, abs=5)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "lacks one of"),
        ({"exp": "soon"}, "cannot be read"),
        ({"exp": 1e400}, "cannot be read"),
        ({"aud": "others"}, "another audience"),
        ({"aud": ["others", "more"]}, "another audience"),
        ({"aud": None}, "lacks one of|another audience"),
        ({"iss": "https://issuer.example.evil"}, "another issuer"),
        ({"iss": None}, "lacks one of|another issuer"),
        ({"sub": None}, "lacks one of"),
        ({"sub": ""}, "subject is empty"),
        ({"sub": "a\r\nb"}, "subject is empty, too long or not printable"),
        ({"sub": "a" * 256}, "too long"),
    ],
    ids=[
        "long ago",
        "no end",
        "end in words",
        "no number",
        "other audience",
        "other audiences",
        "no audience",
        "other issuer",
        "no issuer",
        "no subject",
        "empty subject",
        "subject of lines",
        "long subject",
    ],
)
def test_wrong_claims_are_refused(
    verifier: Verifier, issuer: Issuer, claims: dict[str, Any], reason: str
) -> None:
    assert re.search(reason, refusal(verifier, issuer.token("ES256", **claims)))


@pytest.mark.parametrize(
    ("claim", "seconds", "reason"),
    [("exp", -31, "expired"), ("nbf", 3600, "not in force yet"), ("iat", 3600, "not in force yet")],
)
def test_times_beyond_the_leeway_are_refused(
    verifier: Verifier, issuer: Issuer, claim: str, seconds: int, reason: str
) -> None:
    claims: dict[str, Any] = {claim: time.time() + seconds}
    assert reason in refusal(verifier, issuer.token("ES256", **claims))


def test_clocks_may_be_apart_by_the_leeway(verifier: Verifier, issuer: Issuer) -> None:
    assert verifier.verify(issuer.token("ES256", exp=time.time() - 20, nbf=time.time() + 20).encode())


def part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def test_a_token_without_signature_is_refused(verifier: Verifier, issuer: Issuer) -> None:
    payload = issuer.token("ES256").split(".")[1]
    for name in ("none", "None", "NONE", ""):
        forged = f"{part({'alg': name, 'kid': 'ES256'})}.{payload}."
        assert "algorithm is not accepted" in refusal(verifier, forged)


def test_a_public_key_is_no_shared_secret(verifier: Verifier, issuer: Issuer) -> None:
    """The confusion of HS256 with RS256: the attacker signs with the public key as the secret."""
    public = issuer.keys["RS256"][1].public_key()
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    payload = issuer.token("RS256").split(".")[1]
    for name, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
        head = part({"alg": name, "typ": "JWT", "kid": "RS256"})
        mark = hmac.new(secret, f"{head}.{payload}".encode(), digest).digest()
        forged = f"{head}.{payload}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"
        assert "algorithm is not accepted" in refusal(verifier, forged)


def test_a_key_counts_for_its_own_algorithm(verifier: Verifier, issuer: Issuer) -> None:
    key = issuer.keys["RS256"][1]
    other = jwt.encode({"sub": "x"}, key, "PS256", headers={"kid": "RS256"})
    with pytest.raises(jwts.KeyUnknown):
        verifier.verify(other.encode())


def test_a_key_in_the_token_is_not_used(verifier: Verifier, issuer: Issuer) -> None:
    stranger = Issuer()
    stranger.add("ES256")
    head = {
        "jwk": stranger.document()["keys"][0],
        "jku": "http://127.0.0.1:9/jwks",
        "x5u": "http://127.0.0.1:9/",
    }
    assert "signature is wrong" in refusal(verifier, stranger.token("ES256", header=head))


def test_what_changed_on_the_way_is_refused(verifier: Verifier, issuer: Issuer) -> None:
    head, payload, mark = issuer.token("ES256").split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert "signature" in refusal(verifier, f"{head}.{part({**claims, 'sub': 'root'})}.{mark}")
    assert "signature" in refusal(verifier, f"{head}.{payload}.{mark[:-4]}AAAA")


@pytest.mark.parametrize(
    "token",
    [
        b"..",
        b"a.b.c",
        b"\xff.\xff.\xff",
        b"e30.e30.e30",
        b"W10.e30.",
        part({"alg": ["ES256"], "kid": "ES256"}).encode() + b".e30.AA",
        part({"alg": "ES256", "kid": {"a": 1}}).encode() + b".e30.AA",
        part({"alg": "ES256", "kid": "ES256", "crit": ["b64"], "b64": False}).encode() + b".e30.AA",
        b"a" * 20_000 + b".b.c",
        base64.urlsafe_b64encode(b'{"alg":"ES256","kid":' + b"[" * 5000) + b".e30.AA",
    ],
    ids=["dots", "letters", "bytes", "objects", "list", "names", "kid", "crit", "long", "deep"],
)
def test_what_is_no_token_is_refused(verifier: Verifier, token: bytes) -> None:
    refusal(verifier, token)


@pytest.mark.parametrize(
    ("claims", "needed", "roles"),
    [
        ({}, "", {Role.PREDICT}),
        ({}, "ask", set()),
        ({"scope": "other ask"}, "ask", {Role.PREDICT}),
        ({"scope": "asking"}, "ask", set()),
        ({"scp": ["ask", 1, "pilotage.metrics"]}, "ask", {Role.PREDICT, Role.METRICS}),
        ({"scope": "pilotage.metrics"}, "ask", {Role.METRICS}),
        ({"scope": 7}, "", {Role.PREDICT}),
    ],
    ids=["free", "none", "held", "similar", "list", "metrics", "number"],
)
def test_scopes_give_roles(
    file: Path, issuer: Issuer, claims: dict[str, Any], needed: str, roles: set[Role]
) -> None:
    found = opened(file, auth_jwt_scope=needed).verify(issuer.token("ES256", **claims).encode())
    assert found.roles == roles


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"auth_jwt_issuer": ""}, "PILOTAGE_AUTH_JWT_ISSUER is not set"),
        ({"auth_jwt_audience": ""}, "PILOTAGE_AUTH_JWT_AUDIENCE is not set"),
        ({"auth_jwks": ""}, "PILOTAGE_AUTH_JWKS is not set"),
        ({"auth_jwt_algorithms": "RS256,HS256"}, "HS256 cannot be taken"),
        ({"auth_jwt_algorithms": "none"}, "none cannot be taken"),
        ({"auth_jwt_algorithms": ","}, "nothing cannot be taken"),
        ({"auth_jwks": "http://issuer.example/jwks"}, "PILOTAGE_AUTH_JWKS.*is not taken"),
        ({"auth_jwks": "http://127.0.0.1.evil.example/jwks"}, "is not taken"),
        ({"auth_jwks": "file:///etc/passwd"}, "is not taken"),
        ({"auth_jwks": "ftp://127.0.0.1/jwks"}, "is not taken"),
        ({"auth_jwks": "/nowhere/jwks.json"}, "PILOTAGE_AUTH_JWKS.*holds no usable keys"),
    ],
    ids=[
        "no issuer",
        "no audience",
        "no keys",
        "shared secret",
        "none",
        "empty",
        "clear",
        "looks local",
        "file as url",
        "other scheme",
        "missing",
    ],
)
def test_wrong_settings_are_named(file: Path, given: dict[str, Any], message: str) -> None:
    before = {"auth_jwks": str(file), "auth_jwt_issuer": ISSUER, "auth_jwt_audience": AUDIENCE}
    with pytest.raises(errors.SettingsError, match=message):
        jwts.open_verifier(settings.load(**{**before, **given}))


def test_nothing_asked_is_no_verifier() -> None:
    assert jwts.open_verifier(settings.load()) is None


def entry_of(key: Any, **more: Any) -> dict[str, Any]:
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k", **more}


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"}],
        [{"kty": "RSA", "kid": "k", "n": "AQAB"}],
        [entry_of(rsa.generate_private_key(65537, 1024), alg="RS256")],
        [entry_of(rsa.generate_private_key(65537, 2048), alg="RS256", use="enc")],
        [entry_of(rsa.generate_private_key(65537, 2048), alg="HS256")],
        ["text", None, 7],
    ],
    ids=["none", "symmetric", "broken", "short", "encryption", "confused", "nonsense"],
)
def test_a_set_without_a_usable_key_is_refused(tmp_path: Path, keys: list[Any]) -> None:
    place = tmp_path / "jwks.json"
    place.write_text(json.dumps({"keys": keys}))
    with pytest.raises(errors.SettingsError, match="no key in it fits"):
        KeySet(str(place), ALGORITHMS)


def test_a_key_without_id_is_found_where_it_is_the_only_one(tmp_path: Path) -> None:
    alone = Issuer()
    alone.add("k", "RS256")
    entry = {name: value for name, value in alone.document()["keys"][0].items() if name not in ("kid", "alg")}
    place = tmp_path / "jwks.json"
    place.write_text(json.dumps({"keys": [entry]}))
    keys = KeySet(str(place), ALGORITHMS)
    assert keys.find(None, "RS256") is not None
    assert keys.find(None, "PS256") is not None, "the key does not say that it is for one algorithm only"
    assert keys.find(None, "ES256") is None
    assert keys.find("k", "RS256") is None
    place.write_text(json.dumps({"keys": [entry, {**entry, "kid": "b"}]}))
    assert KeySet(str(place), ALGORITHMS).find(None, "RS256") is None, "a guess between two keys"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_keys_are_fetched_once_in_a_while_and_kept_through_an_outage(
    server: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    keys = KeySet(server.url, ALGORITHMS, clock)
    assert (server.asked, keys.fetched_at) == (0, None), "the start waited for a server"
    for _ in range(5):
        keys.fetch()
    assert server.asked == 1
    server.status = 500
    clock.now = keysets.REFETCH_SECONDS
    with caplog.at_level(logging.WARNING):
        keys.fetch()
        keys.fetch()
    assert (server.asked, len(caplog.messages)) == (2, 1)
    assert keys.find("ES256", "ES256") is not None
    assert not keys.is_stale()
    clock.now = keysets.STALE_SECONDS
    assert keys.is_stale()


def test_a_withdrawn_key_is_gone_after_a_fetch(server: KeyServer, issuer: Issuer) -> None:
    clock = Clock()
    keys = KeySet(server.url, ALGORITHMS, clock)
    keys.fetch()
    server.body = json.dumps({"keys": issuer.document()["keys"][1:]}).encode()
    clock.now = 60
    keys.fetch()
    assert keys.find("ES256", "ES256") is None
    assert keys.find("RS256", "RS256") is not None


def broken(server: KeyServer, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "redirect":
        server.status, server.headers = 302, {"Location": server.url}
    elif how == "large":
        server.body = b" " * (2 * 1024 * 1024)
    elif how == "slow":
        monkeypatch.setattr(keysets, "TIMEOUT_SECONDS", 0.1)
        server.pause_seconds = 0.4
    elif how == "short":
        server.headers = {"Content-Length": str(len(server.body) + 10)}
    else:
        server.body = how.encode()


@pytest.mark.parametrize(
    "how",
    ["redirect", "large", "slow", "", "null", "[]", '{"keys": 1}', "<html>"],
    ids=["redirect", "large", "slow", "empty", "null", "list", "number", "page"],
)
def test_an_answer_that_is_no_set_changes_nothing(
    server: KeyServer, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    keys = KeySet(server.url, ALGORITHMS, clock)
    keys.fetch()
    broken(server, how, monkeypatch)
    clock.now = 60
    with caplog.at_level(logging.WARNING):
        keys.fetch()
    assert "what was there stays" in caplog.text
    assert keys.find("ES256", "ES256") is not None
    assert server.asked == 2, "a redirect was followed"
