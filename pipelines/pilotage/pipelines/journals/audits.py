"""The audit: who did what to what, when and why, as a chain that nobody can change unseen.

Each record holds the digest of the one before it, so that a change or a gap
shows wherever it is; `verify` looks for them. That the last records are gone
shows only to those who noted a later head. Records are written in the
transaction of what they tell of, and the database refuses to change them. Who
may do what is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import outbox, repeats
from pilotage.pipelines.journals.outbox import Kind

GENESIS = "0" * 64
"""What the first record names as the one before it."""

_EVENTS = {
    "promote": Kind.VERSION_PROMOTED,
    "approve": Kind.VERSION_PROMOTED,
    "promoted": Kind.VERSION_PROMOTED,
    "rollback": Kind.VERSION_ROLLED_BACK,
    "halt": Kind.VERSION_ROLLED_BACK,
    "reject": Kind.VERSION_REJECTED,
    "pending": Kind.VERSION_PENDING,
    "releasing": Kind.VERSION_RELEASING,
}
"""What the world is told, by the audit's action."""
_BATCH = 1000
"""Records that are read at once."""


@dataclass(frozen=True)
class Record:
    """One line of the audit."""

    id: int
    at: datetime
    who: str
    action: str
    pilot: str | None
    """None where it is about the installation."""
    version: int | None
    why: str
    details: Mapping[str, Any]
    previous: str
    digest: str


@dataclass(frozen=True)
class Head:
    """The last record of the audit at some moment: who notes it elsewhere can tell later what was cut off."""

    id: int
    digest: str

    def __str__(self) -> str:
        return f"{self.id}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """What `str` of a head gives.

        Raises:
            SettingsError: it is none.
        """
        found = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text.strip().lower())
        if found is None:
            raise errors.SettingsError(
                f"`{text[:100]}` is no head of an audit.",
                remedy="Write ID:DIGEST as `pilotage audit verify` printed it.",
            )
        return cls(int(found[1]), found[2])


START = Head(0, GENESIS)
"""Before the first record."""


class Flaw(StrEnum):
    """What is wrong with a record."""

    CHANGED = "changed"
    """Its content is not what its digest was made of."""
    MISSING = "missing"
    """One or more before it are gone."""
    MISPLACED = "misplaced"
    """It does not follow the one before it."""
    UNREADABLE = "unreadable"
    """It holds what no record can hold."""
    CUT_OFF = "cut_off"
    """A head that was noted earlier is not there any more, or is another record."""


@dataclass(frozen=True)
class Problem:
    """The first thing that is wrong with the audit."""

    id: int
    """The record."""
    flaw: Flaw
    message: str


@dataclass(frozen=True)
class Verification:
    """How far the audit is in order."""

    head: Head
    """The last record that is; START when there is none."""
    records: int
    """How many were looked at."""
    complete: bool
    """Whether nothing comes after the head."""
    problem: Problem | None


def write(
    connection: Connection,
    action: str,
    pilot: str | None,
    who: str,
    why: str,
    *,
    version: int | None = None,
    **details: Any,
) -> None:
    """Append who did what to which pilot, when and why, in the caller's transaction, and tell of it."""
    tables.lock(connection, "audit")
    last = head(connection)
    row = {
        "id": last.id + 1,
        "at": tables.now(),
        "who": _storable(who),
        "action": action,
        "pilot": pilot,
        "version": version,
        "why": _storable(why),
        "details": _storable(tables.finite(json.loads(json.dumps(details, default=str)))),
        "previous": last.digest,
    }
    connection.execute(insert(tables.audit), {**row, "digest": digest_of(row)})
    repeats.note(connection)
    if pilot is not None and action in _EVENTS:
        told = {"pilot": pilot, "version": version, "action": action, "who": who, "why": why, **details}
        outbox.emit(connection, _EVENTS[action], pilot, f"version/{version}", told)


def head(connection: Connection) -> Head:
    """The last record; START when there is none."""
    table = tables.audit
    row = connection.execute(select(table.c.id, table.c.digest).order_by(table.c.id.desc()).limit(1)).first()
    return START if row is None else Head(row.id, row.digest)


def read(engine: Engine, pilot: str | None = None, limit: int = 100) -> list[Record]:
    """The latest records, newest first."""
    query = select(tables.audit).order_by(tables.audit.c.id.desc()).limit(limit)
    if pilot is not None:
        query = query.where(tables.audit.c.pilot == pilot)
    with engine.begin() as connection:
        return [Record(**row._mapping) for row in connection.execute(query)]


def verify(
    engine: Engine, noted: Sequence[Head] = (), *, after: Head = START, most: int | None = None
) -> Verification:
    """Walk the chain and find the first record that was changed, removed, put elsewhere or cut off.

    Args:
        engine: the database.
        noted: heads that were noted elsewhere earlier.
        after: a record that is known to be in order, to begin after it.
        most: records to look at; all when left out.
    """
    expected = {head.id: head for head in noted}
    last, looked = after, 0
    for row in _walk(engine, after.id if after.id > 0 else None):
        if looked == most:
            return Verification(last, looked, False, None)
        looked += 1
        problem = _judge(row, last) or _compare(row, expected.pop(int(row["id"]), None))
        if problem is not None:
            return Verification(last, looked, False, problem)
        last = Head(int(row["id"]), str(row["digest"]))
    lost = min((known for known in expected if known > last.id), default=None)
    if lost is not None:
        told = f"Record {lost} was noted earlier and is not there: the end of the audit was cut off."
        return Verification(last, looked, True, Problem(lost, Flaw.CUT_OFF, told))
    return Verification(last, looked, True, None)


def digest_of(row: Mapping[str, Any]) -> str:
    """SHA-256 of a record and the digest before it, as canonical JSON."""
    moment: datetime = row["at"]
    told = {**{key: value for key, value in row.items() if key != "digest"}}
    told["at"] = moment.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _walk(engine: Engine, after: int | None) -> Iterator[Mapping[str, Any]]:
    """Records by id; of one that cannot be read, its id alone."""
    table = tables.audit
    most = _BATCH
    while True:
        query = select(table).order_by(table.c.id).limit(most)
        if after is not None:
            query = query.where(table.c.id > after)
        with tables.reading(engine) as connection:
            try:
                rows = [dict(row._mapping) for row in connection.execute(query)]
            except (ValueError, TypeError):  # of a type that its column does not have
                if most > 1:
                    most = 1
                    continue
                rows = [{"id": connection.scalar(query.with_only_columns(table.c.id))}]
        if not rows:
            return
        yield from rows
        after = int(rows[-1]["id"])


def _judge(row: Mapping[str, Any], head: Head) -> Problem | None:
    """What is wrong with a record that follows `head`."""
    own, due = int(row["id"]), head.id + 1
    if own != due:
        if own < due:
            return Problem(own, Flaw.MISPLACED, f"Record {own} cannot be: the first one is 1.")
        lost = f"Record {due} is" if own == due + 1 else f"Records {due} to {own - 1} are"
        return Problem(own, Flaw.MISSING, f"{lost} missing before record {own}.")
    try:
        digest = digest_of(row)
    except (KeyError, AttributeError, TypeError, ValueError):
        return Problem(own, Flaw.UNREADABLE, f"Record {own} holds what no record can hold.")
    if row["digest"] != digest:
        return Problem(own, Flaw.CHANGED, f"Record {own} was changed: its digest is not that of its content.")
    if row["previous"] != head.digest:
        told = f"Record {own} does not follow record {head.id}: one of them was replaced or moved."
        return Problem(own, Flaw.MISPLACED, told)
    return None


def _compare(row: Mapping[str, Any], noted: Head | None) -> Problem | None:
    if noted is None or row["digest"] == noted.digest:
        return None
    told = f"Record {noted.id} is not the one that was noted earlier: the audit was rewritten."
    return Problem(noted.id, Flaw.CUT_OFF, told)


def _storable(value: Any) -> Any:
    """`value` without the characters that databases cannot hold: NUL, and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value
