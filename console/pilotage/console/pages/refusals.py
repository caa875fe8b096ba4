"""What people see when a page cannot be shown: why, and what to do; or first the way in."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from pilotage.console.api import problems
from pilotage.console.pages.rendering import page


def response_to(request: Request, error: Any) -> Response:
    """The page about `error`; whoever is not signed in is shown where to."""
    answer = problems.response_to(error)
    if answer.status_code == HTTPStatus.UNAUTHORIZED and not request.url.path.startswith("/sign-in"):
        return _to_sign_in(request, answer)
    found = page(
        request, "refusal.html.j2", status=answer.status_code, actor=None, problem=problems.document_of(error)
    )
    found.headers["Cache-Control"] = "no-store"
    for name in ("retry-after", "allow"):
        if name in answer.headers:
            found.headers[name] = answer.headers[name]
    return found


def _to_sign_in(request: Request, answer: Response) -> Response:
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if "hx-request" in request.headers:  # a part of a page: the whole goes to sign in
        current = urlsplit(request.headers.get("hx-current-url", "/"))
        path = current.path + (f"?{current.query}" if current.query else "")
        answer.headers["HX-Redirect"] = f"/sign-in?{urlencode({'next': path})}"
        return answer
    if "text/event-stream" in request.headers.get("accept", ""):
        return answer
    where = f"/sign-in?{urlencode({'next': path})}" if request.method in ("GET", "HEAD") else "/sign-in"
    return RedirectResponse(where, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
