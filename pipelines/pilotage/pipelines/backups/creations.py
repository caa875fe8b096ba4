"""Making a backup while everything runs: rows of one moment first, then the files that they speak of."""

from __future__ import annotations

import json
import secrets
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Connection

from pilotage.core import errors, storage
from pilotage.core.registry import copies
from pilotage.core.registry.versions import sqlite_file
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.backups import archives, contents, rows
from pilotage.pipelines.journals import audits
from pilotage.pipelines.journals.audits import Head
from pilotage.pipelines.tables import revisions


@dataclass(frozen=True)
class Backup:
    """A backup that was made."""

    id: str
    file: Path
    bytes: int
    sha256: str
    """Of the whole archive: noted elsewhere, it shows whether the archive was changed."""
    members: int
    head: Head
    """Of the audit in it."""
    outside: tuple[str, ...]
    """Settings that lead to what is not in it."""


def create(settings: Settings, file: Path, who: str) -> Backup:
    """Write the installation's backup to `file`, which is not there yet.

    Raises:
        NotFound: there is no installation.
        SettingsError: `file` is in the home.
        Conflict: `file` is there.
        DataError, Unavailable: something cannot be read.
    """
    target = file.expanduser().absolute()
    _require_place(settings, target)
    engine = tables.connect(settings)
    name = secrets.token_hex(16)
    with engine.begin() as connection:
        audits.write(connection, "backup", None, who, "", backup=name, file=str(target))
    with archives.create(target) as archive:
        with tables.reading(engine) as connection:
            head = audits.head(connection)
            archive.add_bytes(archives.HEADER, _header(settings, connection, name, head))
            counts: dict[str, int] = {}
            for table, part in rows.dump(connection):
                counts[table] = counts.get(table, 0) + 1
                archive.add_bytes(f"database/{table}/{counts[table]:06d}.jsonl", part)
        _add_registry(settings, archive, target.parent)
        for relative, path in contents.files(settings.home):
            archive.add_file(f"home/{relative}", path)
        members = archive.finish()
    return Backup(
        id=name,
        file=target,
        bytes=target.stat().st_size,
        sha256=storage.file_digest(target),
        members=members,
        head=head,
        outside=tuple(contents.outside(settings)),
    )


def _require_place(settings: Settings, target: Path) -> None:
    if not settings.home.is_dir():
        raise errors.NotFound(
            f"There is no installation in {settings.home}.", remedy="Set PILOTAGE_HOME to its folder."
        )
    if target.resolve().is_relative_to(settings.home.resolve()):
        raise errors.SettingsError(
            f"{target} is in the home that it would be a backup of.", remedy="Put it on another disk."
        )
    if target.exists() or target.is_symlink():
        raise errors.Conflict(f"{target} is there already.", remedy="Name another file, or remove that one.")


def _header(settings: Settings, connection: Connection, name: str, head: Head) -> bytes:
    told = {
        "format": archives.FORMAT,
        "backup": name,
        "created_at": tables.now().isoformat(),
        "version": version("pilotage"),
        "revision": revisions.revision_of(connection),
        "home": str(settings.home),
        "head": str(head),
        "outside": contents.outside(settings),
    }
    return json.dumps(told, indent=2).encode()


def _add_registry(settings: Settings, archive: archives.Writer, folder: Path) -> None:
    """Add MLflow's store, if it is a file."""
    source = sqlite_file(settings.tracking)
    if source is None or not source.is_file():
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pilotage-backup-") as temporary:
        copies.copy(source, Path(temporary) / "mlflow.db")
        archive.add_file("mlflow.db", Path(temporary) / "mlflow.db")
