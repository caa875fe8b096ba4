"""Browsers that are signed in: a random cookie, kept as its digest; disuse, age and revocation end it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from pilotage.console.access import accounts
from pilotage.console.access.actors import Actor
from pilotage.console.access.digests import digest_of, new_id, new_secret
from pilotage.console.operations.desks import Desk
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

_SEEN_EVERY = timedelta(minutes=1)
_KEPT = timedelta(days=30)
"""How long the rows of sessions that ended are kept."""


@dataclass(frozen=True)
class Session:
    """One browser that somebody signed in with."""

    id: str
    actor: Actor
    csrf: str


def begin(desk: Desk, user: str, how: str, address: str, agent: str, before: str | None = None) -> str:
    """Sign `user` in; returns the cookie. The session of the cookie `before` ends.

    Args:
        desk: the installation.
        user: somebody who proved who they are.
        how: by what; for the audit.
        address: where they come from.
        agent: what they use.
        before: the cookie that their browser sent.
    """
    cookie, now, table = new_secret(), tables.now(), tables.web_sessions
    row: dict[str, Any] = {"digest": digest_of(cookie), "id": new_id(), "user": user, "csrf": new_secret()}
    row |= {"created_at": now, "seen_at": now, "address": address[:100], "agent": agent[:200]}
    row["expires_at"] = now + timedelta(hours=desk.settings.session_hours)
    with desk.engine.begin() as connection:
        connection.execute(delete(table).where(table.c.expires_at < now - _KEPT))
        if before is not None:
            _revoke(connection, table.c.digest == digest_of(before))
        connection.execute(insert(table), row)
        audits.write(connection, "sign_in", None, user, "", by=how, session=row["id"], address=row["address"])
    return cookie


def find(desk: Desk, cookie: str) -> Session | None:
    """The session of a cookie; None where it is over, unknown, or its user may no longer come in."""
    table, now = tables.web_sessions, tables.now()
    with tables.reading(desk.engine) as connection:
        row = connection.execute(select(table).where(table.c.digest == digest_of(cookie))).first()
        if row is None or row.revoked_at is not None or row.expires_at <= now:
            return None
        if row.seen_at + timedelta(hours=desk.settings.session_idle_hours) <= now:
            return None
        actor = accounts.actor_of(connection, row.user)
    if actor is None:
        return None
    if row.seen_at + _SEEN_EVERY < now:
        with desk.engine.begin() as connection:
            connection.execute(update(table).where(table.c.digest == row.digest), {"seen_at": now})
    return Session(row.id, actor, row.csrf)


def end(desk: Desk, cookie: str) -> None:
    """Sign the browser with this cookie out."""
    table = tables.web_sessions
    mine = table.c.digest == digest_of(cookie)
    with desk.engine.begin() as connection:
        if _revoke(connection, mine):
            row = connection.execute(select(table.c.id, table.c.user).where(mine)).one()
            audits.write(connection, "sign_out", None, row.user, "", user=row.user, session=row.id)


def end_all(connection: Connection, user: str, but: str | None = None) -> int:
    """Sign `user` out everywhere, but in the session of id `but`; returns in how many browsers."""
    table = tables.web_sessions
    wanted = table.c.user == user
    return _revoke(connection, wanted if but is None else wanted & (table.c.id != but))


def _revoke(connection: Connection, wanted: ColumnElement[bool]) -> int:
    table = tables.web_sessions
    ended = connection.execute(
        update(table).where(wanted, table.c.revoked_at.is_(None)).values(revoked_at=tables.now())
    )
    return int(ended.rowcount)
