"""Who sends a request: by the cookie of a session or by a bearer token; what they may do is not known here.

A browser adds its cookie to whatever page makes it ask, so requests that
change something and come with one must also show the session's CSRF token. A
bearer token is added by nobody unasked, and needs none.
"""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool

from pilotage.console.access import origins, sessions, tokens
from pilotage.console.access.actors import Actor
from pilotage.console.access.digests import are_equal
from pilotage.console.access.sessions import Session
from pilotage.console.operations.desks import Desk
from pilotage.core import errors

CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
_SAFE = ("GET", "HEAD", "OPTIONS")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def authenticate(request: Request) -> Actor:
    """Who sends a request.

    Raises:
        Unauthenticated: they do not say, or their proof does not hold.
    """
    held: Actor | None = getattr(request.state, "actor", None)
    if held is not None:
        return held
    token = _bearer(request)
    if token is not None:
        actor = tokens.actor_of(_desk(request), token)
    else:
        session = session_of(request)
        if session is None:
            raise errors.Unauthenticated(
                "You are not signed in.", remedy="Sign in, or send `Authorization: Bearer` with a token."
            )
        actor = session.actor
    request.state.actor = actor
    return actor


def is_still(request: Request, actor: Actor) -> bool:
    """Whether a request that goes on for long would still be by `actor`, with the same roles."""
    afresh = Request({**request.scope, "state": {}})
    try:
        found: Actor = request.app.state.authenticate(afresh)
    except errors.Unauthenticated:
        return False
    return found == actor


def session_of(request: Request) -> Session | None:
    """The session whose cookie the request has; None where it has none that holds.

    Its CSRF token is then in `request.state.csrf`, from which forms take it.
    """
    if not hasattr(request.state, "session"):
        cookie = cookie_of(request)
        request.state.session = sessions.find(_desk(request), cookie) if cookie else None
        request.state.csrf = request.state.session.csrf if request.state.session else ""
    found: Session | None = request.state.session
    return found


async def require_own_page(request: Request) -> None:
    """Do nothing if a request only looks, or comes from a page of ours.

    Raises:
        Forbidden: another site sent it, or it lacks its session's CSRF token.
    """
    if request.method in _SAFE or _bearer(request) is not None:
        return
    origins.require_same_site(request, _desk(request).settings)
    session = await run_in_threadpool(session_of, request)
    if session is None:
        return
    shown = request.headers.get(CSRF_HEADER, "")
    if not shown and request.headers.get("content-type", "").split(";")[0].strip().lower() in _FORMS:
        shown = str((await request.form()).get(CSRF_FIELD, ""))
    if not are_equal(shown, session.csrf):
        raise errors.Forbidden(
            f"The request lacks its session's CSRF token: the field `{CSRF_FIELD}` or `{CSRF_HEADER}`.",
            remedy="Load the page again and repeat; `GET /api/v1/me` tells programs the token.",
        )


def cookie_of(request: Request) -> str | None:
    """The session's cookie that the request has."""
    return request.cookies.get(_cookie_name(request))


def set_cookie(request: Request, response: Response, cookie: str) -> None:
    """Let the browser send `cookie` from now on."""
    settings = _desk(request).settings
    response.set_cookie(
        _cookie_name(request),
        cookie,
        max_age=int(settings.session_hours * 3600),
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )


def drop_cookie(request: Request, response: Response) -> None:
    """Let the browser forget its cookie."""
    response.delete_cookie(
        _cookie_name(request), path="/", secure=is_secure(request), httponly=True, samesite="lax"
    )


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client is not None else ""


def next_of(text: str) -> str:
    """`text` if it is the path of a page of ours, to go on to after signing in; else the first page."""
    plain = text.isascii() and text.isprintable() and "\\" not in text
    return text if plain and text.startswith("/") and not text.startswith("//") else "/"


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _cookie_name(request: Request) -> str:
    """Cookies know no ports: two consoles on one machine have names of their own."""
    if is_secure(request):
        return "__Host-pilotage"
    return f"pilotage-{request.url.port or 80}"


def is_secure(request: Request) -> bool:
    """Whether people reach the console over https."""
    return origins.origin_of(request, _desk(request).settings).startswith("https://")


def _desk(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found
