"""`rollouts` at a console elsewhere: releases to environments, which are all that it tells of."""

from __future__ import annotations

from pilotage.console.commands.arguments import name_of
from pilotage.console.operations.models.transitions import Transition
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session
from pilotage.console.views import rollouts as views


def show_rollouts(session: Session, pilot: str) -> None:
    """Where releases of a pilot stand there."""
    name = name_of(pilot)
    found = [
        Transition.model_validate(item)
        for item in session.remote.items(f"/pilots/{segment(name)}/transitions", 50)
    ]
    document = {"pilot": name, "releases": [item.model_dump(mode="json") for item in found]}
    session.output.answer(document, lambda console: views.show_releases(console, found))
