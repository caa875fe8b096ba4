"""API tokens: who shows one, and what it lets them do, which is never more than its owner may do now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import select, update

from pilotage.console.access import accounts
from pilotage.console.access.actors import Actor, Grant, meet
from pilotage.console.access.digests import are_equal, digest_of, new_secret
from pilotage.console.operations.desks import Desk
from pilotage.core import errors
from pilotage.pipelines import tables

PREFIX = "pilotage_"
"""Lets scanners of sources find tokens that should not be there."""
_USED_EVERY = timedelta(minutes=1)


def new_token() -> str:
    """The secret of a token."""
    return new_secret(PREFIX)


def actor_of(desk: Desk, secret: str) -> Actor:
    """Who shows a token.

    Raises:
        Unauthenticated: it is none of ours, is over, or its owner may no longer come in.
    """
    table, now = tables.tokens, tables.now()
    digest = digest_of(secret)
    with tables.reading(desk.engine) as connection:
        row = connection.execute(select(table).where(table.c.digest == digest)).first()
        if row is None or not secret.startswith(PREFIX) or not are_equal(row.digest, digest):
            raise _refused("is none of this console's")
        if row.revoked_at is not None:
            raise _refused("was revoked")
        if row.expires_at <= now:
            raise _refused(f"expired at {row.expires_at:%Y-%m-%d %H:%M} UTC")
        owner = accounts.actor_of(connection, row.user)
    if owner is None:
        raise _refused("is of a user who may no longer come in")
    if row.used_at is None or row.used_at + _USED_EVERY < now:
        with desk.engine.begin() as connection:
            connection.execute(update(table).where(table.c.id == row.id), {"used_at": now})
    grants = [accounts.parse_grant(text) for text in row.grants]
    return Actor(owner.name, limited(owner.grants, grants), token=row.id)


def limited(held: Iterable[Grant], asked: Iterable[Grant]) -> frozenset[Grant]:
    """What of `asked` is covered by `held`."""
    wanted = list(asked)
    found = [meet(left, right) for left in held for right in wanted]
    return frozenset(grant for grant in found if grant is not None)


def _refused(why: str) -> errors.Unauthenticated:
    return errors.Unauthenticated(
        f"The token {why}.", remedy="Make another under Settings, or with `pilotage users token`."
    )
