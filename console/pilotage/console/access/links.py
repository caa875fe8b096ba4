"""Links that sign somebody in once: for the person at the machine that the console runs on."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, insert, select, update

from pilotage.console.access import accounts
from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.access.digests import digest_of, new_secret
from pilotage.console.operations.desks import Desk
from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.machines import people

LOCAL = "local"
"""The user who stands for whoever is at the machine."""
PATH = "/sign-in/once/"
_VALID = timedelta(minutes=10)


def create_link(desk: Desk, user: str = LOCAL) -> str:
    """The path of a link that signs `user` in, once, within ten minutes and from this machine only.

    The first link for `local` makes that user, an admin: whoever may call this can change the database too.

    Raises:
        NotFound: there is no such user, or they are disabled.
    """
    link, now, table = new_secret(), tables.now(), tables.sign_in_links
    who = people.user()
    with desk.engine.begin() as connection:
        tables.lock(connection, "users")
        held = connection.execute(select(tables.users.c.name).where(tables.users.c.name == user)).first()
        if user == LOCAL and held is None:
            accounts.insert_user(connection, LOCAL, who, full_name="Whoever is at this machine")
            accounts.insert_grants(connection, LOCAL, [Grant(ALL, Role.ADMIN)], who)
            audits.write(connection, "add_user", None, who, "the first link", user=LOCAL, grants=["admin"])
        if accounts.actor_of(connection, user) is None:
            raise errors.NotFound(
                f"There is no user `{user}` who may come in.",
                remedy="`pilotage users list` shows who may; `pilotage users add NAME` adds one.",
            )
        connection.execute(delete(table).where(table.c.expires_at < now))
        row = {"digest": digest_of(link), "user": user, "created_at": now, "expires_at": now + _VALID}
        connection.execute(insert(table), row)
    return f"{PATH}{link}"


def use(desk: Desk, link: str) -> str:
    """The user whom a link signs in; it is used up.

    Raises:
        Unauthenticated: it is none of ours, was used before, or is too old.
    """
    table, now = tables.sign_in_links, tables.now()
    with desk.engine.begin() as connection:
        used = connection.execute(
            update(table)
            .where(table.c.digest == digest_of(link), table.c.used_at.is_(None), table.c.expires_at > now)
            .values(used_at=now)
        )
        row = connection.execute(select(table.c.user).where(table.c.digest == digest_of(link))).first()
        if used.rowcount != 1 or row is None or accounts.actor_of(connection, row.user) is None:
            raise errors.Unauthenticated(
                "This link was used before, is older than ten minutes, or was never made.",
                remedy="`pilotage sign-in` prints a fresh one.",
            )
    return str(row.user)
