"""`score` at a console elsewhere: the table goes there, its study is followed, and the scores come back."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from pilotage.console.commands import scoring
from pilotage.console.commands.arguments import name_of
from pilotage.console.remotes import studies
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session
from pilotage.core import errors
from pilotage.core.artifacts import Scores
from pilotage.pipelines.studies import Kind, uploads


def score(
    session: Session,
    pilot: str,
    source: str | None = None,
    output: Path | None = None,
    version: int | None = None,
    workers: int = 1,
    pipeline: bool = False,
    study: str | None = None,
) -> None:
    """Score a file of this machine there.

    Raises:
        SettingsError: what is asked for is of this machine's installation alone.
        SourceError: there is no such file, or it is too large to be sent.
    """
    if study is not None or pipeline:
        raise errors.SettingsError(
            f"`--{'pipeline' if pipeline else 'study'}` is for an installation of this machine.",
            remedy="Leave it out.",
        )
    source, output = scoring.required(source, output)
    name, file = name_of(pilot), Path(source)
    data = _read(file, source)
    place = f"/pilots/{segment(name)}"
    sent = session.remote.send(f"{place}/tables?{urlencode({'name': file.name})}", data)
    options = {"table": sent["table"], "name": file.name, "version": version, "workers": workers}
    found = studies.carry_out(session, name, Kind.SCORE, options)
    session.remote.download(f"{place}/studies/{segment(found['id'])}/scores", output)
    made = Scores.model_validate(found["document"]).model_copy(update={"file": str(output.absolute())})
    session.output.answer(made.model_dump(mode="json"), lambda console: scoring.show(console, made))


def _read(file: Path, source: str) -> bytes:
    if "://" in source or not file.is_file():
        raise errors.SourceError(
            f"`{source}` is no file of this machine; a console elsewhere reads none but what is sent to it.",
            remedy="Name one file, or run the command on the machine of the console.",
        )
    size = file.stat().st_size
    if size > uploads.MOST_BYTES:
        raise errors.SourceError(
            f"`{source}` has {size >> 20} MB; a console takes {uploads.MOST_BYTES >> 20}.",
            remedy="Send it in parts, as Parquet, or run the command on the machine of the console.",
        )
    return file.read_bytes()
