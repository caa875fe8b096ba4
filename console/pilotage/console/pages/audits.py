"""Who did what, when, why, to which version."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter
from pilotage.console.operations.evidence import audits
from pilotage.console.operations.evidence.audits import Filter
from pilotage.console.pages.rendering import page

router = APIRouter()


@router.get("/audit")
def show_audit(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: Annotated[str, Query(max_length=63)] = "",
    who: Annotated[str, Query(max_length=200)] = "",
    action: Annotated[str, Query(max_length=32)] = "",
    since: Annotated[str, Query(max_length=10)] = "",
    until: Annotated[str, Query(max_length=10)] = "",
    cursor: CursorParameter = None,
) -> HTMLResponse:
    """The audit; `since` and `until` are days, both taken in."""
    first, last = audits.parse_moment("since", since), audits.parse_moment("until", until)
    which = Filter(pilot=pilot, who=who, action=action, since=first, until=_end(last))
    asked = {"pilot": pilot, "who": who, "action": action, "since": since, "until": until}
    sent = {
        "pilot": pilot,
        "who": who,
        "action": action,
        "since": _iso(which.since),
        "until": _iso(which.until),
    }
    listing = audits.list_lines(desk, actor, which, cursor=cursor)
    return page(
        request,
        "audit.html.j2",
        actor=actor,
        listing=listing,
        chain=audits.chain(desk, actor),
        actions=audits.actions(desk, actor),
        asked=asked,
        shown=_set(asked),
        first=cursor is not None,
        exported=_set(sent),
    )


def _end(day: datetime | None) -> datetime | None:
    """The first moment after a day."""
    if day is None or day.date() == date.max:
        return None
    return datetime.combine(day.date(), time(), UTC) + timedelta(days=1)


def _iso(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()


def _set(values: dict[str, str]) -> dict[str, str]:
    """Those that are not empty."""
    return {name: value for name, value in values.items() if value}
