"""Versions that wait for nothing but their pilot's readiness: promoted when it is there.

`register` leaves them pending where a limit is set; whoever carried the run out asks once, with the database
at hand, and the leader again from time to time. A person's approval, where pilot.yaml asks for one, is not
given here.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from sqlalchemy import Engine

from pilotage.core import errors
from pilotage.core.artifacts import Decision, Verdict
from pilotage.core.registry import Registry
from pilotage.core.registry.tags import HELD_TAG
from pilotage.core.settings import Settings
from pilotage.core.specs import Approval, PilotSpec
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.journals.results import RunResult
from pilotage.pipelines.readiness import limits

logger = logging.getLogger(__name__)


def settle(settings: Settings, engine: Engine, spec: PilotSpec, result: RunResult) -> RunResult:
    """Promote the version of a run that waits for its readiness alone, or say what that lacks."""
    if (
        result.version is None
        or result.decision is not Decision.PENDING
        or spec.approval is not Approval.AUTO
        or limits.limit(settings, spec, settings.release_environment) is None
    ):
        return result
    try:
        return _settle(settings, engine, result, result.version)
    except errors.PilotageError as error:
        logger.warning("version %d of %s stays pending: %s", result.version, result.pilot, error)
        return result


def _settle(settings: Settings, engine: Engine, result: RunResult, version: int) -> RunResult:
    registry = Registry(settings)
    registered = registry.version(result.pilot, version)
    said = limits.judge(settings, engine, registry, registered, settings.release_environment)
    if said is None:
        return result
    told = replace(result, gates=(*result.gates, said.model_dump(mode="json")), reason=said.reason)
    if not said.passed:
        return replace(told, exit_code=int(errors.ExitCode.REFUSED))
    done = promote(settings, result.pilot, version, said)
    return replace(
        told,
        promoted=not done.releasing,
        decision=Decision.RELEASING if done.releasing else Decision.PROMOTED,
        reason=f"every gate passed; readiness {said.reason}",
        replaced=done.replaced,
    )


def promote(
    settings: Settings, pilot: str, version: int, said: Verdict | None = None
) -> promotions.Promotion:
    """Promote a version in Pilotage's own name.

    Raises:
        PromotionRefused: the pilot is not ready, or the version itself waits for a person.
    """
    held = Registry(settings).version(pilot, version).tags.get(HELD_TAG)
    if held is not None:
        raise errors.PromotionRefused(
            f"Version {version} of `{pilot}` waits for a person: {held}.",
            remedy=f"`pilotage approve {pilot}` or `pilotage reject {pilot}` answers.",
        )
    why = f"every gate passed; readiness {said.reason}" if said is not None else "the pilot is ready now"
    action = str(Decision.PROMOTED)
    return promotions.promote(settings, pilot, version, who=promotions.PLATFORM, why=why, action=action)


def catch_up(settings: Settings, engine: Engine) -> None:
    """Promote what waits, where the pilot is ready by now."""
    limits.catch_up(settings, engine, lambda pilot, version: promote(settings, pilot, version))
