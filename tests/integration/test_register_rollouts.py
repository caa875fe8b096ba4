"""Registration begins a rollout where pilot.yaml asks for one, once, and disturbs none that goes on."""

from __future__ import annotations

import pytest
from tests.integration.test_train_evaluate_register import Bench, bench, empty_store

from pilotage.core import rollouts
from pilotage.core.artifacts import Decision, RolloutState
from pilotage.core.registry import Alias
from pilotage.core.storage import Storage

__all__ = ["bench", "empty_store"]

NAME = "late-trains"
CANARY = {"rollout": {"strategy": "canary", "steps": [20], "pause": "1h"}}
WEAK = {"exclude": ["delay", "minutes", "kind"]}


def storage(found: Bench) -> Storage:
    return Storage(found.installation.storage)


def first_champion(found: Bench) -> None:
    found.spec(data=WEAK, train={"params": {"C": 1.0}}, serve=CANARY)
    version = found.registered("r1")
    assert (version.decision, version.promoted) == (Decision.PROMOTED, True), "there is nothing to go beside"
    found.spec(serve=CANARY)


def test_a_better_version_is_rolled_out_beside_the_champion(bench: Bench) -> None:
    first_champion(bench)
    inputs = bench.evaluated("r2")
    version = bench.registered("r2", inputs)
    assert (version.decision, version.promoted, version.replaced) == (Decision.ROLLING_OUT, False, None)
    assert version.reason == "every gate passed; gets 20 % of the requests first"
    assert bench.registry.aliases(NAME) == {Alias.CHAMPION: 1, Alias.CHALLENGER: 2}
    assert bench.registry.version(NAME, 2).tags["pilotage.decision"] == "rolling_out"
    going = rollouts.running(storage(bench), NAME)
    assert going is not None
    assert (going.champion, going.challenger, going.steps, going.pause_seconds) == (1, 2, (20,), 3600)

    again = bench.registered("r2", inputs)
    assert again.decision is Decision.ROLLING_OUT
    assert rollouts.find(storage(bench), NAME) == [going]

    halted = going.model_copy(update={"state": RolloutState.HALTED, "reason": "it failed"})
    rollouts.write(storage(bench), halted)
    bench.registry.withdraw(NAME, 2)
    repeated = bench.registered("r2", inputs)
    assert (repeated.decision, repeated.reason) == (Decision.REFUSED, "its rollout was halted: it failed")
    assert bench.registry.aliases(NAME) == {Alias.CHAMPION: 1}, "a repeated registration begins it again"


@pytest.mark.parametrize("approval", ["auto", "manual"])
def test_a_version_that_may_not_be_champion_does_not_disturb_a_rollout(bench: Bench, approval: str) -> None:
    first_champion(bench)
    bench.registered("r2")
    gates = [{"metric": "roc_auc", "min": 0.9999999}] if approval == "auto" else []
    bench.spec(serve=CANARY, approval=approval, gates=gates, train={"seed": 7})
    version = bench.registered("r3")
    assert version.decision is (Decision.REFUSED if approval == "auto" else Decision.PENDING)
    assert bench.registry.aliases(NAME) == {Alias.CHAMPION: 1, Alias.CHALLENGER: 2}


def test_a_swap_asks_for_none(bench: Bench) -> None:
    first_champion(bench)
    bench.spec()
    assert bench.registered("r2").promoted
    assert rollouts.find(storage(bench), NAME) == []
