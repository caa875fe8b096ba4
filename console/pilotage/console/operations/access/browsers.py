"""Browsers that somebody is signed in with, and signing out of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update

from pilotage.console.access import sessions
from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Model
from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits


class Browser(Model):
    """A browser that is signed in."""

    id: str
    user: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str
    agent: str


class SignedOut(Model):
    """What signing out everywhere did."""

    browsers: int


def list_browsers(desk: Desk, actor: Actor, user: str) -> list[Browser]:
    """Where `user` is signed in, the latest first; of others for admins only."""
    if actor.name != user:
        actor.require(Permission.ADMINISTER)
    table, now = tables.web_sessions, tables.now()
    idle = now - timedelta(hours=desk.settings.session_idle_hours)
    query = (
        select(table)
        .where(table.c.user == user, table.c.revoked_at.is_(None))
        .where(table.c.expires_at > now, table.c.seen_at > idle)
        .order_by(table.c.seen_at.desc())
        .limit(100)
    )
    with tables.reading(desk.engine) as connection:
        return [
            Browser(
                id=row.id,
                user=row.user,
                created_at=row.created_at,
                seen_at=row.seen_at,
                expires_at=row.expires_at,
                address=row.address,
                agent=row.agent,
            )
            for row in connection.execute(query)
        ]


def sign_out(desk: Desk, actor: Actor, user: str, browser: str) -> None:
    """Sign one browser of `user` out; of others, and by a token, for admins only.

    Raises:
        NotFound: it is not signed in.
    """
    _require(actor, user)
    table = tables.web_sessions
    with desk.engine.begin() as connection:
        row = connection.execute(
            select(table).where(table.c.id == browser, table.c.user == user, table.c.revoked_at.is_(None))
        ).first()
        if row is None:
            raise errors.NotFound(
                f"There is no browser `{browser[:64]}` that is signed in.", remedy="Settings shows which are."
            )
        connection.execute(update(table).where(table.c.id == browser), {"revoked_at": tables.now()})
        audits.write(connection, "sign_out", None, actor.name, "", user=row.user, session=browser)


def sign_out_everywhere(desk: Desk, actor: Actor, user: str) -> SignedOut:
    """Sign `user` out of all browsers; others, and by a token, for admins only."""
    _require(actor, user)
    with desk.engine.begin() as connection:
        ended = sessions.end_all(connection, user)
        audits.write(connection, "sign_out", None, actor.name, "", user=user, sessions_ended=ended)
    return SignedOut(browsers=ended)


def _require(actor: Actor, user: str) -> None:
    if actor.name != user or actor.token is not None:
        actor.require(Permission.ADMINISTER)
