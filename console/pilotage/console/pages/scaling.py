"""Whether a pilot is worth scaling: its forecast and its smaller models, live while a study goes on.

What one kind of study shows is a part of its own: a function in PARTS that renders the newest study and the
newest that succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from markupsafe import Markup

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import marks, pilots, studies
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.studies import Study
from pilotage.console.pages import rendering, scores, shrinks, streams
from pilotage.console.pages.runs import After
from pilotage.console.pages.streams import Reading
from pilotage.core import errors
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.studies import Kind

router = APIRouter()

Show = Callable[[str, Study | None, Study | None], str]
"""HTML of a pilot's newest study of a kind, and of the newest that succeeded."""


def show_forecast(pilot: str, newest: Study | None, done: Study | None) -> str:
    """The part of the page about forecasts."""
    document = None if done is None else done.document
    return rendering.fragment(
        "parts/scaling_forecast.html.j2",
        pilot=pilot,
        newest=newest,
        done=done,
        document=document,
        picture=None if document is None else _picture(document),
    )


PARTS: Mapping[Kind, Show] = {
    Kind.FORECAST: show_forecast,
    Kind.SHRINK: shrinks.show_shrink,
    Kind.SCORE: scores.show_scores,
}
"""By kind of study, in the order of the page."""
BUTTONS: Mapping[Kind, str] = {Kind.FORECAST: "Forecast", Kind.SHRINK: "Find smaller models"}
"""By kind, what starts one; scoring has a form of its own."""
OPTIONS: Mapping[Kind, Mapping[str, object]] = {Kind.FORECAST: {}, Kind.SHRINK: shrinks.LOOK}
"""By kind, what it is then told."""


@dataclass(frozen=True)
class ScalingSource:
    """A pilot's studies as some people see them."""

    desk: Desk
    actor: Actor
    pilot: str

    @property
    def key(self) -> Hashable:
        """The pilot: whoever may look at it sees the same."""
        return "scaling", self.pilot

    def fingerprint(self) -> Hashable:
        """Of all that the page tells."""
        return marks.of_studies(self.desk, self.pilot)

    def read(self) -> Reading:
        """Each kind's part."""
        return Reading({str(kind): self._part(kind, show) for kind, show in PARTS.items()})

    def _part(self, kind: Kind, show: Show) -> str:
        newest = studies.latest(self.desk, self.actor, self.pilot, kind)
        done = newest
        if newest is not None and newest.state is not State.SUCCEEDED:
            done = studies.latest(self.desk, self.actor, self.pilot, kind, State.SUCCEEDED)
        return show(self.pilot, newest, done)


@router.get("/pilots/{pilot}/scaling")
def show_scaling(request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str) -> HTMLResponse:
    """What a pilot's studies found."""
    found = pilots.get_pilot(desk, actor, pilot)
    going = {
        kind: study
        for kind in PARTS
        if (study := studies.latest(desk, actor, pilot, kind)) is not None and not study.ended
    }
    return rendering.live_page(
        request,
        "pilot_scaling.html.j2",
        ScalingSource(desk, actor, pilot).read(),
        actor=actor,
        live=f"/pilots/{pilot}/scaling/live",
        pilot=found,
        kinds=list(PARTS),
        buttons=BUTTONS,
        going=going,
        may=actor.may(Permission.OPERATE, pilot),
    )


@router.get("/pilots/{pilot}/scaling/live")
def follow_scaling(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, after: After = ""
) -> StreamingResponse:
    """The same, while it changes."""
    pilots.get_pilot(desk, actor, pilot)
    return streams.respond(request, ScalingSource(desk, actor, pilot), after)


@router.post("/pilots/{pilot}/scaling/{kind}")
def start(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, kind: Kind
) -> RedirectResponse:
    """Start a study with its defaults."""
    place = f"/pilots/{pilot}/scaling"
    if kind not in OPTIONS:
        raise errors.NotFound(f"No study of kind `{kind}` is started here.", remedy=f"See {place}.")
    try:
        found = studies.start_study(desk, actor, pilot, kind, OPTIONS[kind])
    except (errors.RunActive, errors.Conflict, errors.Unavailable) as error:
        return rendering.see(request, place, f"{error.message} {error.remedy}".strip(), "failed")
    return rendering.see(request, place, f"Study {found.id} has begun; this page shows how far it is.")


@router.post("/pilots/{pilot}/scaling/studies/{study}/cancel")
def cancel(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    study: str,
    why: Annotated[str, Form(max_length=1000)] = "",
) -> RedirectResponse:
    """Tell a study to stop."""
    place = f"/pilots/{pilot}/scaling"
    try:
        studies.cancel_study(desk, actor, pilot, study, why=why)
    except errors.Conflict as error:
        return rendering.see(request, place, error.message, "warning")
    return rendering.see(request, place, "It was told to stop; what it has finished is kept.")


def _picture(document: Mapping[str, object]) -> Markup:
    from pilotage.components.forecasts import plots

    drawn = plots.of_document(document, styled=False, key="forecast-plot")
    return Markup(drawn)  # noqa: S704 - it escapes what it is given
