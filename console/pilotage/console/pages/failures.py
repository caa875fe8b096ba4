"""What a person sees where a page cannot be shown: what was wrong, and what to do, in the console's frame.

The status and the words come from where the API takes them too.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request, Response

from pilotage.console.api import problems
from pilotage.console.pages import rendering

_TITLES = {
    401: "You are not signed in",
    403: "You may not do this",
    404: "This is not there",
    409: "This cannot be done now",
    412: "Somebody was faster",
    413: "This is too large",
    422: "This cannot be taken",
    429: "Too many at once",
    503: "Something else does not answer",
}
"""What people read in place of a status' name."""


def response_to(request: Request, error: Exception) -> Response:
    """The page that tells of `error`."""
    document = problems.document_of(error)
    missing = document["status"] == 404 and document["type"] == "about:blank"
    return rendering.page(
        request,
        "problem.html.j2",
        actor=getattr(request.state, "actor", None),
        status=document["status"],
        title=_TITLES.get(document["status"], document["title"]),
        back=back_to(request),
        detail=f"There is no page at `{request.url.path}`." if missing else document["detail"],
        remedy=document.get("remedy", ""),
    )


def back_to(request: Request) -> str:
    """The page of this console whose form was sent; empty where the browser names none."""
    told = urlsplit(request.headers.get("referer", ""))
    mine = told.netloc == request.url.netloc and told.path.startswith("/") and not told.path.startswith("//")
    return told.path if mine and request.method == "POST" else ""
