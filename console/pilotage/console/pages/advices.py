"""What somebody should look at next: the few things of a pilot that wait for a person, most urgent first."""

from __future__ import annotations

from typing import NamedTuple

from pilotage.console.operations.overviews import Overview
from pilotage.console.supervision.states import ServiceState
from pilotage.pipelines.journals.states import State


class Advice(NamedTuple):
    """One thing to do."""

    colour: str
    icon: str
    text: str
    label: str
    """Of the link."""
    address: str


def advise(pilot: Overview) -> list[Advice]:
    """What waits for somebody; empty where nothing does."""
    home = f"/pilots/{pilot.name}"
    found = []
    for version in pilot.waiting:
        told = f"Version {version} passed its gates and waits for an approval."
        found.append(Advice("warn", "clock", told, "Approve or reject", f"{home}/models"))
    if pilot.worry and pilot.worry.count > pilot.worry.acknowledged:
        found.append(Advice("bad", "alert", pilot.worry.latest, "See what changed", f"{home}/monitoring"))
    run = pilot.last_run
    if run is None:
        told = "Nothing was trained yet."
        found.append(Advice("busy", "runs", told, "Start the first run", "#start"))
    elif run.state in (State.FAILED, State.DIED):
        told = f"The last run {run.state}: {run.message or 'it left no message'}"
        found.append(Advice("bad", "cross", told, "See why and retry", f"/runs/{run.id}"))
    if pilot.health and pilot.health.state in (ServiceState.LOST, ServiceState.WAITING):
        told = f"The model server is {pilot.health.state}. {pilot.health.detail}".strip()
        found.append(Advice("bad", "cross", told, "Settings and services", "/settings"))
    if pilot.standing.met is False:
        told = f"{pilot.standing.metric} is below its target."
        found.append(Advice("warn", "down", told, "Look at its performance", f"{home}/monitoring"))
    if pilot.version and not pilot.windows:
        told = "No window of served rows has closed yet, so that nothing can be watched."
        found.append(Advice("calm", "dot", told, "Where it is served", f"{home}/models"))
    return found
