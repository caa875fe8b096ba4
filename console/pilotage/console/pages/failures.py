"""What a person sees where a page cannot be shown: what was wrong, and what to do, in the console's frame.

The status and the words come from where the API takes them too.
"""

from __future__ import annotations

from fastapi import Request, Response

from pilotage.console.api import problems
from pilotage.console.pages import rendering


def response_to(request: Request, error: Exception) -> Response:
    """The page that tells of `error`."""
    document = problems.document_of(error)
    missing = document["status"] == 404 and document["type"] == "about:blank"
    return rendering.page(
        request,
        "problem.html.j2",
        actor=getattr(request.state, "actor", None),
        status=document["status"],
        title=document["title"],
        detail=f"There is no page at `{request.url.path}`." if missing else document["detail"],
        remedy=document.get("remedy", ""),
    )
