"""Tables as JSON lines: a row an object, without the columns that are null.

They are the same whichever kind of database they come from or go to. The
database's own shape is used for reading them, so that rows of an older revision
can be put where they were, and migrated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    cast,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import OperationalError, StatementError

from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.backups.contents import LEFT_OUT

PART_BYTES = 4 * 2**20
"""About as much of a table is one part, which is all of it that is in memory."""
_ROWS = 1000

Change = Callable[[str, Any], Any]
"""What becomes of a value of a table on the way back."""


def dump(connection: Connection) -> Iterator[tuple[str, bytes]]:
    """Parts of all tables that belong to a backup: table, and lines."""
    for table in tables.metadata.sorted_tables:
        if table.name in LEFT_OUT:
            continue
        part: list[bytes] = []
        size = 0
        for line in _lines(connection, table):
            part.append(line)
            size += len(line)
            if size >= PART_BYTES:
                yield table.name, b"".join(part)
                part, size = [], 0
        if part:
            yield table.name, b"".join(part)


def load(connection: Connection, parts: Mapping[str, list[Path]], change: Change) -> int:
    """Insert the rows in `parts`, files by table, into tables that are there and empty; returns how many.

    Raises:
        DataError: a part holds what its table cannot.
    """
    held = MetaData()
    held.reflect(connection)
    unknown = sorted(set(parts) - set(held.tables))
    if unknown:
        raise errors.DataError(f"The backup has rows of `{unknown[0]}`, which is no table of its revision.")
    count = 0
    for table in held.sorted_tables:
        for part in parts.get(table.name, ()):
            try:
                count += _insert(connection, table, part, change)
            except OperationalError:
                raise  # it is not the part's fault
            except (StatementError, ValueError, TypeError, AttributeError, RecursionError) as error:
                reason = getattr(error, "orig", None) or error
                raise errors.DataError(
                    f"`{part.name}` of the backup does not fit the table `{table.name}`: {reason}.",
                    remedy="Nothing was restored; take another backup.",
                ) from error
        _go_on_counting(connection, table)
    return count


def is_empty(connection: Connection) -> bool:
    """Whether no table of ours has a row; those that are not there have none."""
    held = MetaData()
    held.reflect(connection, only=lambda name, _: name in tables.metadata.tables)
    return all(
        connection.execute(select(1).select_from(table).limit(1)).first() is None
        for table in held.sorted_tables
    )


def _lines(connection: Connection, table: Table) -> Iterator[bytes]:
    columns = [
        cast(column, Text).label(column.name) if isinstance(column.type, JSON) else column
        for column in table.columns
    ]
    documents = {column.name for column in table.columns if isinstance(column.type, JSON)}
    query = select(*columns).order_by(*table.primary_key.columns).execution_options(yield_per=_ROWS)
    for row in connection.execute(query):
        told = {
            name: json.loads(value) if name in documents else value
            for name, value in row._mapping.items()
            if value is not None
        }
        yield json.dumps(told, default=_told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _told(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} has no place in a backup")


def _insert(connection: Connection, table: Table, part: Path, change: Change) -> int:
    statement = insert(table).values(
        {column.name: _parameter(connection, column) for column in table.columns}
    )
    count = 0
    batch: list[dict[str, Any]] = []
    with part.open("rb") as lines:
        for line in lines:
            row = json.loads(line)
            if unknown := set(row) - set(table.columns.keys()):
                raise ValueError(f"it has no column `{min(unknown)}`")
            batch.append({f"v_{c.name}": _value(c, row, change) for c in table.columns})
            if len(batch) == _ROWS:
                connection.execute(statement, batch)
                count, batch = count + len(batch), []
    if batch:
        connection.execute(statement, batch)
    return count + len(batch)


def _parameter(connection: Connection, column: Column[Any]) -> Any:
    """JSON goes in as its text, as only so null and JSON's null stay apart."""
    name = f"v_{column.name}"
    if not isinstance(column.type, JSON):
        return bindparam(name, type_=column.type)
    written = bindparam(name, type_=Text())
    return cast(written, JSON) if connection.dialect.name == "postgresql" else written


def _value(column: Column[Any], row: Mapping[str, Any], change: Change) -> Any:
    if column.name not in row:
        return None
    value = change(column.table.name, row[column.name])
    if isinstance(column.type, JSON):
        return json.dumps(tables.finite(value), sort_keys=True)
    if isinstance(column.type, DateTime):
        return datetime.fromisoformat(value).astimezone(UTC)
    if not isinstance(value, (str, int, float, bool)):
        raise ValueError(f"`{column.name}` has a {type(value).__name__}")
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _go_on_counting(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows after those that came with a number."""
    key = list(table.primary_key.columns)
    if connection.dialect.name != "postgresql" or len(key) != 1 or not isinstance(key[0].type, Integer):
        return
    sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, key[0].name)))
    last = connection.scalar(select(func.max(key[0])))
    if sequence is not None and last is not None:
        connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})
