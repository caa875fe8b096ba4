"""People whom an OpenID provider vouches for: which user they are, and the roles that it gives them.

A user is bound to issuer and subject, which no provider gives to two people;
names and addresses only name them here. Roles that admins gave stay as they are.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select

from pilotage.console.access import accounts, links
from pilotage.console.access.accounts import UserState
from pilotage.console.access.actors import Grant
from pilotage.console.access.digests import digest_of
from pilotage.console.operations.desks import Desk
from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

logger = logging.getLogger(__name__)

_PREFIX = "pilotage:"


def admit(desk: Desk, issuer: str, claims: Mapping[str, Any]) -> str:
    """The name of the user with these claims, whose row and roles are brought up to date.

    Raises:
        Unauthenticated: an admin disabled them.
    """
    subject, table = str(claims["sub"]), tables.users
    claim = desk.settings.oidc_roles_claim
    with desk.engine.begin() as connection:
        tables.lock(connection, "users")
        row = connection.execute(
            select(table).where(table.c.issuer == issuer, table.c.subject == subject)
        ).first()
        if row is not None and row.state != UserState.ACTIVE:
            raise errors.Unauthenticated(
                f"The user `{row.name}` is disabled.", remedy="An admin can let them in again."
            )
        name = row.name if row is not None else _add(connection, issuer, subject, claims)
        if claim:
            _give(connection, name, issuer, roles_of(claims, claim))
    return str(name)


def roles_of(claims: Mapping[str, Any], claim: str) -> frozenset[Grant]:
    """What the values of `claim`, a key or a path of keys with dots, give; others' values are left alone."""
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    values = re.split(r"[\s,]+", found) if isinstance(found, str) else found
    grants = set()
    for value in values if isinstance(values, list) else []:
        if isinstance(value, str) and value.startswith(_PREFIX):
            try:
                grants.add(accounts.parse_grant(value.removeprefix(_PREFIX)))
            except errors.SettingsError as error:
                logger.warning("the claim %s has a value that gives nothing: %s", claim, error)
    return frozenset(grants)


def _add(connection: Connection, issuer: str, subject: str, claims: Mapping[str, Any]) -> str:
    """Write a new user; returns the name."""
    wanted = str(claims.get("preferred_username") or claims.get("email") or subject).lower()
    base = re.sub(r"[^a-z0-9._@+-]", "-", wanted).lstrip("._@+-")[:110] or "user"
    taken = connection.execute(select(tables.users.c.name).where(tables.users.c.name == base)).first()
    free = taken is None and base != links.LOCAL
    name = base if free else f"{base}-{digest_of(f'{issuer} {subject}')[:12]}"
    full_name = str(claims.get("name") or "")[:200]
    accounts.insert_user(connection, name, _who(issuer), full_name=full_name, identity=(issuer, subject))
    audits.write(connection, "add_user", None, _who(issuer), "signed in first", user=name, issuer=issuer)
    return name


def _give(connection: Connection, name: str, issuer: str, wanted: frozenset[Grant]) -> None:
    """Let `wanted` be what the provider gives; what else is theirs stays."""
    table, who = tables.grants, _who(issuer)
    rows = connection.execute(select(table).where(table.c.user == name)).all()
    ours = {Grant(row.pilot, row.role) for row in rows if row.who == who}
    others = {Grant(row.pilot, row.role) for row in rows if row.who != who}
    if wanted - others == ours:
        return
    connection.execute(delete(table).where(table.c.user == name, table.c.who == who))
    accounts.insert_grants(connection, name, wanted - others, who)
    told = sorted(accounts.text_of(grant) for grant in wanted)
    audits.write(connection, "grant", None, who, "as the provider says", user=name, grants=told)


def _who(issuer: str) -> str:
    """Who gives what a provider gives: no user can have this name."""
    return f"openid:{issuer}"
