"""Who did what, when, why, to which version: looked through, taken out, and shown to be whole.

Lines about the installation are for those who may read every pilot; others see
the lines of theirs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, Row, Select, select

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import positions, sights
from pilotage.console.operations.chains import Chain
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core import errors, spreadsheets
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

_BATCH = 1000
"""Lines of an export that are read at once."""


class Line(Model):
    """One line of the audit."""

    id: int
    at: datetime
    who: str
    action: str
    pilot: str | None
    """Null where it is about the installation."""
    version: int | None
    why: str
    details: dict[str, Any]
    previous: str
    """Digest of the line before it."""
    digest: str


class Format(StrEnum):
    """What the audit is taken out as."""

    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True)
class Filter:
    """Which lines; each that is empty lets all through."""

    pilot: str = ""
    who: str = ""
    """A part of the name."""
    action: str = ""
    since: datetime | None = None
    until: datetime | None = None
    """Not including this moment. Times without a zone are UTC."""


def list_lines(
    desk: Desk, actor: Actor, which: Filter, *, cursor: str | None = None, limit: int = 50
) -> Listing[Line]:
    """Lines that the actor may read, newest first.

    Raises:
        NotFound: the pilot asked for is not theirs to read.
        SettingsError: a filter or the cursor cannot be used.
    """
    table = tables.audit
    query = _query(actor, which).order_by(table.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(table.c.id < positions.read(cursor, (positions.number,))[0])
    with tables.reading(desk.engine) as connection:
        found = [_line(row) for row in connection.execute(query)]
    following = cursor_of(found[limit - 1].id) if len(found) > limit else None
    return Listing(items=tuple(found[:limit]), next=following)


def actions(desk: Desk, actor: Actor) -> tuple[str, ...]:
    """What was done, to choose from; as quick as there are few kinds, however many records."""
    column = tables.audit.c.action
    query = _query(actor, Filter()).with_only_columns(column).order_by(column).limit(1)
    found: list[str] = []
    with tables.reading(desk.engine) as connection:
        following = connection.scalar(query)
        while following is not None:
            found.append(following)
            following = connection.scalar(query.where(column > following))
    return tuple(found)


def export(desk: Desk, actor: Actor, which: Filter, kind: Format) -> Iterator[str]:
    """Lines that the actor may read, oldest first, as text in pieces of any number of lines.

    Raises:
        NotFound: the pilot asked for is not theirs to read.
        SettingsError: a filter cannot be used.
    """
    found = batches(desk, actor, which)
    return _csv(found) if kind is Format.CSV else _json(found)


def batches(desk: Desk, actor: Actor, which: Filter) -> Iterator[Sequence[Line]]:
    """Lines that the actor may read, oldest first, some at a time.

    Raises:
        NotFound: the pilot asked for is not theirs to read.
        SettingsError: a filter cannot be used.
    """
    return _batches(desk.engine, _query(actor, which))


def chain(desk: Desk, actor: Actor) -> Chain | None:
    """How far the audit is known to be whole, cheaply; None for those who may not read all of it.

    Each look goes on where the last one of this process ended, and now and then begins again.
    """
    if not actor.may(Permission.READ):
        return None
    return desk.watch.look()


def _query(actor: Actor, which: Filter) -> Select[Any]:
    columns = tables.audit.c
    wanted = _text("pilot", which.pilot) if which.pilot else None
    query = select(tables.audit).where(sights.visible(actor, columns.pilot, wanted))
    if which.who:
        query = query.where(columns.who.contains(_text("who", which.who), autoescape=True))
    if which.action:
        query = query.where(columns.action == _text("action", which.action))
    if which.since is not None:
        query = query.where(columns.at >= _moment("since", which.since))
    if which.until is not None:
        query = query.where(columns.at < _moment("until", which.until))
    return query


def _text(name: str, value: str) -> str:
    if "\0" in value:
        raise errors.SettingsError(f"`{name}` has a NUL in it.", remedy="Leave it out.")
    return value


def _moment(name: str, value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError as error:
        raise errors.SettingsError(
            f"`{name}` is {value.isoformat()}, which is no time in UTC.", remedy="Write one of this age."
        ) from error


def _batches(engine: Engine, query: Select[Any]) -> Iterator[Sequence[Line]]:
    """All lines; each batch is a transaction of its own, so that a slow reader holds up nothing."""
    last = 0
    column = tables.audit.c.id
    while True:
        part = query.where(column > last).order_by(column).limit(_BATCH)
        with tables.reading(engine) as connection:
            lines = [_line(row) for row in connection.execute(part)]
        if not lines:
            return
        yield lines
        last = lines[-1].id


def _csv(batches: Iterator[Sequence[Line]]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(Line.model_fields)
    for lines in batches:
        for line in lines:
            values = line.model_dump(mode="json")
            values["details"] = json.dumps(values["details"], ensure_ascii=False, sort_keys=True)
            writer.writerow(
                spreadsheets.cell(value) if isinstance(value, str) else value for value in values.values()
            )
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _json(batches: Iterator[Sequence[Line]]) -> Iterator[str]:
    before = "[\n"
    for lines in batches:
        yield before + ",\n".join(line.model_dump_json() for line in lines)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _line(row: Row[Any]) -> Line:
    return Line(**row._mapping)


def parse_moment(name: str, text: str) -> datetime | None:
    """A time as ISO 8601 writes it, or a day; None for nothing.

    Raises:
        SettingsError: it is none.
    """
    if not text.strip():
        return None
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise errors.SettingsError(
            f"`{name}` is `{text[:40]}`, which is neither a day nor a time.",
            remedy="Write 2026-11-26 or 2026-11-26T08:00:00+01:00.",
        ) from error


def verify(desk: Desk, actor: Actor, noted: Sequence[audits.Head]) -> audits.Verification:
    """Look at the whole audit; `noted` are heads that were noted elsewhere earlier.

    Raises:
        Forbidden: the actor may not read all of it.
    """
    actor.require(Permission.READ)
    return audits.verify(desk.engine, noted)
