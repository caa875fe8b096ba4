"""Who asks, and what their roles let them do; the one place where a permission is decided.

Roles are given for one pilot or, as `*`, for all. How somebody proved who they
are is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pilotage.core import errors
from pilotage.pipelines.machines import people

ALL = "*"
"""Stands for every pilot, and for what belongs to none."""


class Permission(StrEnum):
    """What may be allowed."""

    READ = "read"
    """Look at everything about a pilot."""
    OPERATE = "operate"
    """Start, cancel and retry runs; schedules; acknowledge, snooze and retrain."""
    REPORT = "report"
    """Tell what a monitor elsewhere found."""
    APPROVE = "approve"
    """Approve, reject, promote and roll back versions."""
    ADMINISTER = "administer"
    """Pilots, users, tokens of others, webhooks."""


class Role(StrEnum):
    """What people are given."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    MONITOR = "monitor"
    """A program that watches what is served, and nobody else."""
    APPROVER = "approver"
    ADMIN = "admin"


_ALLOWED: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.OPERATOR: frozenset({Permission.READ, Permission.OPERATE}),
    Role.MONITOR: frozenset({Permission.READ, Permission.REPORT}),
    Role.APPROVER: frozenset({Permission.READ, Permission.APPROVE}),
    Role.ADMIN: frozenset(Permission),
}


class Grant(NamedTuple):
    """One role for one pilot, or for all."""

    pilot: str
    role: Role


@dataclass(frozen=True)
class Actor:
    """Somebody who asks for something, with what they may do."""

    name: str
    grants: frozenset[Grant]
    token: str | None = None
    """Id of the API token that they showed; None for people."""

    def may(self, permission: Permission, pilot: str = ALL) -> bool:
        """Whether `permission` is theirs for `pilot`; for ALL only if it is theirs everywhere."""
        return any(
            grant.pilot in (ALL, pilot) and permission in _ALLOWED[grant.role] for grant in self.grants
        )

    def require(self, permission: Permission, pilot: str = ALL) -> None:
        """Do nothing if it is allowed.

        Raises:
            NotFound: they may not even know of the pilot.
            Forbidden: they may not do this.
        """
        if self.may(permission, pilot):
            return
        if pilot != ALL and not self.may(Permission.READ, pilot):
            raise unknown_pilot(pilot)
        place = "here" if pilot == ALL else f"for `{pilot}`"
        raise errors.Forbidden(
            f"`{self.name}` may not {permission} {place}.",
            remedy="An admin can give you a role that may: "
            + ", ".join(role for role, allowed in _ALLOWED.items() if permission in allowed)
            + ".",
            permission=permission.value,
        )

    @property
    def readable(self) -> frozenset[str] | None:
        """Names of the pilots that they may look at; None for all."""
        if self.may(Permission.READ):
            return None
        return frozenset(grant.pilot for grant in self.grants if Permission.READ in _ALLOWED[grant.role])


def at_this_machine() -> Actor:
    """Whoever runs a command here: they reach the database itself, so everything is theirs."""
    return Actor(people.user(), frozenset({Grant(ALL, Role.ADMIN)}))


def meet(left: Grant, right: Grant) -> Grant | None:
    """What both give; None where they are about different pilots."""
    if ALL not in (left.pilot, right.pilot) and left.pilot != right.pilot:
        return None
    pilot = right.pilot if left.pilot == ALL else left.pilot
    both = _ALLOWED[left.role] & _ALLOWED[right.role]
    return Grant(pilot, next(role for role, allowed in _ALLOWED.items() if allowed == both))


def unknown_pilot(pilot: str) -> errors.NotFound:
    """What is said of a pilot that is not there, or that somebody may not know of."""
    return errors.NotFound(f"There is no pilot `{pilot}` here.", remedy="`pilotage up PILOT` adds one.")
