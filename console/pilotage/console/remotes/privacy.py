"""`synthesize`, `purge` and `forget` at a console elsewhere."""

from __future__ import annotations

from pathlib import Path

from pilotage.components.synthesize import REPORT
from pilotage.console.commands import privacy as commands
from pilotage.console.commands.arguments import name_of
from pilotage.console.commands.privacy import read_keys
from pilotage.console.remotes import studies
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session
from pilotage.console.views import privacy as views
from pilotage.core import errors, storage
from pilotage.core.artifacts import Synthesis
from pilotage.pipelines.studies import Kind


def synthesize(
    session: Session, pilot: str, output: Path | None = None, rows: int = 1000, study: str | None = None
) -> int:
    """Have rows made there, and fetch them where the gates passed.

    Raises:
        SettingsError: a study of this machine is named.
    """
    if study is not None:
        raise errors.SettingsError(
            "`--study` is for an installation of this machine.",
            remedy="Leave it out: a new study is started there.",
        )
    options, name = commands.options_of(rows, output), name_of(pilot)
    found = studies.carry_out(session, name, Kind.SYNTHESIS, options.model_dump(mode="json"))
    report = Synthesis.model_validate(found["document"])
    if output is None:
        return commands.answer(session, found["id"], report, None)
    if report.passed:
        rows_place = f"/pilots/{segment(name)}/studies/{segment(found['id'])}/rows"
        storage.write_file(output, session.remote.read(rows_place))
        report = report.model_copy(update={"file": str(output)})
    beside = output.with_name(output.name + REPORT)
    storage.write_file(beside, (report.model_dump_json(indent=2) + "\n").encode())
    return commands.answer(session, found["id"], report, str(beside))


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
    session: Session,
    pilot: str,
    keys: list[str] | None = None,
    file: Path | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> None:
    """Erase rows there."""
    place = f"/pilots/{segment(name_of(pilot))}/erasures"
    wanted = read_keys(keys, file)
    document = session.remote.post(place, {"keys": wanted, "why": reason, "dry_run": dry_run})
    if dry_run:
        session.output.answer(document, lambda console: views.show_preview(console, document, wanted))
        return
    session.output.answer(document, lambda console: views.show_erased(console, document, wanted))
