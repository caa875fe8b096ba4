"""Where somebody who is not signed in is sent instead of the page that they asked for."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from pilotage.console.api import problems
from pilotage.core import errors

SIGN_IN = "/sign-in"


def response_to(request: Request, error: errors.Unauthenticated) -> Response:
    """The way to sign in, and back; what a script loads into a page is refused, and the page goes there."""
    answer: Response = problems.response_to(error)
    if "hx-request" in request.headers:
        answer.headers["HX-Redirect"] = _way_back(request.headers.get("hx-current-url", "/"))
    elif "text/event-stream" not in request.headers.get("accept", ""):
        where = _address(request.url.path, request.url.query)
        if request.method not in ("GET", "HEAD"):
            where = SIGN_IN  # what a form sent is not sent again
        answer = RedirectResponse(where, HTTPStatus.SEE_OTHER)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _way_back(url: str) -> str:
    """The way to sign in, and back to the page at `url`; only the way in where that is none."""
    try:
        current = urlsplit(url)
    except ValueError:
        return _address("/", "")
    return _address(current.path, current.query)


def _address(path: str, query: str) -> str:
    return f"{SIGN_IN}?{urlencode({'next': f'{path}?{query}' if query else path})}"
