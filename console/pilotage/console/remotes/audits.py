"""`audit list` at a console elsewhere."""

from __future__ import annotations

from pilotage.console.operations.evidence.audits import Line
from pilotage.console.sessions import Session
from pilotage.console.views import audits as views


def list_lines(
    session: Session,
    pilot: str = "",
    who: str = "",
    action: str = "",
    since: str = "",
    until: str = "",
    limit: int = 20,
) -> None:
    """Who did what there, newest first."""
    query = {"pilot": pilot, "who": who, "action": action, "since": since or None, "until": until or None}
    document = session.remote.get("/audit", limit=limit, **query)
    found = [Line.model_validate(item) for item in document["items"]]
    session.output.answer(document, lambda console: views.show(console, found))
