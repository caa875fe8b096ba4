"""One pilot: its loop with the state of each part, its past over its performance, and what to do next."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import marks, overviews, pilots
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import runs
from pilotage.console.operations.models import transitions
from pilotage.console.operations.monitoring import chronicles
from pilotage.console.operations.monitoring.chronicles import Chronicle, Kind
from pilotage.console.operations.overviews import Overview
from pilotage.console.pages import advices, rendering, streams, words
from pilotage.console.pages.figures import loops, timelines
from pilotage.console.pages.figures.loops import Part
from pilotage.console.pages.runs import After
from pilotage.console.pages.streams import Reading
from pilotage.console.supervision.states import ServiceState

router = APIRouter()

_RUNS, _EVENTS = 10, 40
_LANES = {Kind.ALARM: "Alarms", Kind.RETRAINING: "Retrainings"}


@dataclass(frozen=True)
class PilotSource:
    """A pilot as some people see it."""

    desk: Desk
    actor: Actor
    pilot: str

    @property
    def key(self) -> Hashable:
        """The pilot: whoever may look at it sees the same."""
        return "pilot", self.pilot

    def fingerprint(self) -> Hashable:
        """Of all that the page tells."""
        return marks.of_pilots(self.desk), marks.of_runs(self.desk)

    def read(self) -> Reading:
        """The loop, what to do, the past, and the latest runs."""
        overview = overviews.get_overview(self.desk, self.actor, self.pilot)
        past = chronicles.get_chronicle(self.desk, self.actor, self.pilot)
        latest = runs.list_runs(self.desk, self.actor, pilot=self.pilot, limit=_RUNS)
        latest = latest.model_copy(update={"next": None})
        releasing = transitions.under_way(self.desk, self.pilot)
        context = {"pilot": overview, "past": past, "releasing": releasing}
        return Reading(
            {
                "next": rendering.fragment(
                    "parts/pilot_next.html.j2", advice=advices.advise(overview), **context
                ),
                "loop": str(loops.loop(overview.name, parts_of(overview, past))),
                "facts": rendering.fragment("parts/pilot_facts.html.j2", **context),
                "past": rendering.fragment(
                    "parts/pilot_past.html.j2", figure=_draw(past), most=_EVENTS, **context
                ),
                "runs": rendering.fragment(
                    "parts/runs.html.j2", listing=latest, filters={}, first=False, only=self.pilot
                ),
            }
        )


@router.get("/pilots/{pilot}")
def show_pilot(request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str) -> HTMLResponse:
    """One pilot."""
    found = pilots.get_pilot(desk, actor, pilot)
    return rendering.live_page(
        request,
        "pilot.html.j2",
        PilotSource(desk, actor, pilot).read(),
        actor=actor,
        live=f"/pilots/{pilot}/live",
        pilot=found,
        may=actor.may(Permission.OPERATE, pilot),
    )


@router.get("/pilots/{pilot}/live")
def follow_pilot(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, after: After = ""
) -> StreamingResponse:
    """The same, while it changes."""
    pilots.get_pilot(desk, actor, pilot)
    return streams.respond(request, PilotSource(desk, actor, pilot), after)


def parts_of(pilot: Overview, past: Chronicle) -> list[Part]:
    """The six parts of the loop, as they are."""
    home = f"/pilots/{pilot.name}"
    return [
        _training(pilot, f"/runs?pilot={pilot.name}"),
        _version(pilot, f"{home}/models"),
        _serving(pilot, f"{home}/models"),
        _monitoring(pilot, f"{home}/monitoring"),
        _alarm(pilot, f"{home}/monitoring"),
        _retraining(pilot, past, "/schedules"),
    ]


def _training(pilot: Overview, address: str) -> Part:
    run = pilot.last_run
    if run is None:
        return Part("Training", "skipped", "never run", "start the first run below", address)
    return Part("Training", run.state, f"last run {run.state}", f"asked by {run.asked_by}", f"/runs/{run.id}")


def _version(pilot: Overview, address: str) -> Part:
    standing = pilot.standing
    target = f", target {words.number(standing.target)}" if standing.target is not None else ""
    note = f"{standing.metric} {words.number(standing.value)}{target}"
    if pilot.waiting:
        return Part("Version", "open", f"version {pilot.waiting[-1]} waits for approval", note, address)
    if pilot.version is None:
        return Part("Version", "skipped", "none was promoted yet", "", address)
    state = {True: "met", False: "warning", None: "met"}[standing.met]
    return Part("Version", state, f"version {pilot.version} is champion", note, address)


def _serving(pilot: Overview, address: str) -> Part:
    last = pilot.windows[-1] if pilot.windows else None
    note = f"{words.number(last.rows)} rows in the last window" if last else "no window has closed yet"
    if pilot.health is not None:
        state = "healthy" if pilot.health.state == ServiceState.RUNNING else pilot.health.state
        return Part("Serving", state, f"server {pilot.health.state}", note, address)
    if pilot.version is None:
        return Part("Serving", "skipped", "nothing to serve", note, address)
    fact = f"version {pilot.version}"
    return Part("Serving", "succeeded" if last else "skipped", fact, note, address)


def _monitoring(pilot: Overview, address: str) -> Part:
    if not pilot.windows:
        return Part(
            "Monitoring", "skipped", "nothing to watch yet", "windows close as rows are served", address
        )
    last = pilot.windows[-1]
    state = "drifted" if last.drifted else "stable"
    fact = f"{words.plural(last.drifted, 'feature')} drifted" if last.drifted else "no drift"
    return Part("Monitoring", state, fact, f"window of {words.instant(last.start)}", address)


def _alarm(pilot: Overview, address: str) -> Part:
    worry = pilot.worry
    if worry is None:
        return Part("Alarms", "stable", "none is open", "", address)
    state = "alarm" if worry.count > worry.acknowledged else "acknowledged"
    return Part(
        "Alarms", state, f"{words.plural(worry.count, 'alarm')}, {worry.cause}", worry.latest, address
    )


def _retraining(pilot: Overview, past: Chronicle, address: str) -> Part:
    last = past.last_trigger
    planned = f"next {pilot.next_at:%Y-%m-%d %H:%M} UTC" if pilot.next_at else "no schedule"
    if last is None:
        return Part(
            "Retraining", "clock" if pilot.next_at else "skipped", "never asked for", planned, address
        )
    where = f"/runs/{last.run}" if last.run else address
    return Part("Retraining", last.state, f"{last.state}, for {last.cause}", planned, where)


def _draw(past: Chronicle) -> str:
    """The timeline."""
    levels = [
        timelines.Level(
            point.start,
            point.end,
            point.realized.value if point.realized else None,
            point.realized.low if point.realized else None,
            point.realized.high if point.realized else None,
            point.estimated.value if point.estimated else None,
        )
        for point in past.value.points
    ]
    moments = [
        timelines.Moment(_LANES[event.kind], event.at, words.look(event.state)[0], event.what)
        for event in past.events
        if event.kind in _LANES
    ]
    spans = [timelines.Span(f"v{span.version}", span.start) for span in past.spans]
    return timelines.timeline("past", past.value.metric, levels, spans, moments, past.value.target)
