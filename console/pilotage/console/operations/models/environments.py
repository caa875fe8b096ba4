"""What git says runs in each environment, releasing to one, and taking a release back.

Each is carried out and recorded by `pipelines.releases`; here it is asked whether the actor may. Where to
is the installation's setting, never the actor's choice.
"""

from __future__ import annotations

from datetime import datetime

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model
from pilotage.core import errors
from pilotage.pipelines import releases
from pilotage.pipelines.releases import Release, Released


class EnvironmentRelease(Model):
    """What git says runs in an environment."""

    pilot: str
    environment: str
    version: int
    commit: str
    """That made it so; empty where a plain folder holds it."""
    branch: str
    url: str
    """Page of that commit; empty where no forge shows it."""
    by: str
    reason: str
    at: datetime | None
    location: str
    """The repository or folder."""


class ReleaseDone(Model):
    """What became of a release, or of taking one back."""

    pilot: str
    environment: str
    version: int
    """What git says now, or will when the request is merged."""
    replaced: int | None
    changed: bool
    """False when everything was so already."""
    location: str
    file: str
    commit: str
    branch: str
    url: str
    waits: bool
    """Whether it is on a branch of its own that somebody has to merge."""
    signed: bool


class Running(Model):
    """What runs, and who says so."""

    versions: tuple[int, ...]
    source: str
    """`server`, `cluster`, or `registry` where neither is named: then it is the champion."""
    where: str


class ReleaseDifference(Model):
    """What git says against what runs."""

    pilot: str
    environment: str
    same: bool
    git: EnvironmentRelease | None
    running: Running


_WAIT_SECONDS = 30.0


def list_environments(
    desk: Desk, actor: Actor, pilot: str, *, wait_seconds: float = _WAIT_SECONDS
) -> Listing[EnvironmentRelease]:
    """What git says of a pilot, by environment; nothing where releases are local swaps.

    Raises:
        NotFound: the pilot is not there, or not for this actor; or there is no such repository.
        Unavailable: the repository does not answer.
    """
    specs.require_known(desk, actor, pilot)
    if not desk.settings.release_to:
        return Listing(items=(), next=None)
    key = ("environments", pilot)
    found = desk.glances.get(key, lambda: releases.read_all(desk.settings, pilot), wait_seconds)
    return Listing(items=tuple(_told(item) for item in found), next=None)


def compare(desk: Desk, actor: Actor, pilot: str, environment: str) -> ReleaseDifference:
    """What git says of an environment, against what runs there.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
        SettingsError: no repository is set, or the environment's name cannot be.
        Unavailable: repository or model server does not answer.
    """
    specs.require_known(desk, actor, pilot)
    key = ("diff", pilot, environment)
    found = desk.glances.get(key, lambda: releases.diff(desk.settings, pilot, environment), _WAIT_SECONDS)
    return ReleaseDifference(
        pilot=pilot,
        environment=found.environment,
        same=found.is_none,
        git=None if found.released is None else _told(found.released),
        running=Running(
            versions=found.running.versions,
            source=found.running.source.value,
            where=found.running.where,
        ),
    )


def release(
    desk: Desk,
    actor: Actor,
    pilot: str,
    environment: str,
    version: int,
    *,
    why: str = "",
    force: bool = False,
) -> ReleaseDone:
    """Let git say that a version runs in an environment; the same again changes nothing.

    Raises:
        NotFound: it is not there, or not for this actor.
        Forbidden: the actor may not, asked for its run, or forces it and is no admin.
        PromotionRefused: its gates or a person said no, and it is not forced.
        SettingsError, Conflict, Unavailable: see `releases.release`.
    """
    _require(desk, actor, pilot)
    if force:
        actor.require(Permission.ADMINISTER, pilot)
    try:
        return _done(
            releases.release(
                desk.settings,
                pilot,
                version,
                environment=environment,
                by=actor.name,
                reason=why.strip(),
                force=force,
            )
        )
    finally:
        desk.glances.forget()


def take_back(
    desk: Desk, actor: Actor, pilot: str, environment: str, *, why: str = "", version: int | None = None
) -> ReleaseDone:
    """Let git say what it said before the last release; the same again changes nothing.

    Raises:
        NotFound: nothing was released, or nothing before, or the pilot is not for this actor.
        Forbidden: the actor may not.
        SettingsError, Conflict, Unavailable: see `releases.revert`.
    """
    _require(desk, actor, pilot)
    said = {"by": actor.name, "reason": why.strip()}
    try:
        return _done(releases.revert(desk.settings, pilot, environment=environment, version=version, **said))
    finally:
        desk.glances.forget()


def _require(desk: Desk, actor: Actor, pilot: str) -> None:
    specs.require_known(desk, actor, pilot)
    actor.require(Permission.APPROVE, pilot)
    if not desk.settings.release_to:
        raise errors.SettingsError(
            "This installation releases to no repository.", remedy="Set PILOTAGE_RELEASE_TO for the console."
        )


def _told(item: Released) -> EnvironmentRelease:
    return EnvironmentRelease(
        pilot=item.pilot,
        environment=item.environment,
        version=item.version,
        commit=item.commit,
        branch=item.branch,
        url=item.url,
        by=item.by,
        reason=item.reason,
        at=item.at,
        location=item.location,
    )


def _done(item: Release) -> ReleaseDone:
    return ReleaseDone(**{name: getattr(item, name) for name in ReleaseDone.model_fields})
