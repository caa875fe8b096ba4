"""`readiness` at a console elsewhere."""

from __future__ import annotations

from pathlib import Path

from pilotage.console.commands import readiness as here
from pilotage.console.commands.arguments import moment, name_of
from pilotage.console.commands.readiness import Trial
from pilotage.console.operations.readiness import Entry, Note
from pilotage.console.remotes import studies
from pilotage.console.remotes.clients import require_nobody, segment
from pilotage.console.sessions import Session
from pilotage.console.views import readiness as views
from pilotage.core import errors
from pilotage.pipelines.readiness.scores import Readiness
from pilotage.pipelines.studies import Kind


def readiness(
    session: Session,
    pilot: str,
    note: str | None = None,
    text: str = "",
    until: str | None = None,
    withdraw: str | None = None,
    notes: bool = False,
    prove: Trial | None = None,
    study: str | None = None,
    history: bool = False,
    badge: Path | None = None,
    least: float | None = None,
    who: str | None = None,
    why: str = "",
) -> int:
    """How ready a pilot is there, or vouching for it there."""
    here.require_one(note, withdraw, prove, notes=notes, history=history, text=text, until=until)
    require_nobody(who)
    if study is not None:
        raise errors.SettingsError(
            "`--study` is for an installation of this machine.", remedy="Leave it out."
        )
    name, remote = name_of(pilot), session.remote
    place = f"/pilots/{segment(name)}/readiness"
    if prove is not None:
        done = studies.carry_out(session, name, Kind.READINESS, here.options_of(prove).told)
        return here.show_proofs(session, dict(done["document"]))
    if note is not None:
        end = moment("--until", until)
        wish = {"test": note, "text": text, "until": end.isoformat() if end else None}
        return here.show_note(session, Note.model_validate(remote.post(f"{place}/notes", wish)))
    if withdraw is not None:
        ended = remote.delete(f"{place}/notes/{segment(withdraw)}", why=why or None)
        return here.show_note(session, Note.model_validate(ended))
    if notes:
        listed = [Note.model_validate(item) for item in remote.get(f"{place}/notes")["items"]]
        return here.show_notes(session, name, listed)
    if history:
        return _show_history(session, name, place)
    found = Readiness.model_validate(remote.get(place))
    if badge is not None:
        here.write_badge(badge, found)
    session.output.answer(found.model_dump(mode="json"), lambda console: views.show(console, found))
    return here.exit_code(found, least)


def _show_history(session: Session, pilot: str, place: str) -> int:
    items = [Entry.model_validate(item) for item in session.remote.get(f"{place}/history")["items"]]
    document = {"pilot": pilot, "history": [entry.model_dump(mode="json") for entry in items]}
    session.output.answer(document, lambda console: views.show_history(console, items))
    return 0
