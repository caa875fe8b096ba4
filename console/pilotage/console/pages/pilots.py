"""The first page: every pilot, and where it stands."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.api.parameters import (
    ActorParameter,
    CursorParameter,
    DeskParameter,
    SearchParameter,
)
from pilotage.console.operations import marks, overviews, pilots
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.overviews import Overview
from pilotage.console.pages import rendering, streams
from pilotage.console.pages.figures.sparklines import spark
from pilotage.console.pages.runs import After
from pilotage.console.pages.streams import Reading

router = APIRouter()

_SHOWN = 25


@dataclass(frozen=True)
class PilotsSource:
    """A part of the list of pilots as some people see it."""

    desk: Desk
    actor: Actor
    search: str
    cursor: str | None = None

    @property
    def key(self) -> Hashable:
        """What was searched for, and what may be seen."""
        administers = self.actor.may(Permission.ADMINISTER)
        return "pilots", self.search, self.cursor, self.actor.readable, administers

    def fingerprint(self) -> Hashable:
        """Of all that a row tells."""
        return marks.of_pilots(self.desk), marks.of_runs(self.desk)

    def read(self) -> Reading:
        """The table."""
        listing = overviews.list_overviews(
            self.desk, self.actor, search=self.search, cursor=self.cursor, limit=_SHOWN
        )
        html = rendering.fragment(
            "parts/pilots.html.j2",
            listing=listing,
            search=self.search,
            first=self.cursor is not None,
            may_add=self.actor.may(Permission.ADMINISTER),
            draw=_draw,
        )
        return Reading({"pilots": html})


@router.get("/")
def show_pilots(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    search: SearchParameter = "",
    cursor: CursorParameter = None,
) -> HTMLResponse:
    """Every pilot."""
    source = PilotsSource(desk, actor, search, cursor)
    return rendering.live_page(
        request,
        "pilots.html.j2",
        source.read(),
        actor=actor,
        live=f"/live?{request.url.query}",
        search=search,
    )


@router.get("/live")
def follow_pilots(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    search: SearchParameter = "",
    cursor: CursorParameter = None,
    after: After = "",
) -> StreamingResponse:
    """The same, while it changes."""
    pilots.list_pilots(desk, actor, search=search, cursor=cursor, limit=1)
    return streams.respond(request, PilotsSource(desk, actor, search, cursor), after)


def _draw(pilot: Overview) -> dict[str, str]:
    """The sparklines of a row."""
    standing = pilot.standing
    colour = {True: "good", False: "bad", None: ""}[standing.met]
    metrics = [window.metric for window in pilot.windows]
    return {
        "goal": spark(metrics, standing.metric, target=standing.target, kind=colour),
        "traffic": spark([float(window.rows) for window in pilot.windows], "rows a window", low=0.0),
    }
