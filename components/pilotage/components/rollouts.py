"""Whether a version that may become champion does so at once, or step by step under traffic.

A rollout begins with registration and is a file that servers and the controller
follow from then on; neither is known here. Repeating a registration begins no
second one.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pilotage.core import rollouts
from pilotage.core.artifacts import Decision, Rollout, RolloutState
from pilotage.core.registry import Alias, Registry
from pilotage.core.specs import PilotSpec, Strategy
from pilotage.core.storage import Storage


def decide(
    spec: PilotSpec, registry: Registry, storage: Storage, version: int
) -> tuple[Decision, str] | None:
    """What a rollout makes of a version whose gates passed; None when it becomes champion at once."""
    known = rollouts.read(storage, spec.pilot, version)
    if known is not None:
        return fate(known)
    champion = registry.aliases(spec.pilot).get(Alias.CHAMPION)
    plan = spec.serve.rollout
    if plan.strategy is Strategy.SWAP or champion is None or champion == version:
        return None
    first = plan.shares[0]
    gets = f"gets {first} % of the requests first" if first else "sees copies of the requests first"
    return Decision.ROLLING_OUT, f"every gate passed; {gets}"


def fate(rollout: Rollout) -> tuple[Decision, str]:
    """What has become of a version by its rollout."""
    if rollout.state is RolloutState.COMPLETED:
        return Decision.PROMOTED, f"its rollout was completed: {rollout.reason}"
    if rollout.state is RolloutState.HALTED:
        return Decision.REFUSED, f"its rollout was halted: {rollout.reason}"
    return Decision.ROLLING_OUT, "its rollout goes on"


def begin(spec: PilotSpec, registry: Registry, storage: Storage, version: int) -> None:
    """Let the version, which is challenger, be rolled out; nothing happens when that has begun."""
    champion = registry.aliases(spec.pilot).get(Alias.CHAMPION)
    if champion is not None and champion != version:
        rollouts.begin(storage, spec, champion, version, datetime.now(UTC))


def may_challenge(storage: Storage, pilot: str, version: int, decision: Decision) -> bool:
    """Whether the version takes the alias: not from one that is being rolled out unless it could be, too."""
    if decision in (Decision.PROMOTED, Decision.ROLLING_OUT, Decision.RELEASING):
        return True
    going = rollouts.running(storage, pilot)
    known = rollouts.read(storage, pilot, version)
    return (going is None or going.challenger == version) and (known is None or known.running)
