"""What people and runs ask for: that a version be released, taken back, or taken to be live.

Each is a transaction of the caller's or one of its own, and changes rows alone;
the leader carries it out. The newest wish wins; among those that nobody but
Pilotage made, the newest version.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, insert, select, update

from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, states
from pilotage.pipelines.transitions.rows import line
from pilotage.pipelines.transitions.stages import HALTABLE, UNDER_WAY, Stage, Transition, transition

RELEASING = "releasing"
"""What the audit calls the beginning; `release` is the commit."""
PROMOTED = "promoted"
"""The action that no person asked for."""
ROLLBACK = "rollback"
"""The action that brings an earlier champion back."""


@dataclass(frozen=True)
class Wish:
    """A version that is to be released."""

    pilot: str
    version: int
    environment: str
    action: str
    who: str
    why: str
    run: str | None = None
    forced: bool = False


def ask(connection: Connection, wish: Wish) -> bool:
    """Let a version be released, in the caller's transaction; False where it is on its way already.

    What was under way before gives way, unless it is newer and this one is of no person's asking.
    """
    _lock(connection, wish.pilot)
    going_on = _under_way(connection, wish.pilot, wish.environment)
    if any(item.version == wish.version for item in going_on):
        return False
    newer = [item for item in going_on if wish.action == PROMOTED and item.version > wish.version]
    for item in going_on:
        if not newer and item.stage in HALTABLE:
            give_way(connection, item, f"version {wish.version} took its place")
    now = tables.now()
    row = {
        **vars(wish),
        "id": states.new_id(),
        "stage": Stage.YIELDING if newer else Stage.ASKED,
        "reason": f"version {newer[0].version} is newer" if newer else "",
        "standing": "waits for its commit",
        "asked_at": now,
        "next_at": now,
    }
    connection.execute(insert(tables.transitions), row)
    details = {"environment": wish.environment, "asked": wish.action, "run": wish.run}
    audits.write(connection, RELEASING, wish.pilot, wish.who, wish.why, version=wish.version, **details)
    return True


def give_way(connection: Connection, item: Transition, reason: str) -> None:
    """Another version took its place; in the caller's transaction, which holds the pilot's lock."""
    ended = {"stage": Stage.YIELDING, "reason": reason, "next_at": tables.now(), "attempts": 0}
    connection.execute(update(tables.transitions).where(tables.transitions.c.id == item.id), ended)


def withdraw(
    engine: Engine, pilot: str, environment: str, version: int | None, *, who: str, why: str, outcome: str
) -> Transition | None:
    """Take the release back that is under way; None when none is, or not that of `version`.

    A rollback that is under way is left as it is unless its version is named: who asks for one twice
    wants it once.

    Args:
        engine: the database.
        pilot: whose release.
        environment: where it goes.
        version: the one that is meant; any when left out.
        who: a person.
        why: what they say.
        outcome: the decision that the version is marked with.

    Raises:
        Conflict: it becomes champion at this moment.
    """
    with engine.begin() as connection:
        _lock(connection, pilot)
        items = _under_way(connection, pilot, environment)
        found = next((item for item in items if version in (None, item.version)), None)
        if found is None:
            return None
        if found.action == ROLLBACK and version is None:
            return found
        if found.stage is Stage.LIVE:
            raise errors.Conflict(
                f"Version {found.version} of `{pilot}` is live, and becomes champion at this moment.",
                remedy=f"`pilotage rollback {pilot}` brings the one before back, in some seconds.",
            )
        reason = f"taken back by {who}" + (f": {why}" if why else "")
        take_back(connection, found.id, reason, outcome=outcome, who=who)
        audits.write(connection, "withdraw", pilot, who, why, version=found.version, environment=environment)
        return found


def take_back(connection: Connection, item: str, reason: str, *, outcome: str, who: str | None) -> None:
    """Let the commit of a release be reverted; in the caller's transaction."""
    changed = {
        "stage": Stage.REVERTING,
        "reason": line(reason),
        "outcome": outcome,
        "ended_by": who,
        "standing": "its commit is taken back",
        "next_at": tables.now(),
        "attempts": 0,
    }
    connection.execute(update(tables.transitions).where(tables.transitions.c.id == item), changed)


def confirm(
    engine: Engine,
    pilot: str,
    environment: str,
    version: int,
    *,
    who: str,
    why: str = "",
    replaced: int | None = None,
) -> bool:
    """Take a person's word that a committed version is live, in place of `replaced`; whether it was one."""
    table = tables.transitions
    with engine.begin() as connection:
        _lock(connection, pilot)
        for item in _under_way(connection, pilot, environment):
            if item.version == version and item.stage is Stage.COMMITTED:
                reason = f"{who} confirmed that it is live" + (f": {why}" if why else "")
                live = {"stage": Stage.LIVE, "reason": reason, "standing": reason, "next_at": tables.now()}
                live |= {"replaced": replaced, "attempts": 0, "trouble": None, "trouble_since": None}
                connection.execute(update(table).where(table.c.id == item.id), live)
                audits.write(connection, "confirm", pilot, who, why, version=version, environment=environment)
                return True
    return False


def going(engine: Engine, pilot: str, environment: str) -> Transition | None:
    """The release that is under way, if one is."""
    with tables.reading(engine) as connection:
        return next(iter(_under_way(connection, pilot, environment)), None)


def find(engine: Engine, pilot: str | None = None, limit: int = 50) -> list[Transition]:
    """Releases to environments, newest first."""
    table = tables.transitions
    query = select(table).order_by(table.c.asked_at.desc(), table.c.id.desc()).limit(limit)
    if pilot is not None:
        query = query.where(table.c.pilot == pilot)
    with tables.reading(engine) as connection:
        return [transition(row) for row in connection.execute(query)]


def _under_way(connection: Connection, pilot: str, environment: str) -> list[Transition]:
    """Newest wish first."""
    table = tables.transitions
    query = select(table).where(
        table.c.pilot == pilot, table.c.environment == environment, table.c.stage.in_(UNDER_WAY)
    )
    rows = connection.execute(query.order_by(table.c.asked_at.desc(), table.c.id.desc()))
    return [transition(row) for row in rows]


def _lock(connection: Connection, pilot: str) -> None:
    tables.lock(connection, f"transitions of {pilot}")
