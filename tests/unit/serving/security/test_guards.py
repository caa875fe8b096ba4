"""Whom the guard admits, what it remembers, and that it does not wait where it need not."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serving.security import issuers
from tests.unit.serving.security.issuers import AUDIENCE, ISSUER, Issuer, KeyServer

from pilotage.core import errors, settings
from pilotage.serving.problems import Problem
from pilotage.serving.security import guards, jwts, keysets, tokens
from pilotage.serving.security.guards import Guard
from pilotage.serving.security.jwts import Verifier
from pilotage.serving.security.keysets import KeySet
from pilotage.serving.security.tokens import Role, TokenFile


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def issuer() -> Issuer:
    made = Issuer()
    made.add("first")
    return made


@pytest.fixture
def server(issuer: Issuer) -> Iterator[KeyServer]:
    with issuers.serving(issuer.body()) as found:
        yield found


@pytest.fixture
def remote(server: KeyServer, clock: Clock) -> Guard:
    """A guard that fetches the issuer's keys."""
    found = settings.load(auth_jwks=server.url, auth_jwt_issuer=ISSUER, auth_jwt_audience=AUDIENCE)
    keys = KeySet(server.url, found.auth_jwt_algorithms, clock)
    return Guard(None, Verifier(found, keys), clock=clock)


def bearer(token: str) -> bytes:
    return f"Bearer {token}".encode()


def refused(call: Callable[[], object]) -> Problem:
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


def resolve(guard: Guard, authorization: bytes | None, role: Role = Role.PREDICT) -> str:
    return asyncio.run(guard.resolve(authorization, role))


def test_a_token_is_resolved_once_and_then_known(file: Path) -> None:
    secret = tokens.add(file, "ci")
    guard = Guard(TokenFile(file), None)
    assert guard.known(bearer(secret)) is None
    assert resolve(guard, bearer(secret)) == "ci"
    assert guard.known(bearer(secret)) == "ci"
    assert resolve(guard, b"bEARER   " + secret.encode() + b" ") == "ci"


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (None, None),
        (b"", "invalid_request"),
        (b"Bearer", "invalid_request"),
        (b"Bearer ", "invalid_request"),
        (b"Basic YTpi", "invalid_request"),
        (b"Bearer wrong", "invalid_token"),
        (b"Bearer a.b.c", "invalid_token"),
        (b"Bearer \xff\x00", "invalid_token"),
        (b"wrong", "invalid_request"),
    ],
    ids=["none", "empty", "scheme", "space", "basic", "wrong", "jwt", "bytes", "bare"],
)
def test_who_does_not_say_who_they_are_is_told_how(
    file: Path, header: bytes | None, error: str | None
) -> None:
    tokens.add(file, "ci")
    guard = Guard(TokenFile(file), None)
    problem = refused(lambda: resolve(guard, header))
    assert problem.status == 401
    asked = problem.headers["WWW-Authenticate"]
    assert asked.startswith('Bearer realm="pilotage"')
    assert (f'error="{error}"' in asked) if error else "error" not in asked
    assert asked.isprintable()
    assert guard.remembered == 0


def test_roles_are_asked_on_the_first_request_and_on_later_ones(file: Path) -> None:
    scraper = bearer(tokens.add(file, "prometheus", roles=frozenset({Role.METRICS})))
    guard = Guard(TokenFile(file), None)
    for _ in range(2):
        problem = refused(lambda: resolve(guard, scraper))
        assert (problem.status, problem.detail) == (403, "`prometheus` lacks the role `predict`.")
    assert guard.known(scraper, guards.role_for("/metrics")) == "prometheus"
    assert guards.role_for("/predict") is guards.role_for("/metrics/x") is Role.PREDICT


def test_a_rate_is_kept_exactly_over_first_and_later_requests(file: Path, clock: Clock) -> None:
    header = bearer(tokens.add(file, "ci", rate=4))
    free = bearer(tokens.add(file, "free", rate=0))
    guard = Guard(TokenFile(file), None, rate=1, clock=clock)
    assert [resolve(guard, header) for _ in range(4)] == ["ci"] * 4
    problem = refused(lambda: guard.known(header))
    assert (problem.status, problem.headers["Retry-After"]) == (429, "1")
    clock.now += 0.25
    assert guard.known(header) == "ci"
    assert refused(lambda: guard.known(header)).status == 429
    assert all(resolve(guard, free) == "free" for _ in range(1000))


def test_a_slow_rate_says_how_long_to_wait(file: Path, clock: Clock) -> None:
    header = bearer(tokens.add(file, "ci", rate=0.1))
    guard = Guard(TokenFile(file), None, clock=clock)
    resolve(guard, header)
    clock.now += 0.5
    assert refused(lambda: guard.known(header)).headers["Retry-After"] == "10"


def test_workers_share_a_rate(file: Path, clock: Clock) -> None:
    header = bearer(tokens.add(file, "ci"))
    guard = Guard(TokenFile(file), None, rate=8, workers=4, clock=clock)
    assert [resolve(guard, header), guard.known(header)] == ["ci", "ci"]
    assert refused(lambda: guard.known(header)).status == 429


def test_a_caller_who_forgets_and_returns_keeps_its_rate(file: Path, clock: Clock) -> None:
    """The memory of tokens is smaller than that of rates, so that filling it does not reset one."""
    headers = [bearer(tokens.add(file, f"t{number}", rate=1)) for number in range(4)]
    guard = Guard(TokenFile(file), None, most=2, clock=clock)
    for header in headers:
        resolve(guard, header)
    assert guard.remembered == 2
    assert refused(lambda: resolve(guard, headers[0])).status == 429


def test_tokens_of_one_subject_share_its_rate(tmp_path: Path, issuer: Issuer, clock: Clock) -> None:
    place = tmp_path / "jwks.json"
    place.write_bytes(issuer.body())
    found = settings.load(
        auth_jwks=str(place), auth_jwt_issuer=ISSUER, auth_jwt_audience=AUDIENCE, auth_rate=2
    )
    guard = Guard(None, jwts.open_verifier(found), found.auth_rate, clock=clock)
    one, two = (bearer(issuer.token("first", jti=jti)) for jti in "ab")
    assert [resolve(guard, one), resolve(guard, two)] == ["ada", "ada"]
    assert refused(lambda: resolve(guard, bearer(issuer.token("first", jti="c")))).status == 429
    assert resolve(guard, bearer(issuer.token("first", sub="bob"))) == "bob"


def test_made_up_tokens_take_no_memory(file: Path) -> None:
    secret = bearer(tokens.add(file, "ci"))
    guard = Guard(TokenFile(file), None)
    resolve(guard, secret)

    async def attack(count: int) -> None:
        for _ in range(count):
            with pytest.raises(Problem):
                await guard.resolve(bearer(secrets.token_urlsafe(32)))

    asyncio.run(attack(500))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    asyncio.run(attack(10_000))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert guard.remembered == 1
    assert grown < 100_000


def test_good_tokens_are_forgotten_beyond_the_limit(tmp_path: Path, issuer: Issuer) -> None:
    place = tmp_path / "jwks.json"
    place.write_bytes(issuer.body())
    found = settings.load(auth_jwks=str(place), auth_jwt_issuer=ISSUER, auth_jwt_audience=AUDIENCE)
    guard = Guard(None, jwts.open_verifier(found), most=10)
    kept = bearer(issuer.token("first", jti="kept"))
    for number in range(40):
        resolve(guard, bearer(issuer.token("first", jti=str(number))))
        resolve(guard, kept)
    assert guard.remembered == 10
    assert guard.known(kept) == "ada", "what is used is forgotten before what is not"


def test_a_token_that_is_withdrawn_is_refused_within_a_second(file: Path, clock: Clock) -> None:
    gone, kept = (bearer(tokens.add(file, name)) for name in ("gone", "kept"))
    guard = Guard(TokenFile(file), None, clock=clock)
    assert [resolve(guard, gone), resolve(guard, kept)] == ["gone", "kept"]
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "gone" not in line))
    os.utime(file, ns=(1, 1))
    assert guard.known(gone) == "gone"
    clock.now += 1
    assert refused(lambda: resolve(guard, gone)).status == 401
    assert resolve(guard, kept) == "kept"


def test_a_jwt_is_not_believed_longer_than_it_lasts(remote: Guard, issuer: Issuer, clock: Clock) -> None:
    header = bearer(issuer.token("first", exp=time.time() - 20))
    assert resolve(remote, header) == "ada"
    clock.now += 9
    assert remote.known(header) == "ada"
    clock.now += 2
    assert remote.known(header) is None
    assert remote.remembered == 0


def test_a_jwt_is_verified_again_now_and_then(
    remote: Guard, issuer: Issuer, server: KeyServer, clock: Clock
) -> None:
    """So that the token of a key that was withdrawn ends, however long it says that it lasts."""
    header = bearer(issuer.token("first", exp=time.time() + 10**6))
    resolve(remote, header)
    other = Issuer()
    other.add("second")
    server.body = other.body()
    clock.now += keysets.STALE_SECONDS + 1

    async def twice() -> None:
        assert await remote.resolve(header) == "ada", "stale keys count until others are there"
        await asyncio.sleep(0.3)

    asyncio.run(twice())
    clock.now += keysets.STALE_SECONDS + 1
    assert refused(lambda: resolve(remote, header)).status == 401


def test_a_new_key_is_fetched_when_a_token_names_it(
    remote: Guard, issuer: Issuer, server: KeyServer, clock: Clock
) -> None:
    assert resolve(remote, bearer(issuer.token("first"))) == "ada"
    issuer.add("second")
    server.body = issuer.body()
    clock.now += keysets.REFETCH_SECONDS
    assert resolve(remote, bearer(issuer.token("second"))) == "ada"
    assert server.asked == 2


def test_made_up_keys_do_not_drive_the_issuers_server(remote: Guard, server: KeyServer) -> None:
    stranger = Issuer()
    for number in range(30):
        stranger.add(f"made-up-{number}")
    headers = [bearer(stranger.token(kid)) for kid in stranger.keys]

    async def attack() -> list[Any]:
        return await asyncio.gather(*(remote.resolve(header) for header in headers), return_exceptions=True)

    for problem in [*asyncio.run(attack()), *asyncio.run(attack())]:
        assert isinstance(problem, Problem)
        assert (problem.status, problem.detail) == (401, "The token's key is not known here.")
    assert server.asked == 1


def test_a_key_server_out_of_order_leaves_what_is_known(
    remote: Guard, issuer: Issuer, server: KeyServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert resolve(remote, bearer(issuer.token("first", jti="a"))) == "ada"
    server.status = 500
    issuer.add("second")
    clock.now += 10 * keysets.STALE_SECONDS
    with caplog.at_level(logging.WARNING):
        assert resolve(remote, bearer(issuer.token("first", jti="b"))) == "ada"
        clock.now += keysets.REFETCH_SECONDS
        assert refused(lambda: resolve(remote, bearer(issuer.token("second")))).status == 401
    assert "cannot be fetched" in caplog.text


def test_before_the_first_keys_no_token_is_called_wrong(
    remote: Guard, issuer: Issuer, server: KeyServer
) -> None:
    server.status = 503
    for _ in range(2):
        problem = refused(lambda: resolve(remote, bearer(issuer.token("first"))))
        assert (problem.status, problem.headers["Retry-After"]) == (503, "10")
    assert server.url not in str(problem.document())


def test_fetching_holds_nobody_else_up(
    remote: Guard, issuer: Issuer, server: KeyServer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keysets, "TIMEOUT_SECONDS", 60.0)
    server.open.clear()
    other = bearer(tokens.add(file, "ci"))
    guard = Guard(TokenFile(file), remote._verifier)

    async def both() -> tuple[bool, list[str]]:
        waiting = asyncio.gather(*(guard.resolve(bearer(issuer.token("first", jti=i))) for i in "abc"))
        await asyncio.sleep(0.05)
        await guard.resolve(other)
        ended = waiting.done()
        server.open.set()
        return ended, await waiting

    ended, names = asyncio.run(both())
    assert not ended
    assert names == ["ada"] * 3
    assert server.asked == 1


def test_a_caller_that_leaves_does_not_end_the_fetch_of_others(
    remote: Guard, issuer: Issuer, server: KeyServer
) -> None:
    server.pause_seconds = 0.2

    async def leave() -> str:
        first = asyncio.create_task(remote.resolve(bearer(issuer.token("first", jti="a"))))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(remote.resolve(bearer(issuer.token("first", jti="b"))))
        await asyncio.sleep(0.05)
        first.cancel()
        return await second

    assert asyncio.run(leave()) == "ada"


def test_tokens_are_remembered_under_a_hash_that_others_cannot_make(file: Path) -> None:
    secret = bearer(tokens.add(file, "ci"))
    one, two = (Guard(TokenFile(file), None) for _ in range(2))
    for guard in (one, two):
        resolve(guard, secret)
    places = [next(iter(guard._admitted)) for guard in (one, two)]
    assert places[0] != places[1]
    assert hashlib.blake2b(secret, digest_size=16).digest() not in places


def test_the_settings_make_the_guard(file: Path) -> None:
    assert guards.open_guard(settings.load()) is None
    secret = tokens.add(file, "ci")
    guard = guards.open_guard(settings.load(auth_tokens_file=file, auth_rate=1))
    assert guard is not None
    assert resolve(guard, bearer(secret)) == "ci"
    assert refused(lambda: guard.known(bearer(secret))).status == 429
    with pytest.raises(errors.SettingsError, match="PILOTAGE_AUTH_TOKENS_FILE"):
        guards.open_guard(settings.load(auth_tokens_file=file.with_name("none")))
