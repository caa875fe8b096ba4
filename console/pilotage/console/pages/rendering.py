"""Templates, and what every page has: who asks, the navigation, notices, and nothing loaded from elsewhere.

What is told once after a form was sent (a notice) travels in a cookie that the
next page shows and drops, so that it needs no state here and survives a
redirect to another process.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.pages import events, statics, words
from pilotage.console.pages.streams import Reading

_TEMPLATES = Path(__file__).parent / "templates"
_NOTICE = "pilotage_notice"
_MOST_NOTICE = 1000
"""Letters of a notice; the rest is cut off, for cookies are small."""


class Notice(NamedTuple):
    """What the next page tells."""

    kind: str
    """`done`, `warning` or `failed`."""
    text: str


class Place(NamedTuple):
    """An entry of the navigation."""

    path: str
    label: str
    icon: str


PLACES = (
    Place("/", "Pilots", "pilots"),
    Place("/runs", "Runs", "runs"),
    Place("/models", "Models", "models"),
    Place("/monitoring", "Monitoring", "monitoring"),
    Place("/schedules", "Schedules", "schedules"),
    Place("/audit", "Audit", "audit"),
    Place("/settings", "Settings", "settings"),
)


@cache
def environment() -> jinja2.Environment:
    """The templates; everything is escaped, and a name that is not given is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(words.FILTERS)
    made.globals.update(static=statics.address, places=PLACES, here=here, Permission=Permission)
    return made


def here(path: str) -> str:
    """The entry of the navigation that the page at `path` belongs to."""
    for ending, place in (("/models", "/models"), ("/monitoring", "/monitoring")):
        if path.startswith("/pilots/") and path.endswith(ending):
            return place
    inside = [place.path for place in PLACES[1:] if path == place.path or path.startswith(place.path + "/")]
    return inside[0] if inside else "/"


def page(
    request: Request, template: str, *, actor: Actor | None, status: int = 200, **context: Any
) -> HTMLResponse:
    """Render `template` for `actor`, who is None where nobody is signed in."""
    told = _notice(request)
    values = {
        "actor": actor,
        "csrf": getattr(request.state, "csrf", ""),
        "path": request.url.path,
        "notices": [told] if told else [],
        **context,
    }
    answer = HTMLResponse(environment().get_template(template).render(values), status)
    answer.headers["Cache-Control"] = "no-store"
    if told:
        answer.delete_cookie(_NOTICE, path="/", httponly=True, samesite="strict")
    return answer


def live_page(
    request: Request,
    template: str,
    reading: Reading,
    *,
    actor: Actor | None,
    live: str,
    offsets: Mapping[str, int] | None = None,
    **context: Any,
) -> HTMLResponse:
    """Render a page whose parts go on changing.

    Args:
        request: the request.
        template: shows `parts`, and opens the stream at `live` from `position`.
        reading: what the parts are now.
        actor: who asks.
        live: address of the stream; empty where nothing will change.
        offsets: how much of each log the page has already.
        context: what else the template shows.
    """
    marks = {**reading.marks, **{name: str(end) for name, end in (offsets or {}).items()}}
    parts = {name: Markup(html) for name, html in reading.parts.items()}  # noqa: S704 - rendered by us
    known = events.position_of(marks)
    return page(request, template, actor=actor, parts=parts, live=live, position=known, **context)


def fragment(template: str, **context: Any) -> str:
    """A part of a page, which is also sent to pages that are there already; nothing in it is one person's."""
    return environment().get_template(template).render({"csrf": "", **context})


def see(request: Request, address: str, notice: str = "", kind: str = "done") -> RedirectResponse:
    """Go on to the page at `address` after a form was sent, and tell `notice` there."""
    answer = RedirectResponse(address, 303)
    if notice:
        text = json.dumps([kind, notice[:_MOST_NOTICE]])
        answer.set_cookie(
            _NOTICE,
            base64.urlsafe_b64encode(text.encode()).decode(),
            max_age=60,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return answer


def _notice(request: Request) -> Notice | None:
    """What the page before left to tell; anything that is not ours is as if it were not there."""
    try:
        kind, text = json.loads(base64.urlsafe_b64decode(request.cookies.get(_NOTICE, "")))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        return None
    if kind not in ("done", "warning", "failed") or not isinstance(text, str):
        return None
    return Notice(kind, text)
