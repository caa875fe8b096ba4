"""`card` and `export` at a console elsewhere; an archive is checked here."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from pilotage.console.commands import dossiers as here
from pilotage.console.commands.arguments import name_of
from pilotage.console.operations.evidence import archives, exports
from pilotage.console.operations.evidence.dossiers import Told
from pilotage.console.operations.evidence.exports import Export
from pilotage.console.remotes.clients import Remote, segment
from pilotage.console.sessions import Session
from pilotage.core import errors, storage


def card(session: Session, pilot: str, version: int | None = None, out: Path | None = None) -> None:
    """The model card of a version there."""
    suffix = here.suffix_of(out)
    place = _place(session.remote, name_of(pilot), version)
    told = Told.model_validate(session.remote.get(f"{place}/card/told"))
    here.answer_card(session, told, out, suffix)


def export(
    session: Session,
    pilot: str | None = None,
    version: int | None = None,
    out: Path | None = None,
    verify: Path | None = None,
) -> int:
    """All that speaks for a version there."""
    if verify is not None:
        return here.check(session, pilot, verify)
    name = name_of(here.require_pilot(pilot))
    place = _place(session.remote, name, version)
    content = session.remote.read(f"{place}/export")
    file = out or Path(exports.name_of(name, int(place.rpartition("/")[2])))
    storage.write_file(file, content)
    here.answer_export(session, _told(content, file))
    return 0


def _place(remote: Remote, pilot: str, version: int | None) -> str:
    """The path of a version: the one that is asked for, else the champion, else the newest."""
    versions = f"/pilots/{segment(pilot)}/versions"
    if version is not None:
        return f"{versions}/{version}"
    known: list[dict[str, Any]] = list(remote.items(versions))
    if not known:
        raise errors.NotFound(f"Pilot `{pilot}` has no version.", remedy="`pilotage run PILOT` makes one.")
    chosen = next((item for item in known if "champion" in item["aliases"]), known[0])
    return f"{versions}/{chosen['version']}"


def _told(content: bytes, file: Path) -> Export:
    """What an archive says of itself."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        raw = archive.read(archives.MANIFEST)
        signed = archives.SIGNATURE in archive.namelist()
    manifest = json.loads(raw)
    return Export(
        pilot=manifest["pilot"],
        version=manifest["version"],
        file=str(file),
        bytes=len(content),
        files=tuple(manifest["files"]),
        missing=manifest["missing"],
        signed=signed,
        manifest=archives.digest(raw),
    )
