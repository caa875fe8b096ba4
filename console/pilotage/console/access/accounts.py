"""Users and what they were given: who signs in by password, and what an actor may do now.

Changes that people make to users are in `operations.users`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, insert, select, update

from pilotage.console.access import attempts, passwords
from pilotage.console.access.actors import ALL, Actor, Grant, Role
from pilotage.console.operations.desks import Desk
from pilotage.core import errors
from pilotage.pipelines import tables

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,127}")


class UserState(StrEnum):
    """Whether somebody may come in."""

    ACTIVE = "active"
    DISABLED = "disabled"


def check_name(name: str) -> str:
    """The name, if users may have it.

    Raises:
        SettingsError: they may not.
    """
    if not _NAME.fullmatch(name):
        raise errors.SettingsError(
            f"`{name[:40]}` cannot be the name of a user.",
            remedy="Take 1 to 128 of a-z, 0-9, `.`, `_`, `@`, `+` and `-`, a letter or digit first.",
        )
    return name


def sign_in(desk: Desk, name: str, password: str, address: str) -> str:
    """The name of the user whose password this is.

    Raises:
        Unauthenticated: there is no such user, they are disabled, or the password is another.
        LimitReached: there were too many failures of late.
    """
    table = tables.users
    name = name.strip().lower()
    with attempts.counted(desk.engine, name, address) as attempt:
        with tables.reading(desk.engine) as connection:
            row = connection.execute(select(table).where(table.c.name == name)).first()
        usable = row is not None and row.state == UserState.ACTIVE
        held = row.password if row is not None and usable else None
        if not passwords.is_right(held, password):
            raise errors.Unauthenticated(
                "The name or the password is wrong.",
                remedy="Try again; an admin can set a new password: `pilotage users password NAME`.",
            )
        attempt.succeeded = True
    if held is not None and passwords.is_outdated(held):
        with desk.engine.begin() as connection:
            fresh = {"password": passwords.rehash(password)}
            connection.execute(update(table).where(table.c.name == name, table.c.password == held), fresh)
    return name


def actor_of(connection: Connection, name: str) -> Actor | None:
    """Somebody with what they may do now; None where there is no such user, or one who is disabled."""
    users, grants = tables.users, tables.grants
    rows = connection.execute(
        select(users.c.name, grants.c.pilot, grants.c.role)
        .outerjoin(grants, grants.c.user == users.c.name)
        .where(users.c.name == name, users.c.state == UserState.ACTIVE)
    ).all()
    if not rows:
        return None
    return Actor(name, frozenset(Grant(row.pilot, Role(row.role)) for row in rows if row.role is not None))


def insert_user(
    connection: Connection,
    name: str,
    who: str,
    *,
    full_name: str = "",
    password: str | None = None,
    identity: tuple[str, str] | None = None,
) -> None:
    """Write a new user's row; `password` is a hash, `identity` an issuer and its subject."""
    issuer, subject = identity or (None, None)
    row: dict[str, Any] = {
        "name": name,
        "full_name": full_name,
        "password": password,
        "issuer": issuer,
        "subject": subject,
    }
    row |= {"state": UserState.ACTIVE, "created_at": tables.now(), "created_by": who}
    connection.execute(insert(tables.users), row)


def insert_grants(connection: Connection, name: str, grants: Iterable[Grant], who: str) -> None:
    """Write what somebody is given; it must not be theirs yet."""
    rows = [
        {"user": name, "pilot": grant.pilot, "role": grant.role, "at": tables.now(), "who": who}
        for grant in sorted(grants)
    ]
    if rows:
        connection.execute(insert(tables.grants), rows)


def parse_grant(text: str) -> Grant:
    """`ROLE` for all pilots, or `ROLE@PILOT`.

    Raises:
        SettingsError: it is neither.
    """
    role, _, pilot = text.partition("@")
    if role not in set(Role) or (not pilot and "@" in text):
        raise errors.SettingsError(
            f"`{text[:80]}` is not a role.",
            remedy=f"Write {', '.join(Role)}, for one pilot ROLE@PILOT.",
        )
    return Grant(pilot or ALL, Role(role))


def text_of(grant: Grant) -> str:
    """A grant as `parse_grant` takes it."""
    return str(grant.role) if grant.pilot == ALL else f"{grant.role}@{grant.pilot}"
