"""Signing in at an OpenID provider: authorization code with PKCE, state and nonce; roles from a claim.

Each request to sign in is a row that is used once; its state is also in a
cookie of the browser that began, so that nobody can be made to end what another
began. Nothing that the provider sends is kept but who somebody is and their roles.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import delete, insert, select

from pilotage.console.access import identities
from pilotage.console.access.digests import digest_of, new_secret
from pilotage.console.operations.desks import Desk
from pilotage.core import errors
from pilotage.core.settings import Settings, is_loopback
from pilotage.pipelines import tables

logger = logging.getLogger(__name__)

CALLBACK = "/sign-in/oidc/callback"
_VALID = timedelta(minutes=10)
_TIMEOUT_SECONDS = 10.0
_REMEMBERED_SECONDS = 300.0
_LEEWAY_SECONDS = 60
_ALGORITHMS = ("RS256", "PS256", "ES256")
_MOST_BYTES = 1 << 20


class Beginning(NamedTuple):
    """Where to send a browser, and the state that it is to come back with."""

    url: str
    state: str


def begin(desk: Desk, origin: str, following: str) -> Beginning:
    """Begin a sign-in; `origin` is the console's own, `following` the path to go on to.

    Raises:
        SettingsError: no provider is set, or it is set wrong.
        Unavailable: the provider does not answer as one does.
    """
    found = _metadata_of(desk.settings)
    state, nonce, verifier, now = new_secret(), new_secret(), new_secret(), tables.now()
    row = {"digest": digest_of(state), "nonce": nonce, "verifier": verifier, "next": following}
    table = tables.oidc_requests
    with desk.engine.begin() as connection:
        connection.execute(delete(table).where(table.c.expires_at < now))
        connection.execute(insert(table), {**row, "expires_at": now + _VALID})
    with _connect() as session:
        url, _ = _client(session, desk.settings, origin).create_authorization_url(
            found["authorization_endpoint"], state=state, code_verifier=verifier, nonce=nonce
        )
    return Beginning(str(url), state)


def complete(desk: Desk, origin: str, state: str, code: str) -> tuple[str, str]:
    """The user whom the provider sent back with `code`, and the path to go on to.

    Raises:
        Unauthenticated: the sign-in was not begun here, was ended before, or the provider's word is wrong.
        SettingsError, Unavailable: see `begin`.
    """
    table, digest = tables.oidc_requests, digest_of(state)
    with desk.engine.begin() as connection:
        tables.lock(connection, "oidc")
        row = connection.execute(select(table).where(table.c.digest == digest)).first()
        connection.execute(delete(table).where(table.c.digest == digest))
    if row is None or row.expires_at <= tables.now():
        raise _refused("it was not begun here, was ended before, or took longer than ten minutes")
    found = _metadata_of(desk.settings)
    with _connect() as session:
        token = _exchange(session, desk.settings, found, origin, code, row.verifier)
        keys = _get(session, found["jwks_uri"])
    claims = _claims(desk.settings, found["issuer"], token, keys, row.nonce)
    return identities.admit(desk, found["issuer"], claims), row.next


def _exchange(
    session: httpx.Client,
    settings: Settings,
    found: Mapping[str, Any],
    origin: str,
    code: str,
    verifier: str,
) -> Mapping[str, Any]:
    """The tokens for a code."""
    secret = _secret(settings)
    known = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    body, auth = {"client_id": settings.oidc_client_id}, httpx.Auth()
    if secret and "client_secret_basic" in known:
        auth = httpx.BasicAuth(quote(settings.oidc_client_id, safe=""), quote(secret, safe=""))
    elif secret:
        body["client_secret"] = secret
    try:
        token = _client(session, settings, origin).fetch_token(
            found["token_endpoint"],
            grant_type="authorization_code",
            code=code,
            code_verifier=verifier,
            auth=auth,
            **body,
        )
    except AuthlibBaseError as error:
        raise _refused(f"the provider does not take its own code: {error.error}") from error
    except (httpx.HTTPError, ValueError) as error:
        raise _unavailable(found["token_endpoint"], type(error).__name__) from error
    if not isinstance(token, Mapping) or not isinstance(token.get("id_token"), str):
        raise _refused("the provider sent no id token; is the scope `openid` allowed for this client?")
    return token


def _claims(
    settings: Settings, issuer: str, token: Mapping[str, Any], keys: Mapping[str, Any], nonce: str
) -> Mapping[str, Any]:
    """The claims of an id token that is right."""
    try:
        decoded = jwt.decode(
            token["id_token"],
            KeySet.import_key_set(keys),  # type: ignore[arg-type]
            algorithms=list(_ALGORITHMS),
        )
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": issuer},
                "aud": {"essential": True, "value": settings.oidc_client_id},
                "sub": {"essential": True},
                "nonce": {"essential": True, "value": nonce},
            },
            params={
                "nonce": nonce,
                "client_id": settings.oidc_client_id,
                "access_token": token.get("access_token"),
            },
        )
        claims.validate(leeway=_LEEWAY_SECONDS)
    except (JoseError, AuthlibBaseError, ValueError, KeyError, TypeError) as error:
        raise _refused(f"the id token does not hold: {error}") from error
    found: Mapping[str, Any] = dict(claims)
    return found


def _client(session: httpx.Client, settings: Settings, origin: str) -> Any:
    return OAuth2Client(
        session=session,
        client_id=settings.oidc_client_id,
        scope="openid profile email",
        redirect_uri=f"{origin}{CALLBACK}",
        code_challenge_method="S256",
    )


def _metadata_of(settings: Settings) -> Mapping[str, Any]:
    if not settings.oidc_issuer or not settings.oidc_client_id:
        raise errors.SettingsError(
            "No OpenID provider is set.", remedy="Set PILOTAGE_OIDC_ISSUER and PILOTAGE_OIDC_CLIENT_ID."
        )
    return _discover(settings.oidc_issuer, int(time.monotonic() // _REMEMBERED_SECONDS))


@lru_cache(maxsize=4)
def _discover(issuer: str, _: int) -> Mapping[str, Any]:
    url = f"{issuer}/.well-known/openid-configuration"
    with _connect() as session:
        found = _get(session, url)
    if str(found.get("issuer", "")).rstrip("/") != issuer:
        raise errors.SettingsError(
            f"PILOTAGE_OIDC_ISSUER is {issuer}, but {url} is of the issuer `{found.get('issuer')}`.",
            remedy="Set the issuer exactly as the provider names it.",
        )
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        place = urlsplit(str(found.get(name, "")))
        if place.scheme != "https" and not (place.scheme == "http" and is_loopback(place.hostname or "")):
            raise errors.SettingsError(
                f"{url} gives `{found.get(name)}` as its {name}, which is no https:// URL.",
                remedy="Configure the provider to be reached over https.",
            )
    return found


def _connect() -> httpx.Client:
    return httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=False)


def _get(session: httpx.Client, url: str) -> Mapping[str, Any]:
    try:
        answer = session.get(url, headers={"Accept": "application/json"})
        answer.raise_for_status()
        found = answer.json() if len(answer.content) <= _MOST_BYTES else None
    except (httpx.HTTPError, ValueError) as error:
        raise _unavailable(url, str(error) or type(error).__name__) from error
    if not isinstance(found, dict):
        raise _unavailable(url, "what it sends is no JSON object")
    return found


def _secret(settings: Settings) -> str:
    file = settings.oidc_client_secret_file
    if file is None:
        return settings.oidc_client_secret.get_secret_value()
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(
            f"PILOTAGE_OIDC_CLIENT_SECRET_FILE: {file} cannot be read.",
            remedy="Put the client's secret into it, readable for the console.",
        ) from error


def _unavailable(url: str, why: str) -> errors.Unavailable:
    told = " ".join(why.split())[:200]
    return errors.Unavailable(
        f"The OpenID provider does not answer as one at {url}: {told}.",
        remedy="Check PILOTAGE_OIDC_ISSUER and that the console can reach it; local accounts work meanwhile.",
    )


def _refused(why: str) -> errors.Unauthenticated:
    logger.warning("a sign-in with the OpenID provider was refused: %s", why)
    return errors.Unauthenticated(f"You are not signed in: {why}.", remedy="Begin again at /sign-in.")
