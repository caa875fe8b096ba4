"""Who sends a request, and whether they may: the one question that HTTP and gRPC ask.

A token that was accepted is remembered under a keyed hash, so that it costs two
microseconds the next time; what is refused is not remembered, so that made-up
tokens take no memory. Used on the event loop alone, without locks. How a wire
carries the header and the refusal is not known here.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from pilotage.core.settings import Settings
from pilotage.serving import problems
from pilotage.serving.problems import Problem
from pilotage.serving.security import jwts
from pilotage.serving.security.jwts import Verifier
from pilotage.serving.security.rates import Rate, Rates
from pilotage.serving.security.tokens import Role, TokenFile

PUBLIC = frozenset(
    {"/health", "/health/live", "/health/ready", "/ping", "/v2/health/live", "/v2/health/ready"}
)
"""Paths that are answered without a token: probes have none."""
_METRICS = "/metrics"
_LOOK_SECONDS = 1.0
"""How often the file of tokens is looked at."""
_TRUST_SECONDS = 300.0
"""How long a JSON Web Token is believed before it is verified again."""


@dataclass(slots=True)
class _Admitted:
    """A caller whose token was found good."""

    name: str
    roles: frozenset[Role]
    until: float
    """By the guard's clock."""
    rate: Rate | None


class Guard:
    """Admits callers by their `Authorization`."""

    def __init__(
        self,
        tokens: TokenFile | None,
        verifier: Verifier | None,
        rate: float = 0.0,
        *,
        workers: int = 1,
        most: int = 4096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            tokens: from a file.
            verifier: of JSON Web Tokens.
            rate: requests a second of callers that have none of their own; 0 for no limit.
            workers: processes that share the traffic; each admits its part of a rate.
            most: callers that are remembered.
            clock: seconds.
        """
        self._tokens = tokens
        self._verifier = verifier
        self._rate = rate
        self._workers = workers
        self._most = most
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._admitted: OrderedDict[bytes, _Admitted] = OrderedDict()
        self._rates = Rates()
        self._look_at = clock() + _LOOK_SECONDS
        self._fetching: asyncio.Task[None] | None = None

    @property
    def remembered(self) -> int:
        """Callers that are remembered."""
        return len(self._admitted)

    def known(self, authorization: bytes | None, role: Role = Role.PREDICT) -> str | None:
        """The name of a caller that was admitted before, counted against its rate; None: ask `resolve`.

        Raises:
            Problem: there is no token, or its owner may not do this or not so often.
        """
        if authorization is None:
            raise problems.unauthorized("This server asks for a bearer token.")
        now = self._clock()
        if now >= self._look_at:
            self._look(now)
        place = self._place(authorization)
        caller = self._admitted.get(place)
        if caller is None:
            return None
        if now >= caller.until:
            del self._admitted[place]
            return None
        self._admitted.move_to_end(place)
        return _pass(caller, role, now)

    async def resolve(self, authorization: bytes | None, role: Role = Role.PREDICT) -> str:
        """The name of the caller, fetching the issuer's keys when they are needed.

        Raises:
            Problem: the caller cannot be admitted.
        """
        name = self.known(authorization, role)
        if name is not None:
            return name
        token = _token(authorization or b"")
        caller = self._of_file(token)
        if caller is None:
            caller = await self._of_issuer(token)
        self._admitted[self._place(authorization or b"")] = caller
        if len(self._admitted) > self._most:
            self._admitted.popitem(last=False)
        return _pass(caller, role, self._clock())

    def _place(self, authorization: bytes) -> bytes:
        return hashlib.blake2b(authorization, key=self._key, digest_size=16).digest()

    def _look(self, now: float) -> None:
        self._look_at = now + _LOOK_SECONDS
        if self._tokens is not None and self._tokens.changed():
            self._admitted.clear()

    def _of_file(self, token: bytes) -> _Admitted | None:
        found = self._tokens.find(token) if self._tokens is not None else None
        if found is None:
            return None
        rate = self._limit(f"token:{found.name}", self._rate if found.rate is None else found.rate)
        return _Admitted(found.name, found.roles, float("inf"), rate)

    async def _of_issuer(self, token: bytes) -> _Admitted:
        if self._verifier is None or token.count(b".") != 2:
            raise problems.unauthorized("The token is not known here.", "invalid_token")
        keys = self._verifier.keys
        try:
            claims = self._verifier.verify(token)
        except jwts.KeyUnknown:
            if keys.may_fetch() or self._fetching is not None:
                await asyncio.shield(self._fetch())
            claims = self._verify_again(token)
        else:
            if keys.is_stale() and keys.may_fetch():
                self._fetch()
        left = claims.expires - time.time()
        rate = self._limit(f"jwt:{claims.subject}", self._rate)
        return _Admitted(claims.subject, claims.roles, self._clock() + min(left, _TRUST_SECONDS), rate)

    def _verify_again(self, token: bytes) -> jwts.Claims:
        """The claims of a token, now that there was an attempt to fetch its key."""
        assert self._verifier is not None  # noqa: S101 - asked only where there is one
        try:
            return self._verifier.verify(token)
        except jwts.KeyUnknown:
            if self._verifier.keys.fetched_at is not None:
                raise problems.unauthorized("The token's key is not known here.", "invalid_token") from None
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                "The issuer's keys cannot be fetched, so no token can be checked; try again.",
                headers={"Retry-After": "10"},
            ) from None

    def _fetch(self) -> asyncio.Task[None]:
        """Fetch the keys in a thread; all who need them wait for the same attempt."""
        if self._fetching is None:
            assert self._verifier is not None  # noqa: S101 - asked only where there is one
            self._fetching = asyncio.create_task(asyncio.to_thread(self._verifier.keys.fetch))
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None

    def _limit(self, caller: str, rate: float) -> Rate | None:
        return self._rates.of(caller, rate / self._workers)


def open_guard(settings: Settings, *, workers: int = 1) -> Guard | None:
    """The guard that the settings ask for; None when they ask for none and anybody may come.

    Raises:
        SettingsError: a file, a URL or an algorithm cannot be used.
    """
    tokens = TokenFile(settings.auth_tokens_file) if settings.auth_tokens_file else None
    verifier = jwts.open_verifier(settings)
    if tokens is None and verifier is None:
        return None
    return Guard(tokens, verifier, settings.auth_rate, workers=workers)


def role_for(path: str) -> Role:
    """What a caller of `path` must be allowed."""
    return Role.METRICS if path == _METRICS else Role.PREDICT


def _pass(caller: _Admitted, role: Role, now: float) -> str:
    if role not in caller.roles:
        raise problems.forbidden(f"`{caller.name}` lacks the role `{role}`.")
    if caller.rate is not None:
        wait = caller.rate.take(now)
        if wait > 0:
            raise problems.too_often(wait)
    return caller.name


def _token(authorization: bytes) -> bytes:
    scheme, _, token = authorization.strip().partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token:
        raise problems.unauthorized("The header must be `Authorization: Bearer TOKEN`.", "invalid_request")
    return token
