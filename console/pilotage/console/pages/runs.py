"""Runs: what ran, what runs, what waits; found by pilot and state, and begun here."""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter
from pilotage.console.operations import marks, overviews
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import runs
from pilotage.console.pages import rendering, streams
from pilotage.console.pages.streams import Reading
from pilotage.core import errors
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.queue.parameters import Parameters

router = APIRouter()

After = Annotated[str, Query(max_length=4000)]


@dataclass(frozen=True)
class RunsSource:
    """A list of runs as some people see it."""

    desk: Desk
    actor: Actor
    pilot: str
    state: str
    cursor: str | None = None

    @property
    def key(self) -> Hashable:
        """Filters, and what may be seen."""
        return "runs", self.pilot, self.state, self.actor.readable

    def fingerprint(self) -> Hashable:
        """Of all runs."""
        return marks.of_runs(self.desk)

    def listing(self) -> Any:
        """The runs."""
        state = State(self.state) if self.state in set(State) else None
        return runs.list_runs(
            self.desk, self.actor, pilot=self.pilot or None, state=state, cursor=self.cursor, limit=50
        )

    def read(self) -> Reading:
        """The table."""
        filters = {key: value for key, value in (("pilot", self.pilot), ("state", self.state)) if value}
        html = rendering.fragment(
            "parts/runs.html.j2", listing=self.listing(), filters=filters, first=self.cursor is not None
        )
        return Reading({"runs": html})


@router.get("/runs")
def show_runs(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str = "",
    state: str = "",
    cursor: CursorParameter = None,
) -> HTMLResponse:
    """All runs, newest first."""
    source = RunsSource(desk, actor, pilot, state, cursor)
    query = str(request.url.query)
    return rendering.live_page(
        request,
        "runs.html.j2",
        source.read(),
        actor=actor,
        live=f"/runs/live?{query}" if cursor is None else "",
        pilot=pilot,
        state=state,
        states=list(State),
        pilots=overviews.list_names(desk, actor),
    )


@router.get("/runs/live")
def follow_runs(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str = "",
    state: str = "",
    after: After = "",
) -> StreamingResponse:
    """The first part of the list, while it changes."""
    if pilot:
        actor.require(Permission.READ, pilot)
    return streams.respond(request, RunsSource(desk, actor, pilot, state), after)


@router.post("/pilots/{pilot}/runs")
def start_run(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    why: Annotated[str, Form(max_length=1000)] = "",
    overrides: Annotated[str, Form(max_length=10_000)] = "",
    fresh: Annotated[bool, Form()] = False,
) -> RedirectResponse:
    """Ask for a run, and go on to its page."""
    wanted = Parameters(cache=not fresh, overrides=read_overrides(overrides))
    found = runs.start_run(desk, actor, pilot, why=why, parameters=wanted)
    return rendering.see(request, f"/runs/{found.id}", f"Run {found.id} was asked for.")


def read_overrides(text: str) -> dict[str, Any]:
    """Values by dotted key, out of lines such as `train.params.max_iter = 200`.

    Values are JSON where they can be, and text otherwise.

    Raises:
        SpecError: a line has no `=`, or a key comes twice.
    """
    found: dict[str, Any] = {}
    for position, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key or key in found:
            raise errors.SpecError(
                f"Line {position} of the parameters is `{line.strip()[:80]}`"
                + (", a key that was there before." if key in found else ", which is no `key = value`."),
                remedy="Write one `train.params.max_iter = 200` a line.",
            )
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
