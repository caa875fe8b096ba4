"""What people decide about versions: yes, no, at once, and back.

Each decision is carried out and recorded by `pipelines.promotions` and
`pipelines.rollouts`; here it is asked whether the actor may.
"""

from __future__ import annotations

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Model
from pilotage.console.operations.models import versions
from pilotage.console.operations.models.versions import Version
from pilotage.core import errors
from pilotage.pipelines.decisions import promotions, rollouts
from pilotage.pipelines.decisions.promotions import Promotion


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
    releasing: bool = False
    """It becomes champion later: when the cluster that it is released to runs it."""


def approve(desk: Desk, actor: Actor, pilot: str, version: int, *, why: str = "") -> Moved:
    """Say yes to a version that waits, and make it champion; the same again changes nothing.

    Raises:
        NotFound: it is not there, never waited, or is not for this actor.
        Forbidden: the actor may not, or asked for its run.
        PromotionRefused: it was rejected before.
    """
    _require(desk, actor, pilot)
    return _moved(promotions.approve(desk.settings, pilot, version, who=actor.name, why=why.strip()))


def reject(desk: Desk, actor: Actor, pilot: str, version: int, *, why: str) -> Version:
    """Say no to a version that waits or is being rolled out; the same again changes nothing.

    Raises:
        NotFound: it is not there, never waited, or is not for this actor.
        Forbidden: the actor may not.
        SettingsError: nothing says why.
        PromotionRefused: it was approved before.
    """
    _require(desk, actor, pilot)
    if not why.strip():
        raise errors.SettingsError(
            "A rejection needs a reason, for those who trained the version.", remedy="Say it in `why`."
        )
    said = {"who": actor.name, "why": why.strip()}
    if rollouts.reject(desk.settings, pilot, version, **said) is None:
        promotions.reject(desk.settings, pilot, version, **said)
    return versions.get_version(desk, actor, pilot, version)


def promote(
    desk: Desk, actor: Actor, pilot: str, version: int, *, why: str = "", force: bool = False
) -> Moved:
    """Make a version champion at once; a rollout of it ends without its remaining steps.

    Where releases are committed it is released, and champion when the cluster runs it.

    Raises:
        NotFound: it is not there, or not for this actor.
        Forbidden: the actor may not, asked for its run, or forces it and is no admin.
        PromotionRefused: its gates or a person said no, and it is not forced.
    """
    _require(desk, actor, pilot)
    if force:
        actor.require(Permission.ADMINISTER, pilot)
    done = promotions.promote(desk.settings, pilot, version, who=actor.name, why=why.strip(), force=force)
    rollouts.settle(pilot, desk.settings)
    return _moved(done)


def rollback(desk: Desk, actor: Actor, pilot: str, *, why: str = "") -> Moved:
    """End a rollout, or bring back the champion before.

    Raises:
        NotFound: there is none to go back to, or the pilot is not for this actor.
        Forbidden: the actor may not.
    """
    _require(desk, actor, pilot)
    halted = rollouts.halt(desk.settings, pilot, who=actor.name, why=why.strip())
    if halted is None:
        return _moved(promotions.rollback(desk.settings, pilot, who=actor.name, why=why.strip()))
    return Moved(
        pilot=pilot,
        version=halted.champion,
        replaced=halted.challenger,
        changed=True,
        reason=halted.reason,
    )


def _require(desk: Desk, actor: Actor, pilot: str) -> None:
    specs.require_known(desk, actor, pilot)
    actor.require(Permission.APPROVE, pilot)


def _moved(done: Promotion) -> Moved:
    return Moved(
        pilot=done.pilot,
        version=done.version,
        replaced=done.replaced,
        changed=done.changed,
        reason=done.taken_back,
        releasing=done.releasing,
    )
