"""`rollouts`: challengers on their way to become champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from pilotage.console.commands.arguments import NameArgument, name_of, versions_of
from pilotage.console.sessions import HERE_ONLY, Session, command

if TYPE_CHECKING:
    from pilotage.core.artifacts import Rollout


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "rollouts", HERE_ONLY)(show_rollouts)


def show_rollouts(session: Session, pilot: NameArgument) -> None:
    """How new versions fare that get a share of the traffic.

    Lists the rollout that goes on and those before, and how both versions compare. `pilotage promote`
    ends one at once, `pilotage rollback` and `pilotage reject` take the version back.
    """
    from pilotage.console.views import rollouts as views
    from pilotage.core.registry import Registry
    from pilotage.pipelines import rollouts

    name = name_of(pilot)
    found = rollouts.find(session.settings, name)
    if not found:
        versions_of(Registry(session.settings), name)
    document = {"pilot": name, "rollouts": [document_of(rollout) for rollout in found]}
    session.output.answer(document, lambda console: views.show(console, name, found))


def document_of(rollout: Rollout) -> dict[str, Any]:
    """A rollout as `--json` prints it."""
    return {**rollout.model_dump(mode="json"), "share": rollout.share}
