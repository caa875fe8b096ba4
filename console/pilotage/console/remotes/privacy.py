"""`purge` and `forget` at a console elsewhere."""

from __future__ import annotations

from pathlib import Path

from pilotage.console.commands.arguments import name_of
from pilotage.console.commands.privacy import read_keys
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session
from pilotage.console.views import privacy as views
from pilotage.core import errors


def purge(session: Session, pilot: str | None = None, dry_run: bool = False) -> None:
    """Delete what a pilot there keeps no longer."""
    if pilot is None:
        raise errors.SettingsError(
            "No pilot is named, and the console elsewhere deletes for one at a time.",
            remedy="Name it; the scheduler there sees to all of them every hour.",
        )
    place = f"/pilots/{segment(name_of(pilot))}/purge"
    documents = [session.remote.post(place, {"dry_run": dry_run})]
    session.output.answer({"purged": documents}, lambda console: views.show_purged(console, documents))


def forget(
    session: Session, pilot: str, keys: list[str] | None = None, file: Path | None = None, reason: str = ""
) -> None:
    """Erase rows there."""
    place = f"/pilots/{segment(name_of(pilot))}/erasures"
    document = session.remote.post(place, {"keys": read_keys(keys, file), "why": reason})
    session.output.answer(document, lambda console: views.show_erased(console, document))
