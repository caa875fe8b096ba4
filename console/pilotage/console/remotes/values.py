"""`value` at a console elsewhere."""

from __future__ import annotations

from pilotage.console.commands.arguments import name_of
from pilotage.console.operations.monitoring.values import Value
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session
from pilotage.console.views import values as views


def value(
    session: Session,
    pilot: str,
    since: str | None = None,
    until: str | None = None,
    period: str | None = None,
) -> None:
    """What a pilot has brought there."""
    place = f"/pilots/{segment(name_of(pilot))}/value"
    found = Value.model_validate(session.remote.get(place, since=since, until=until, period=period))
    session.output.answer(found.model_dump(mode="json"), lambda console: views.show(console, found))
