"""`costs` at a console elsewhere."""

from __future__ import annotations

from pilotage.console.commands.arguments import name_of
from pilotage.console.operations.execution.costs import Costs
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session
from pilotage.console.views import costs as views


def costs(session: Session, pilot: str, since: str | None = None, until: str | None = None) -> None:
    """What a pilot cost there."""
    place = f"/pilots/{segment(name_of(pilot))}/costs"
    found = Costs.model_validate(session.remote.get(place, since=since, until=until))
    session.output.answer(found.model_dump(mode="json"), lambda console: views.show(console, found))
