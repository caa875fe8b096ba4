"""What people vouch for: a dated note of a named person that a test was done by hand; it ends by itself.

A note is half a point at most, and never more than the evidence that Pilotage has itself. Each is in the
audit, and so is that it was withdrawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, insert, select, update

from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, states
from pilotage.pipelines.readiness.rubrics import BY_ID, RULES

USUAL, LONGEST = timedelta(days=90), timedelta(days=366)
"""How long a note holds where nothing is said, and at most."""
MOST_LETTERS = 2000
NOTED, WITHDRAWN = "readiness-note", "readiness-withdraw"
"""What the audit calls a note, and taking one back."""


@dataclass(frozen=True)
class Note:
    """Somebody's word that a test was done."""

    id: str
    pilot: str
    test: str
    text: str
    who: str
    at: datetime
    until: datetime
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None


def add(engine: Engine, pilot: str, test: str, text: str, *, who: str, until: datetime | None = None) -> Note:
    """Keep a note; it takes the place of an earlier one for the same test.

    Raises:
        SettingsError: there is no such test, nothing is said, or the time is past or too far away.
    """
    now = tables.now()
    require_test(test)
    said = text.strip()
    if not said or len(said) > MOST_LETTERS:
        raise errors.SettingsError(
            f"A note has 1 to {MOST_LETTERS} letters; this one has {len(said)}.",
            remedy="Say what was done, by whom and where its result is.",
        )
    end = until or now + USUAL
    if not now < end <= now + LONGEST:
        raise errors.SettingsError(
            f"A note cannot hold until {end:%Y-%m-%d %H:%M} UTC.",
            remedy=f"Choose a time from now to {now + LONGEST:%Y-%m-%d}; what was done by hand gets old.",
        )
    note = Note(states.new_id(), pilot, test, said, who, now, end)
    with engine.begin() as connection:
        connection.execute(insert(tables.readiness_notes), vars(note))
        audits.write(connection, NOTED, pilot, who, said, test=test, until=end, note=note.id)
    return note


def withdraw(engine: Engine, pilot: str, note: str, *, who: str, why: str = "") -> Note:
    """Take a note back; the same again changes nothing.

    Raises:
        NotFound: the pilot has no such note.
    """
    table = tables.readiness_notes
    mine = table.c.pilot == pilot, table.c.id == note
    with engine.begin() as connection:
        tables.lock(connection, f"readiness of {pilot}")
        row = connection.execute(select(table).where(*mine)).first()
        if row is None:
            raise errors.NotFound(
                f"There is no note `{note}` about the readiness of `{pilot}`.",
                remedy=f"`pilotage readiness {pilot} --notes` lists them.",
            )
        if row.withdrawn_at is None:
            ended = {"withdrawn_at": tables.now(), "withdrawn_by": who}
            connection.execute(update(table).where(*mine), ended)
            audits.write(connection, WITHDRAWN, pilot, who, why, test=row.test, note=note)
        return Note(**connection.execute(select(table).where(*mine)).one()._mapping)


def listed(engine: Engine, pilot: str, limit: int = 200) -> list[Note]:
    """Notes about a pilot, the newest first, also those that hold no more."""
    table = tables.readiness_notes
    query = select(table).where(table.c.pilot == pilot).order_by(table.c.at.desc(), table.c.id.desc())
    with tables.reading(engine) as connection:
        return [Note(**row._mapping) for row in connection.execute(query.limit(limit))]


def holding(connection: Connection, pilot: str, now: datetime) -> dict[str, Note]:
    """The note that holds by test: the newest of those that were neither withdrawn nor have ended."""
    table = tables.readiness_notes
    query = select(table).where(table.c.pilot == pilot, table.c.withdrawn_at.is_(None), table.c.until > now)
    rows = connection.execute(query.order_by(table.c.at, table.c.id))
    return {row.test: Note(**row._mapping) for row in rows}


def require_test(test: str) -> None:
    """Do nothing if the rubric has a test of this id.

    Raises:
        SettingsError: it has none.
    """
    if test not in BY_ID:
        raise errors.SettingsError(
            f"The ML Test Score has no test `{test}`.",
            remedy=f"Its tests are {', '.join(rule.id for rule in RULES)}.",
        )
