"""Putting a backup back into an empty home and database: all of it, or nothing.

Everything is unpacked beside its place and checked before anything is moved; the
transaction that puts the rows back, and notes which backup they are of, ends
when the files are in place. Whoever is killed on the way does it again, and it
goes on from where it was.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.exc import OperationalError

from pilotage.core import errors, storage
from pilotage.core.registry import copies
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.backups import archives, contents, rows
from pilotage.pipelines.journals import audits
from pilotage.pipelines.journals.audits import Head, Verification
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import locks
from pilotage.pipelines.migrations import HISTORY, upgrades
from pilotage.pipelines.tables import connections, revisions

_STAGING = ".restore"
_CHECKED = "checked.json"
"""In the staging folder, once all of the archive is there and as its digests say."""
_GONE = "before the backup was restored"
"""The boot of processes that a backup speaks of: none of them runs."""


@dataclass(frozen=True)
class Restoration:
    """A backup that is in place."""

    backup: str
    created_at: str
    already: bool
    """Whether it had been before."""
    verification: Verification
    """Of the audit, as far as the backup's."""
    outside: tuple[str, ...]
    """Settings of the installation that it was made of, which led to what is not in it."""


def restore(settings: Settings, file: Path, who: str) -> Restoration:
    """Put the backup in `file` into the home and the database of `settings`, both of them empty.

    Raises:
        NotFound, DataError: there is no such file, or it is no backup.
        Conflict: the home or the database is not empty, or another restore is under way.
        SettingsError: it is of a newer version of Pilotage.
    """
    file = file.expanduser().absolute()
    header = _header(file)
    with locks.held(settings, "restore") as taken:
        if not taken:
            raise errors.Conflict("Another restore into this home is under way.", remedy="Let it end.")
        try:
            already = _put_back(settings, file, header, who)
        except OperationalError as error:
            raise errors.Unavailable(
                f"The database does not take the backup: {error.orig}.", remedy="Try again."
            ) from error
    return Restoration(
        backup=header["backup"],
        created_at=header["created_at"],
        already=already,
        verification=audits.verify(tables.connect(settings), [Head.parse(header["head"])]),
        outside=tuple(header["outside"]),
    )


def _put_back(settings: Settings, file: Path, header: dict[str, Any], who: str) -> bool:
    """Do what is left to do; whether that was nothing."""
    staging = settings.home / _STAGING
    engine = connections.open_engine(settings)
    already = _is_in(engine, header["backup"])
    if not already:
        _require_empty(engine, settings, staging, header["backup"])
        if not (staging / _CHECKED).is_file():
            _unpack(settings, file, staging, header)
        with revisions.changing(engine) as connection:
            try:
                _load(connection, settings, staging, header, who)
            except errors.PilotageError:
                if not _is_begun(staging):
                    shutil.rmtree(staging)
                raise
            _move(settings.home, staging)
    shutil.rmtree(staging, ignore_errors=True)
    return already


def _header(file: Path) -> dict[str, Any]:
    found = archives.header(file)
    shape = {"backup": str, "created_at": str, "revision": str, "home": str, "head": str, "outside": list}
    wrong = [name for name, kind in shape.items() if not isinstance(found.get(name), kind)]
    if found.get("format") != archives.FORMAT or wrong:
        raise errors.DataError(
            f"{file} is a backup of format {found.get('format')!r:.40}, which is not known here.",
            remedy="Restore it with the version of Pilotage that made it.",
        )
    if found["revision"] not in HISTORY.revisions:
        raise errors.SettingsError(
            f"{file} is of revision {found['revision']:.40}; this version of Pilotage knows none after"
            f" {HISTORY.head}.",
            remedy="Use the version that made it, or a newer one.",
        )
    return found


def _is_in(engine: Engine, backup: str) -> bool:
    """Whether the database says that this backup was restored into it."""
    if _is_new(engine):
        return False
    table = tables.audit
    query = select(table.c.details).where(table.c.action == "restore")
    with tables.reading(engine) as connection:
        if revisions.revision_of(connection) is None:
            return False
        return any(details.get("backup") == backup for details in connection.scalars(query))


def _require_empty(engine: Engine, settings: Settings, staging: Path, backup: str) -> None:
    """Make sure that nothing is overwritten."""
    mine: set[str] = set()
    if (staging / _CHECKED).is_file():
        half = json.loads((staging / _CHECKED).read_text(encoding="utf-8"))
        if half["backup"] != backup:
            raise errors.Conflict(
                f"Another backup, {half['backup']}, is half restored in {settings.home}.",
                remedy="Restore that one again to complete it, or empty the folder.",
            )
        mine = set(half["entries"])
    elif staging.exists():
        shutil.rmtree(staging)
    database = {f"pilotage.db{ending}" for ending in ("", "-wal", "-shm")}
    others = sorted(set(_names(settings.home)) - mine - database - {_STAGING, "locks", "logs"})
    if others:
        raise errors.Conflict(
            f"The home {settings.home} is not empty: it has `{others[0]}`.",
            remedy="Restore into an empty folder: `pilotage restore FILE --home FOLDER`.",
        )
    if _is_new(engine):
        return
    with tables.reading(engine) as connection:
        if not rows.is_empty(connection):
            raise errors.Conflict(
                f"The database {engine.url.render_as_string(hide_password=True)} is not empty.",
                remedy="Restore into an empty one.",
            )


def _is_new(engine: Engine) -> bool:
    """Whether it is a file that is not there, which looking at would make."""
    return engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists()


def _unpack(settings: Settings, file: Path, staging: Path, header: dict[str, Any]) -> None:
    try:
        archives.extract(file, staging, _accepts)
        home = staging / "home"
        home.mkdir(exist_ok=True)
        if (staging / "mlflow.db").is_file():
            copies.relocate(staging / "mlflow.db", Path(header["home"]), settings.home)
            (staging / "mlflow.db").rename(home / "mlflow.db")
    except errors.PilotageError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise errors.Unavailable(
            f"{file} cannot be unpacked in {settings.home}: {error.strerror or error}.",
            remedy="Make room, and try again.",
        ) from error
    os.sync()
    checked = {"backup": header["backup"], "entries": _names(home)}
    storage.write_file(staging / _CHECKED, json.dumps(checked).encode())


def _accepts(parts: tuple[str, ...]) -> bool:
    """Whether an archive may have such a member."""
    if parts == ("mlflow.db",):
        return True
    if parts[0] == "database" and len(parts) == 3:
        return parts[1] in tables.metadata.tables and parts[1] not in contents.LEFT_OUT
    return parts[0] == "home" and len(parts) > 1 and contents.belongs(parts[1:])


def _move(home: Path, staging: Path) -> None:
    for entry in _names(staging / "home"):
        if (home / entry).exists():
            raise errors.Conflict(
                f"The home {home} has `{entry}`, which somebody made while the backup was restored.",
                remedy="Remove it, and restore again.",
            )
        (staging / "home" / entry).rename(home / entry)
    storage.sync_folder(home)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _is_begun(staging: Path) -> bool:
    """Whether something was moved into place already."""
    entries = json.loads((staging / _CHECKED).read_text(encoding="utf-8"))["entries"]
    return bool(_names(staging / "home") != entries)


def _load(
    connection: Connection, settings: Settings, staging: Path, header: dict[str, Any], who: str
) -> None:
    """Put the rows into the database, and note it there."""
    folders = (staging / "database").iterdir() if (staging / "database").is_dir() else ()
    parts = {folder.name: sorted(folder.iterdir()) for folder in folders}
    if not rows.is_empty(connection):
        raise errors.Conflict("Somebody wrote into the database meanwhile.", remedy="Empty it.")
    found = revisions.revision_of(connection)
    if found is None:
        upgrades.upgrade(connection, to=header["revision"])
    elif found != header["revision"]:
        raise errors.Conflict(
            f"The database has tables of revision {found}, the backup of {header['revision']}.",
            remedy="Restore into a database without tables.",
        )
    rows.load(connection, parts, _relocating(Path(header["home"]), settings.home))
    upgrades.upgrade(connection)
    _declare_gone(connection)
    told = {"backup": header["backup"], "created_at": header["created_at"]}
    audits.write(connection, "restore", None, who, "", **told)
    revisions.require_whole(connection)


def _relocating(old: Path, new: Path) -> Callable[[str, Any], Any]:
    """Places in the old home become places in the new one, everywhere but in the audit."""
    before, after = f"{old}/", f"{new}/"

    def change(table: str, value: Any) -> Any:
        if table == tables.audit.name or old == new:
            return value
        if isinstance(value, str):
            for scheme in ("", "file://"):
                if value.startswith(scheme + before):
                    return scheme + after + value.removeprefix(scheme + before)
        if isinstance(value, dict):
            return {key: change(table, item) for key, item in value.items()}
        if isinstance(value, list):
            return [change(table, item) for item in value]
        return value

    return change


def _declare_gone(connection: Connection) -> None:
    """Let the usual search for dead processes find every one that the backup speaks of."""
    here = {"host": socket.gethostname(), "boot": _GONE}
    runs, triggers = tables.runs, tables.triggers
    unfinished = runs.c.state.in_((State.PENDING, State.RUNNING)) & runs.c.pid.is_not(None)
    connection.execute(update(runs).where(unfinished), here)
    for row in connection.execute(select(triggers.c.id, triggers.c.claim)).all():
        if row.claim is not None:
            connection.execute(
                update(triggers).where(triggers.c.id == row.id), {"claim": {**row.claim, **here}}
            )
