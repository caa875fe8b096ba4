"""Copies of the embedded MLflow store: taken while it is in use, and moved to another home.

A store on a server is its operator's to copy.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote


def copy(source: Path, target: Path) -> None:
    """Write a consistent copy of the SQLite file `source` to `target`, whoever uses it meanwhile."""
    with (
        closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as held,
        closing(sqlite3.connect(target)) as made,
    ):
        held.backup(made)


def relocate(file: Path, old: Path, new: Path) -> None:
    """Let every place in the store `file` that lies in folder `old` lie in `new`.

    Raises:
        sqlite3.DatabaseError: it is no SQLite file.
    """
    prefixes = {f"{old}/": f"{new}/", f"file://{quote(str(old))}/": f"file://{quote(str(new))}/"}
    with closing(sqlite3.connect(file)) as connection, connection:
        # Views and triggers that somebody put into the file would run with what is changed here.
        connection.execute("PRAGMA trusted_schema = OFF")
        kinds = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in kinds:
            for column in connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall():
                place, name = _quoted(table), _quoted(column[0])
                for before, after in prefixes.items():
                    connection.execute(
                        f"UPDATE {place} SET {name} = ? || substr({name}, ?)"  # noqa: S608 - quoted
                        f" WHERE typeof({name}) = 'text' AND substr({name}, 1, ?) = ?",
                        (after, len(before) + 1, len(before), before),
                    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
