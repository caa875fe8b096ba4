"""API tokens: made once, shown once, listed without their secret, revoked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, update

from pilotage.console.access import accounts
from pilotage.console.access.actors import Actor, Grant, Permission
from pilotage.console.access.digests import digest_of, new_id
from pilotage.console.access.tokens import limited, new_token
from pilotage.console.operations import positions
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

MOST_DAYS = 365
"""How long a token may be valid."""


class Token(Model):
    """A token without its secret."""

    id: str
    user: str
    name: str
    grants: tuple[str, ...]
    """`ROLE` or `ROLE@PILOT`; it never lets do more than its user may."""
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    """When it was last used, to the minute."""
    revoked_at: datetime | None


class NewToken(Token):
    """A token that was just made."""

    secret: str
    """What is sent as `Authorization: Bearer`; it is shown only now."""


def list_tokens(
    desk: Desk, actor: Actor, *, user: str | None = None, cursor: str | None = None, limit: int = 50
) -> Listing[Token]:
    """Tokens of `user`, newest first: one's own when left out, of others for admins only."""
    owner = user or actor.name
    if owner != actor.name:
        actor.require(Permission.ADMINISTER)
    table = tables.tokens
    query = select(table).where(table.c.user == owner)
    if cursor is not None:
        order = ((table.c.created_at, True), (table.c.id, True))
        query = query.where(
            positions.after(order, positions.read(cursor, (positions.moment, positions.text)))
        )
    query = query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit + 1)
    with tables.reading(desk.engine) as connection:
        found = [Token(**_values(row)) for row in connection.execute(query)]
    end = found[limit - 1] if len(found) > limit else None
    following = None if end is None else cursor_of(end.created_at.isoformat(), end.id)
    return Listing(items=tuple(found[:limit]), next=following)


def make_token(
    desk: Desk,
    actor: Actor,
    name: str,
    grants: Iterable[Grant],
    days: int,
    *,
    user: str | None = None,
    why: str = "",
) -> NewToken:
    """Make a token that lets do what `grants` say, for `days` days.

    Raises:
        Forbidden: it would let do more than its user or the one who makes it may, or is made by a token
            of somebody who is no admin, which could so outlive itself.
        SettingsError: it has no grant, or is to be valid for too long.
        NotFound: there is no such user.
    """
    owner, wanted = user or actor.name, frozenset(grants)
    if owner != actor.name or actor.token is not None:
        actor.require(Permission.ADMINISTER)
    _check(name, wanted, days)
    if not wanted <= limited(actor.grants, wanted):
        raise _too_much(actor.name, wanted, actor.grants)
    secret, now = new_token(), tables.now()
    row = {"id": new_id(), "user": owner, "name": name, "created_at": now, "used_at": None}
    row |= {"grants": sorted(accounts.text_of(grant) for grant in wanted), "revoked_at": None}
    row["expires_at"] = now + timedelta(days=days)
    with desk.engine.begin() as connection:
        held = accounts.actor_of(connection, owner)
        if held is None:
            raise errors.NotFound(
                f"There is no user `{owner[:128]}` who may come in.",
                remedy="`pilotage users add NAME` adds one; name the owner with `user`.",
            )
        if not wanted <= limited(held.grants, wanted):
            raise _too_much(owner, wanted, held.grants)
        connection.execute(insert(tables.tokens), {**row, "digest": digest_of(secret)})
        told: dict[str, Any] = {key: row[key] for key in ("user", "name", "grants", "expires_at")}
        audits.write(connection, "make_token", None, actor.name, why, token=row["id"], **told)
    return NewToken(**row, secret=secret)


def revoke_token(desk: Desk, actor: Actor, token: str, why: str = "") -> Token:
    """Let a token stand for nobody any more; once more changes nothing. A token may do so to itself alone.

    Raises:
        NotFound: there is none with this id, or it is not theirs.
    """
    table = tables.tokens
    with desk.engine.begin() as connection:
        row = connection.execute(select(table).where(table.c.id == token)).first()
        mine = row is not None and row.user == actor.name and actor.token in (None, token)
        if row is None or not (mine or actor.may(Permission.ADMINISTER)):
            raise errors.NotFound(
                f"There is no token `{token[:64]}` of yours.", remedy="The list of tokens shows their ids."
            )
        if row.revoked_at is None:
            connection.execute(update(table).where(table.c.id == token), {"revoked_at": tables.now()})
            audits.write(connection, "revoke_token", None, actor.name, why, user=row.user, token=token)
        return Token(**_values(connection.execute(select(table).where(table.c.id == token)).one()))


def _check(name: str, grants: frozenset[Grant], days: int) -> None:
    if not name.strip() or len(name) > 128 or not name.isprintable():
        raise errors.SettingsError("The token has no name.", remedy="Say what it is for, in 128 letters.")
    if not grants:
        raise errors.SettingsError("The token would let do nothing.", remedy="Give it a role: viewer, say.")
    if not 1 <= days <= MOST_DAYS:
        raise errors.SettingsError(
            f"A token cannot be valid for {days} days.", remedy=f"Take 1 to {MOST_DAYS} days."
        )


def _too_much(who: str, wanted: Iterable[Grant], held: Iterable[Grant]) -> errors.Forbidden:
    asked = ", ".join(sorted(accounts.text_of(grant) for grant in wanted))
    have = ", ".join(sorted(accounts.text_of(grant) for grant in held)) or "no role"
    return errors.Forbidden(
        f"A token with {asked} would let do more than `{who}` may, who has {have}.",
        remedy="Ask for less, or let an admin give the role first.",
    )


def _values(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Token.model_fields}
