"""Versions of a pilot: what they scored, who decided what of them, and deciding it.

Everything is decided by `pipelines.promotions` and `pipelines.rollouts`; here it is
asked whether the actor may.
"""

from __future__ import annotations

from datetime import datetime

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model
from pilotage.core.artifacts import Estimate, Scorecard, Verdict, Worth


class Approval(Model):
    """A version that waits for a person, or waited."""

    pilot: str
    version: int
    state: str
    """`pending`, `approved` or `rejected`."""
    run: str | None
    asked_at: datetime
    decided_at: datetime | None
    who: str | None
    why: str | None


class Version(Model):
    """A version of a pilot."""

    pilot: str
    version: int
    aliases: tuple[str, ...]
    """Of `challenger`, `champion`, `previous`."""
    created_at: datetime
    run: str | None
    """The run that made it; null where something else registered it."""
    mlflow_run: str
    metric: str | None = None
    """The goal's when it was evaluated; null without a scorecard."""
    estimate: Estimate | None = None
    """Of that metric on the held-out rows, with its 95 % interval."""
    target: float | None = None
    gates: tuple[Verdict, ...] = ()
    passed: bool | None = None
    worth: Worth | None = None
    decision: str | None = None
    """`promoted`, `rolling_out`, `pending`, `refused`, `rejected`; null before anything was decided."""
    reason: str = ""
    approval: Approval | None = None
    tags: dict[str, str]
    """Where it comes from: digests of data, suite and code, the revision, form and skew."""


class Moved(Model):
    """What became of the champion."""

    pilot: str
    version: int
    """Champion now."""
    replaced: int | None
    """Champion before, or the challenger that was taken back."""
    changed: bool
    """False when everything was so already."""
    reason: str = ""


class Live(Model):
    """What serves a pilot, and what is to come."""

    pilot: str
    champion: Version | None
    challenger: Version | None
    waiting: tuple[Approval, ...]
    """Versions that wait for a person, newest first."""


def list_versions(
    desk: Desk, actor: Actor, pilot: str, *, cursor: str | None = None, limit: int = 50
) -> Listing[Version]:
    """Versions of a pilot, newest first.

    Raises:
        NotFound: no such pilot is here, or not for this actor.
    """
    raise NotImplementedError


def get_version(desk: Desk, actor: Actor, pilot: str, version: int) -> Version:
    """One version.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    raise NotImplementedError


def get_scorecard(desk: Desk, actor: Actor, pilot: str, version: int) -> Scorecard:
    """What evaluation found of a version.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    raise NotImplementedError


def read_card(desk: Desk, actor: Actor, pilot: str, version: int) -> str:
    """The model card of a version, a page of its own.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    raise NotImplementedError


def list_live(
    desk: Desk, actor: Actor, *, search: str = "", cursor: str | None = None, limit: int = 50
) -> Listing[Live]:
    """What serves each pilot, by name."""
    raise NotImplementedError


def approve(desk: Desk, actor: Actor, pilot: str, version: int, *, why: str = "") -> Moved:
    """Say yes to a version that waits, and make it champion."""
    raise NotImplementedError


def reject(desk: Desk, actor: Actor, pilot: str, version: int, *, why: str) -> Version:
    """Say no to a version that waits or is being rolled out."""
    raise NotImplementedError


def promote(
    desk: Desk, actor: Actor, pilot: str, version: int, *, why: str = "", force: bool = False
) -> Moved:
    """Make a version champion at once; `force`, which overrules gates and a rejection, is for admins."""
    raise NotImplementedError


def rollback(desk: Desk, actor: Actor, pilot: str, *, why: str = "") -> Moved:
    """End a rollout, or bring back the champion before."""
    raise NotImplementedError
