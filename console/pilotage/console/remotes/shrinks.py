"""`shrink` at a console elsewhere: the study runs there, and what it found is shown here."""

from __future__ import annotations

from pathlib import Path

from pilotage.console.commands import shrinks
from pilotage.console.commands.arguments import name_of
from pilotage.console.commands.shrinks import Purpose
from pilotage.console.remotes import studies
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session
from pilotage.console.views import shrinks as views
from pilotage.core import errors, storage
from pilotage.pipelines.studies import Kind


def shrink(
    session: Session,
    pilot: str,
    version: int | None = None,
    max_drop: float | None = None,
    at_most: float = 0.5,
    objective: Purpose = Purpose.BALANCED,
    choose: str | None = None,
    register: bool = True,
    bundle: Path | None = None,
    plot: Path | None = None,
    study: str | None = None,
) -> int:
    """Start a study there and follow it.

    Raises:
        SettingsError: a study of this machine is named, or a bundle of what is no version.
    """
    if study is not None:
        raise errors.SettingsError(
            "`--study` is for an installation of this machine; there, a new study keeps what was measured.",
            remedy="Leave it out.",
        )
    if bundle is not None and (bundle.suffix != ".zip" or not register):
        raise errors.SettingsError(
            "A console elsewhere gives bundles of versions, as zips.",
            remedy="Name a file that ends in .zip, and leave `--no-register` out.",
        )
    options = shrinks.options_of(version, max_drop, at_most, choose, objective=objective, register=register)
    found = studies.carry_out(session, name_of(pilot), Kind.SHRINK, options.told)
    document = {"study": found["id"], **found["document"]}
    if bundle is not None and document["registered"] is not None:
        place = f"/pilots/{segment(name_of(pilot))}/versions/{document['registered']}/bundle"
        storage.write_file(bundle, session.remote.read(place))
    return shrinks.answer(session, document, plot, bundle, views.show)
