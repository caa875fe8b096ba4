"""Tables that people sent to be scored: in the storage until a study scored them, or for a week.

A caller of the console names a table by the id that it was given, never by a path, so that nobody reads the
files of the console's machine.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from pilotage.core import errors, storage
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals import states

MOST_BYTES = 64 << 20
"""Of one table."""
MOST_HELD = 10
"""Tables of a pilot that wait."""
KEPT = timedelta(days=7)
_SUFFIX = re.compile(r"\.(?:parquet|pq|(?:csv|tsv|jsonl|ndjson)(?:\.(?:gz|bz2|xz))?)$", re.IGNORECASE)
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


def keep(held: Storage, pilot: str, name: str, data: bytes) -> str:
    """Keep a table; returns its id.

    Args:
        held: the installation's storage.
        pilot: whose rows they are.
        name: of the file; its ending tells the format.
        data: the file.

    Raises:
        SourceError: the format is unknown, or there is nothing in it.
        LimitReached: too many wait already.
    """
    ending = _SUFFIX.search(name)
    if ending is None:
        raise errors.SourceError(
            f"`{name[:100]}` is of no known format.",
            remedy="Use .parquet, .csv, .tsv, .jsonl or .ndjson; text also with .gz, .bz2 or .xz.",
        )
    if not data:
        raise errors.SourceError(f"`{name[:100]}` is empty.", remedy="Send a table with rows.")
    _drop_old(held, pilot)
    if len(held.names(_folder(pilot))) >= MOST_HELD:
        raise errors.LimitReached(
            f"{MOST_HELD} tables of `{pilot}` wait to be scored.",
            remedy="Score them; each goes when that is done, or after a week.",
        )
    made = states.new_id()
    held.write(f"{_folder(pilot)}/{made}/table{ending[0].lower()}", data)
    return made


def fetch(held: Storage, pilot: str, table: str, folder: Path) -> Path:
    """A table as a file in `folder`, which is left alone where it is there already.

    Raises:
        NotFound: there is none of that id; it was scored, or is older than a week.
    """
    name = find(held, pilot, table)
    path = folder / name.rpartition("/")[2]
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        storage.write_file(path, held.read(name))
    return path


def find(held: Storage, pilot: str, table: str) -> str:
    """The name of a table's file in the storage.

    Raises:
        NotFound: there is none.
    """
    names = held.names(f"{_folder(pilot)}/{table}") if _ID.fullmatch(table) else []
    if not names:
        raise errors.NotFound(
            f"`{pilot}` has no table `{table[:64]}`: it was scored, or is older than a week.",
            remedy=f"`POST /api/v1/pilots/{pilot}/tables` takes it again.",
        )
    return names[0]


def drop(held: Storage, pilot: str, table: str) -> None:
    """Delete a table; nothing happens when it is not there."""
    if _ID.fullmatch(table):
        held.delete(f"{_folder(pilot)}/{table}")


def drop_all(held: Storage, pilot: str) -> None:
    """Delete every table of a pilot that waits."""
    held.delete(_folder(pilot))


def _folder(pilot: str) -> str:
    return f"tables/{pilot}"


def _drop_old(held: Storage, pilot: str) -> None:
    for name in held.names(_folder(pilot)):
        try:
            old = held.modified_at(name) < tables.now() - KEPT
        except errors.NotFound:
            continue  # a study that succeeded took it away meanwhile
        if old:
            drop(held, pilot, name.split("/")[2])
