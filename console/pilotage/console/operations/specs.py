"""What a pilot's pilot.yaml says, for operations that need more of it than its name."""

from __future__ import annotations

from pilotage.console.access.actors import Actor, Permission, unknown_pilot
from pilotage.console.operations import pilots
from pilotage.console.operations.desks import Desk
from pilotage.core.specs import PilotSpec


def find(desk: Desk, actor: Actor, pilot: str) -> PilotSpec:
    """The pilot as it was when it was last checked or run.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    return PilotSpec.model_validate(pilots.get_pilot(desk, actor, pilot).spec)


def require_known(desk: Desk, actor: Actor, pilot: str) -> None:
    """Do nothing if the pilot was taken in, or has versions, and the actor may look at it.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    actor.require(Permission.READ, pilot)
    if not pilots.is_known(desk, pilot) and pilot not in desk.registry.names():
        raise unknown_pilot(pilot)
