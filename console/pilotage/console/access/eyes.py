"""Four eyes: who asked for a run does not decide about its version, where the installation wants it so."""

from __future__ import annotations

from pilotage.console.access.actors import Actor
from pilotage.core import errors
from pilotage.core.settings import Settings


def require_other(settings: Settings, actor: Actor, asked_by: str) -> None:
    """Do nothing if `actor` may decide about what `asked_by` asked for.

    Raises:
        Forbidden: PILOTAGE_FOUR_EYES is set, and they are the same.
    """
    if settings.four_eyes and actor.name == asked_by:
        raise errors.Forbidden(
            f"`{actor.name}` asked for the run that made this version, and may not decide about it.",
            remedy="Somebody else who may approve decides; PILOTAGE_FOUR_EYES asks for two people.",
            asked_by=asked_by,
        )
