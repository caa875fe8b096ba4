"""Users and their roles: who they are, who gave them what, and that somebody can always give roles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from pilotage.console.access import accounts, passwords, sessions
from pilotage.console.access.accounts import UserState
from pilotage.console.access.actors import ALL, Actor, Grant, Permission, Role
from pilotage.console.operations import positions
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.console.operations.tags import require_same
from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

_ADMIN = Grant(ALL, Role.ADMIN)
"""Somebody always holds it."""


class Given(Model):
    """A role that somebody was given."""

    pilot: str
    """`*` for all pilots."""
    role: Role
    at: datetime
    who: str


class User(Model):
    """Somebody who may, or might, come in."""

    name: str
    full_name: str
    state: UserState
    has_password: bool
    issuer: str | None
    """The OpenID provider that vouches for them."""
    created_at: datetime
    created_by: str
    grants: tuple[Given, ...]


def list_users(
    desk: Desk, actor: Actor, *, search: str = "", cursor: str | None = None, limit: int = 50
) -> Listing[User]:
    """Users by name; `search` is a part of it."""
    actor.require(Permission.ADMINISTER)
    table = tables.users
    query = select(table).order_by(table.c.name).limit(limit + 1)
    if search:
        query = query.where(table.c.name.contains(search, autoescape=True))
    if cursor is not None:
        query = query.where(table.c.name > positions.read(cursor, (positions.text,))[0])
    with tables.reading(desk.engine) as connection:
        rows = connection.execute(query).all()
        given = _given(connection, [row.name for row in rows])
    found = [_user(row, given.get(row.name, ())) for row in rows]
    following = cursor_of(found[limit - 1].name) if len(found) > limit else None
    return Listing(items=tuple(found[:limit]), next=following)


def get_user(desk: Desk, actor: Actor, name: str) -> User:
    """One user; everybody may look at themselves.

    Raises:
        NotFound: there is none of this name.
    """
    if actor.name != name:
        actor.require(Permission.ADMINISTER)
    with tables.reading(desk.engine) as connection:
        return _one(connection, name)


def add_user(
    desk: Desk,
    actor: Actor,
    name: str,
    *,
    full_name: str = "",
    password: str | None = None,
    grants: Iterable[Grant] = (),
    why: str = "",
) -> User:
    """Let somebody in, with a password and roles or without.

    Raises:
        Conflict: there is one of this name.
        SettingsError: the name or the password cannot be one.
    """
    actor.require(Permission.ADMINISTER)
    accounts.check_name(name)
    wanted = sorted(set(grants))
    hashed = None if password is None else passwords.hash_password(password, name)
    with desk.engine.begin() as connection:
        tables.lock(connection, "users")
        if _row(connection, name) is not None:
            raise errors.Conflict(f"There is a user `{name}` already.", remedy="Take another name.")
        accounts.insert_user(connection, name, actor.name, full_name=full_name, password=hashed)
        accounts.insert_grants(connection, name, wanted, actor.name)
        told = [accounts.text_of(grant) for grant in wanted]
        audits.write(connection, "add_user", None, actor.name, why, user=name, grants=told)
        return _one(connection, name)


def change_user(
    desk: Desk,
    actor: Actor,
    name: str,
    *,
    full_name: str | None = None,
    state: UserState | None = None,
    why: str = "",
    expected: str | None = None,
) -> User:
    """Change what is given; whoever is disabled is signed out everywhere, and their tokens stop working.

    Raises:
        NotFound: there is no such user.
        Outdated: `expected` is not the tag of the user as it is.
        Conflict: nobody could give roles any more.
    """
    actor.require(Permission.ADMINISTER)
    with desk.engine.begin() as connection:
        tables.lock(connection, "users")
        before = _one(connection, name)
        require_same(expected, before)
        wanted = {"full_name": full_name, "state": state}
        values: dict[str, Any] = {
            key: value for key, value in wanted.items() if value not in (None, getattr(before, key))
        }
        if values:
            connection.execute(update(tables.users).where(tables.users.c.name == name), values)
            if state is UserState.DISABLED:
                sessions.end_all(connection, name)
                if _ADMIN in {Grant(given.pilot, given.role) for given in before.grants}:
                    _require_admin(connection)
            audits.write(connection, "change_user", None, actor.name, why, user=name, **values)
        return _one(connection, name)


def give_role(desk: Desk, actor: Actor, name: str, grant: Grant, why: str = "") -> User:
    """Give a role; giving it again changes nothing.

    Raises:
        NotFound: there is no such user.
    """
    actor.require(Permission.ADMINISTER, grant.pilot)
    table = tables.grants
    with desk.engine.begin() as connection:
        tables.lock(connection, "users")
        held = _one(connection, name)
        if grant not in {Grant(given.pilot, given.role) for given in held.grants}:
            row = {"user": name, "pilot": grant.pilot, "role": grant.role}
            connection.execute(insert(table), {**row, "at": tables.now(), "who": actor.name})
            audits.write(connection, "grant", _pilot(grant), actor.name, why, user=name, role=grant.role)
        return _shown(actor, _one(connection, name))


def take_role(desk: Desk, actor: Actor, name: str, grant: Grant, why: str = "") -> User:
    """Take a role back; one that is not held changes nothing.

    Raises:
        NotFound: there is no such user.
        Conflict: nobody could give roles any more.
    """
    actor.require(Permission.ADMINISTER, grant.pilot)
    table = tables.grants
    with desk.engine.begin() as connection:
        tables.lock(connection, "users")
        _one(connection, name)
        mine = (table.c.user == name, table.c.pilot == grant.pilot, table.c.role == grant.role)
        if connection.execute(delete(table).where(*mine)).rowcount:
            if grant == _ADMIN:
                _require_admin(connection)
            audits.write(connection, "revoke", _pilot(grant), actor.name, why, user=name, role=grant.role)
        return _shown(actor, _one(connection, name))


def set_password(desk: Desk, actor: Actor, name: str, password: str, why: str = "") -> User:
    """Give a user a new password; they are signed out everywhere.

    Raises:
        NotFound: there is no such user.
        SettingsError: it cannot be a password.
    """
    actor.require(Permission.ADMINISTER)
    hashed = passwords.hash_password(password, name)
    with desk.engine.begin() as connection:
        _one(connection, name)
        _put_password(connection, actor, name, hashed, why)
        return _one(connection, name)


def change_own_password(
    desk: Desk, actor: Actor, current: str, password: str, address: str, session: str | None
) -> None:
    """Give oneself a new password; other browsers than that of `session` are signed out.

    Raises:
        Unauthenticated: `current` is wrong.
        LimitReached: it was wrong too often.
        SettingsError: it cannot be a password.
    """
    accounts.sign_in(desk, actor.name, current, address)
    hashed = passwords.hash_password(password, actor.name)
    with desk.engine.begin() as connection:
        _put_password(connection, actor, actor.name, hashed, "", session)


def _put_password(
    connection: Connection, actor: Actor, name: str, hashed: str, why: str, session: str | None = None
) -> None:
    connection.execute(update(tables.users).where(tables.users.c.name == name), {"password": hashed})
    ended = sessions.end_all(connection, name, but=session)
    audits.write(connection, "set_password", None, actor.name, why, user=name, sessions_ended=ended)


def _shown(actor: Actor, user: User) -> User:
    """What the admin of some pilots may know of a user's roles: those for these pilots."""
    known = (given for given in user.grants if actor.may(Permission.ADMINISTER, given.pilot))
    return user.model_copy(update={"grants": tuple(known)})


def _pilot(grant: Grant) -> str | None:
    """The pilot of an audit's line."""
    return None if grant.pilot == ALL else grant.pilot


def _require_admin(connection: Connection) -> None:
    """Refuse a change after which nobody active is an admin of everything."""
    users, grants = tables.users, tables.grants
    left = connection.execute(
        select(func.count())
        .select_from(users.join(grants, grants.c.user == users.c.name))
        .where(users.c.state == UserState.ACTIVE, grants.c.pilot == ALL, grants.c.role == Role.ADMIN)
    ).scalar_one()
    if not left:
        raise errors.Conflict(
            "Nobody would be an admin any more.", remedy="Make somebody else an admin of all pilots first."
        )


def _one(connection: Connection, name: str) -> User:
    row = _row(connection, name)
    if row is None:
        raise errors.NotFound(
            f"There is no user `{name[:128]}` here.", remedy="`pilotage users list` shows who there is."
        )
    return _user(row, _given(connection, [name]).get(name, ()))


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(tables.users).where(tables.users.c.name == name)).first()


def _given(connection: Connection, names: list[str]) -> dict[str, tuple[Given, ...]]:
    """Roles by user."""
    table = tables.grants
    rows = connection.execute(
        select(table).where(table.c.user.in_(names)).order_by(table.c.user, table.c.pilot, table.c.role)
    ).all()
    found: dict[str, tuple[Given, ...]] = {}
    for row in rows:
        given = Given(pilot=row.pilot, role=row.role, at=row.at, who=row.who)
        found[row.user] = (*found.get(row.user, ()), given)
    return found


def _user(row: Row[Any], grants: tuple[Given, ...]) -> User:
    return User(
        name=row.name,
        full_name=row.full_name,
        state=row.state,
        has_password=row.password is not None,
        issuer=row.issuer,
        created_at=row.created_at,
        created_by=row.created_by,
        grants=grants,
    )
