"""The pilots that the installation knows: written by whoever takes one in, runs it or reads it again.

Which pilots somebody may see is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from pilotage.core import errors
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables


@dataclass(frozen=True)
class Entry:
    """A pilot as it was when it was last read."""

    name: str
    folder: Path
    spec: PilotSpec


def put(connection: Connection, spec: PilotSpec, folder: Path) -> bool:
    """Write the pilot's row; whether anything changed."""
    table = tables.pilots
    values: dict[str, Any] = {
        "folder": str(folder),
        "spec": spec.model_dump(mode="json", exclude_unset=True),
        "updated_at": tables.now(),
    }
    mine = table.c.name == spec.pilot
    held = connection.execute(select(table).where(mine)).first()
    if held is None:
        try:
            with connection.begin_nested():
                connection.execute(insert(table), {**values, "name": spec.pilot, "added_at": tables.now()})
        except IntegrityError:  # another process has just taken it in
            connection.execute(update(table).where(mine), values)
        return True
    if (held.folder, held.spec) == (values["folder"], values["spec"]):
        return False
    connection.execute(update(table).where(mine), values)
    return True


def get(connection: Connection, name: str) -> Entry:
    """The pilot of that name.

    Raises:
        NotFound: it was never taken in.
    """
    row = connection.execute(select(tables.pilots).where(tables.pilots.c.name == name)).first()
    if row is None:
        raise errors.NotFound(
            f"There is no pilot `{name}` here.", remedy="`pilotage up PILOT` adds one.", pilot=name
        )
    return _entry(row)


def entries(connection: Connection) -> list[Entry]:
    """Every pilot, by name."""
    return [_entry(row) for row in connection.execute(select(tables.pilots).order_by(tables.pilots.c.name))]


def _entry(row: Row[Any]) -> Entry:
    return Entry(row.name, Path(row.folder), PilotSpec.model_validate(row.spec))
