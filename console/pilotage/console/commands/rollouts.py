"""`rollouts`: challengers on their way to become champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from pilotage.console.commands.arguments import NameArgument, name_of, versions_of
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.core.artifacts import Rollout


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "rollouts", "pilotage.console.remotes.rollouts:show_rollouts")(show_rollouts)


def show_rollouts(session: Session, pilot: NameArgument) -> None:
    """How new versions fare on their way to become champion.

    Lists the rollout that goes on and those before, and how both versions compare. `pilotage promote`
    ends one at once, `pilotage rollback` and `pilotage reject` take the version back.
    """
    from pilotage.console.operations.models import transitions
    from pilotage.console.views import rollouts as views
    from pilotage.core.registry import Registry
    from pilotage.pipelines import tables
    from pilotage.pipelines.decisions import rollouts
    from pilotage.pipelines.transitions import requests

    name = name_of(pilot)
    found = rollouts.find(session.settings, name)
    known = requests.find(tables.connect(session.settings), name)
    released = [transitions.told(item) for item in known]
    if not (found or released):
        versions_of(Registry(session.settings), name)
    document = {
        "pilot": name,
        "rollouts": [document_of(rollout) for rollout in found],
        "releases": [item.model_dump(mode="json") for item in released],
    }

    def show(console: Console) -> None:
        if found or not released:
            views.show(console, name, found)
        views.show_releases(console, released)

    session.output.answer(document, show)


def document_of(rollout: Rollout) -> dict[str, Any]:
    """A rollout as `--json` prints it."""
    return {**rollout.model_dump(mode="json"), "share": rollout.share}
