"""Headers that every answer has: nothing is loaded from elsewhere, framed, guessed or sent in the clear.

Nothing is kept on the way either, unless an answer itself says that it may be.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.console.access import origins
from pilotage.console.api import problems
from pilotage.core import errors
from pilotage.core.settings import Settings

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " font-src 'self'; form-action 'self'; frame-ancestors 'none'; frame-src 'self'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_YEAR_SECONDS = 31_536_000


def add_to(headers: MutableHeaders, request: HTTPConnection, settings: Settings) -> None:
    """Add what is not there yet to the headers of the answer to `request`."""
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if origins.origin_of(request, settings).startswith("https://"):
        headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR_SECONDS}")


class Shield:
    """Answers only requests for this console's own names, and adds the headers."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                add_to(headers, request, self._settings)
                message["headers"] = headers.raw
            await send(message)

        try:
            origins.require_own_host(request, self._settings)
            origins.require_token_inside(request, self._settings)
        except (errors.RequestError, errors.Forbidden) as error:
            await problems.response_to(error)(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)
