"""Where requests come from and are sent to: no other site, and no name that was pointed at this machine.

A page of another site can send requests to a console on loopback, under a
name of its own that it has pointed here (DNS rebinding). So only names that
the console knows to be its own are answered. Who sends a request is decided in
`doors`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request
from starlette.requests import HTTPConnection

from pilotage.core import errors
from pilotage.core.settings import Settings, is_loopback

_FRIENDLY = ("same-origin", "none")
"""Values of Sec-Fetch-Site that our own pages and address bars send."""


def require_own_host(request: HTTPConnection, settings: Settings) -> None:
    """Do nothing if the request is for a name of this console.

    Raises:
        RequestError: it is for another one.
    """
    host = request.headers.get("host", "")
    if is_loopback(_name(host)) or (settings.console_url and host.lower() == _place(settings.console_url)):
        return
    if _name(host).lower() in settings.inside_hosts:
        return
    raise errors.RequestError(
        f"This console is not `{host[:100]}`.",
        remedy="Use an address on loopback, or set PILOTAGE_CONSOLE_URL to the address that people use.",
    )


def require_token_inside(request: HTTPConnection, settings: Settings) -> None:
    """Do nothing unless the request is for a name inside a cluster, where only programs with tokens may ask.

    Nobody signs in there: their cookie would go in the clear.

    Raises:
        Forbidden: it is, and is for a page, or shows no token.
    """
    name = _name(request.headers.get("host", "")).lower()
    if name not in settings.inside_hosts or name == urlsplit(settings.console_url).hostname:
        return
    shows = request.headers.get("authorization", "").lower().startswith("bearer ")
    if shows and request.url.path.startswith("/api/"):
        return
    raise errors.Forbidden(
        f"At `{name}` the console answers programs that show a token, and has no pages.",
        remedy=f"People use {settings.console_url or 'an address on loopback'}; programs send"
        " `Authorization: Bearer` to /api/v1.",
    )


def origin_of(request: HTTPConnection, settings: Settings) -> str:
    """Scheme, host and port that people reach the console at, as the request was sent."""
    host = request.headers.get("host", "").lower()
    if settings.console_url and host == _place(settings.console_url):
        return settings.console_url
    return f"{request.url.scheme}://{host}"


def require_same_site(request: Request, settings: Settings) -> None:
    """Do nothing if no page of another site sent the request.

    Raises:
        Forbidden: one did.
    """
    fetched = request.headers.get("sec-fetch-site", "same-origin").lower()
    origin = request.headers.get("origin", "").lower()
    if fetched in _FRIENDLY and origin in ("", origin_of(request, settings).lower()):
        return
    raise errors.Forbidden(
        f"The request comes from a page of another site, {origin or fetched}.",
        remedy="Use the console's own pages. Behind a proxy, set PILOTAGE_CONSOLE_URL to the address that"
        " people use and let the proxy pass `Host` on.",
    )


def is_here(request: HTTPConnection) -> bool:
    """Whether whoever sends the request is at this machine."""
    address = request.client.host if request.client is not None else ""
    return is_loopback(address) and is_loopback(_name(request.headers.get("host", "")))


def _name(host: str) -> str:
    """The name in a `Host`; empty where more than a name and a port is there."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is none
        plain = parts.netloc == host and parts.username is None
    except ValueError:
        return ""
    return parts.hostname or "" if plain else ""


def _place(url: str) -> str:
    return urlsplit(url).netloc.lower()
