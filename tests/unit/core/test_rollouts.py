"""The files of rollouts: all or nothing, the same whoever reads them, and no stranger's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pilotage.core import errors, pilots, rollouts
from pilotage.core.artifacts import Comparison, Rollout, RolloutState, Side
from pilotage.core.specs import PilotSpec, Strategy
from pilotage.core.storage import Storage

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def spec(rollout: str) -> PilotSpec:
    return pilots.parse(
        "version: 1\npilot: flights\ndata: {source: a.csv, target: late}\ngoal: {metric: roc_auc}\n"
        f"serve: {{rollout: {rollout}}}\n"
    )


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


@pytest.mark.parametrize(
    ("rollout", "steps"),
    [
        ("{strategy: canary}", (10, 50)),
        ("{strategy: canary, steps: [1, 99]}", (1, 99)),
        ("{strategy: shadow}", (0,)),
        ("{strategy: shadow, steps: [20]}", (0, 20)),
        ("{strategy: swap, steps: [20]}", ()),
    ],
)
def test_steps_follow_from_the_strategy(rollout: str, steps: tuple[int, ...]) -> None:
    assert spec(rollout).serve.rollout.shares == steps


@pytest.mark.parametrize(
    ("rollout", "said"),
    [
        ("{steps: [50, 10]}", "rise from step to step"),
        ("{steps: [10, 10]}", "rise from step to step"),
        ("{steps: [100]}", "less than 100"),
        ("{bounds: {latency: 0.5}}", "greater than or equal to 1"),
        ("{bounds: {errors: -1}}", "greater than or equal to 0"),
        ("{bounds: {latencies: 2}}", "did you mean `latency`"),
        ("{min_requests: 0}", "greater than or equal to 1"),
    ],
)
def test_a_wrong_plan_is_named(rollout: str, said: str) -> None:
    with pytest.raises(errors.SpecError, match=said):
        spec(rollout)


def test_a_bound_may_be_left_out() -> None:
    found = spec("{strategy: canary, bounds: {score: null}}").serve.rollout.bounds
    assert (found.errors, found.latency, found.score) == (0.01, 1.5, None)


def test_a_rollout_begins_once(storage: Storage) -> None:
    plan = spec("{strategy: canary, pause: 1h}")
    made = rollouts.begin(storage, plan, 1, 2, NOW)
    again = rollouts.begin(storage, plan, 7, 2, NOW + timedelta(days=1))
    assert again == made == rollouts.read(storage, "flights", 2)
    assert (made.strategy, made.share, made.pause_seconds) == (Strategy.CANARY, 10, 3600)


def test_the_newest_running_one_counts(storage: Storage) -> None:
    plan = spec("{strategy: canary}")
    for version, state in (
        (9, RolloutState.COMPLETED),
        (10, RolloutState.RUNNING),
        (11, RolloutState.HALTED),
    ):
        made = rollouts.begin(storage, plan, 1, version, NOW + timedelta(minutes=version))
        rollouts.write(storage, made.model_copy(update={"state": state}))
    assert [found.challenger for found in rollouts.find(storage, "flights")] == [11, 10, 9]
    going = rollouts.running(storage, "flights")
    assert going is not None
    assert going.challenger == 10


def test_one_that_ended_has_no_share() -> None:
    made = Rollout(
        pilot="flights", champion=1, challenger=2, strategy=Strategy.CANARY, steps=(50,), pause_seconds=1,
        bounds=spec("{}").serve.rollout.bounds, min_requests=1, started_at=NOW, step_started_at=NOW,
    )  # fmt: skip
    assert made.share == 50
    assert made.model_copy(update={"state": RolloutState.HALTED}).share == 0


def test_strangers_files_are_left_out(storage: Storage) -> None:
    made = rollouts.begin(storage, spec("{strategy: canary}"), 1, 2, NOW)
    storage.write("rollouts/flights/notes.txt", b"hello")
    storage.write("rollouts/flights/3.json", b"{}")
    storage.write("rollouts/flights/2/comparison-a.json", b"not JSON")
    storage.write("rollouts/flights/2/halt-a.json", b"[]")
    assert rollouts.find(storage, "flights") == [made]
    assert rollouts.halts(storage, made) == []
    assert rollouts.compared(storage, made) == Comparison(pilot="flights", step=0)
    with pytest.raises(errors.DataError, match=r"3\.json"):
        rollouts.read(storage, "flights", 3)


def test_replicas_of_the_same_step_add_up(storage: Storage) -> None:
    made = rollouts.begin(storage, spec("{strategy: canary}"), 1, 2, NOW)
    for replica, step, requests in (("a", 0, 3), ("b", 0, 4), ("c", 1, 100)):
        part = Comparison(pilot="flights", step=step, challenger=Side(requests=requests))
        storage.write(rollouts.comparison_name("flights", 2, replica), part.model_dump_json().encode())
    assert rollouts.compared(storage, made).challenger.requests == 7
