"""A server follows the record of a rollout, obeys every halt and tells its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.unit.serving import small_models
from tests.unit.serving.versions.test_champions import Shelf

from pilotage.core import errors, rollouts
from pilotage.core.artifacts import Comparison, Rollout, RolloutState
from pilotage.core.rollouts import Halt
from pilotage.core.settings import Settings
from pilotage.core.specs import Bounds, Strategy
from pilotage.core.storage import Storage
from pilotage.serving.versions.champions import Follower

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def shelf(installation: Settings, tmp_path: Path) -> Shelf:
    found = Shelf(installation, tmp_path / "shelf")
    for version in (1, 2, 3):
        small_models.write(found.place / str(version), small_models.predictor(seed=version), installation)
    found.live = {"champion": 1, "challenger": 2}
    return found


MakeFollower = Callable[..., Follower]


@pytest.fixture
def make(installation: Settings, shelf: Shelf) -> MakeFollower:
    quick = installation.model_copy(update={"poll_seconds": 0.01, "flush_seconds": 1e-9})

    def made(replica: str = "a", **values: object) -> Follower:
        return Follower("flights", quick, shelf, replica=replica, **values)  # type: ignore[arg-type]

    return made


@pytest.fixture
def record(storage: Storage) -> Rollout:
    made = Rollout(
        pilot="flights", champion=1, challenger=2, strategy=Strategy.CANARY, steps=(50, 90),
        pause_seconds=1, bounds=Bounds(), min_requests=50, started_at=NOW, step_started_at=NOW,
    )  # fmt: skip
    rollouts.write(storage, made)
    return made


def shares(follower: Follower) -> float:
    """Share of requests that the challenger gets."""
    chosen = [follower.choose([f"f{number}"]).version for number in range(400)]
    return chosen.count(2) / 400


def copied_to(follower: Follower) -> int | None:
    shadow = follower.shadow
    return None if shadow is None else shadow.version


def test_without_a_record_the_challenger_gets_nothing(make: MakeFollower) -> None:
    follower = make()
    follower.poll()
    assert [live.version for live in follower.versions] == [1]
    assert shares(follower) == 0


def test_the_share_follows_the_record(make: MakeFollower, record: Rollout, storage: Storage) -> None:
    follower = make()
    follower.poll()
    assert [live.version for live in follower.versions] == [1, 2]
    assert 0.4 < shares(follower) < 0.6
    rollouts.write(storage, record.model_copy(update={"step": 1}))
    challenger = follower.at("2")
    follower.poll()
    assert 0.85 < shares(follower) < 0.95
    assert follower.at("2") is challenger, "the step loads the version again"
    rollouts.write(storage, record.model_copy(update={"state": RolloutState.HALTED}))
    follower.poll()
    assert shares(follower) == 0
    assert follower.at("2") is None


def test_the_challenger_that_became_champion_is_not_loaded_again(
    make: MakeFollower, record: Rollout, shelf: Shelf
) -> None:
    follower = make()
    follower.poll()
    challenger = follower.at("2")
    shelf.live = {"champion": 2, "previous": 1}
    follower.poll()
    assert follower.live is challenger
    assert [live.version for live in follower.versions] == [2]


def test_a_record_about_another_champion_is_not_followed(
    make: MakeFollower, record: Rollout, storage: Storage
) -> None:
    rollouts.write(storage, record.model_copy(update={"champion": 3}))
    follower = make()
    follower.poll()
    assert follower.trial is None


def test_a_broken_record_keeps_what_is(make: MakeFollower, record: Rollout, storage: Storage) -> None:
    follower = make()
    follower.poll()
    storage.write(rollouts.record_name("flights", 2), b"half of i")
    follower.poll()
    assert 0.4 < shares(follower) < 0.6
    assert follower.live is not None


def test_failures_are_told_and_obeyed_by_other_replicas_and_after_a_restart(
    make: MakeFollower, record: Rollout, storage: Storage
) -> None:
    mine, other = make("a"), make("b")
    for follower in (mine, other):
        follower.poll()
    challenger = mine.at("2")
    assert challenger is not None
    for _ in range(5):
        mine.observed(challenger, 1, 0.0, True)
    assert shares(mine) == 0, "the process goes on sending to a version that fails"
    assert shares(other) > 0.4
    mine.poll()
    (halt,) = rollouts.halts(storage, record)
    assert (halt.replica, "5 of 5 requests failed" in halt.reason) == ("a", True)
    other.poll()
    assert shares(other) == 0
    assert len(rollouts.halts(storage, record)) == 1, "who obeys tells again"
    restarted = make("a")
    restarted.poll()
    assert shares(restarted) == 0


def test_counts_are_written_by_replica_and_begin_anew_with_a_step(
    make: MakeFollower, record: Rollout, storage: Storage
) -> None:
    follower = make("a")
    follower.poll()
    for live in follower.versions:
        follower.observed(live, 2, 0.001, False, requests=2, scores=np.array([0.1, 0.9]))
    follower.poll()
    found = rollouts.compared(storage, record)
    assert (found.champion.requests, found.challenger.requests) == (2, 2)
    assert sum(found.challenger.scores) == 2
    later = record.model_copy(update={"step": 1})
    rollouts.write(storage, later)
    follower.poll()
    follower.observed(follower.versions[0], 1, 0.001, False)
    follower.poll()
    assert rollouts.compared(storage, later).champion.requests == 1
    assert rollouts.compared(storage, record) == Comparison(pilot="flights", step=0)


def test_a_challenger_that_cannot_be_loaded_halts_its_rollout(
    make: MakeFollower, record: Rollout, storage: Storage, shelf: Shelf
) -> None:
    (shelf.place / "2" / "model.skops").write_bytes(b"broken")
    follower = make()
    for _ in range(2):
        follower.poll()
    assert rollouts.halts(storage, record) == []
    for _ in range(3):
        follower.poll()
    (halt,) = rollouts.halts(storage, record)
    assert "cannot be loaded" in halt.reason
    assert follower.live is not None
    assert follower.reason == ""


def test_a_challenger_with_other_features_halts_its_rollout(
    make: MakeFollower, record: Rollout, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = make()
    other = small_models.live(version=2)
    model = other.model.model_copy(update={"features": other.model.features[:2]})
    shrunk = dataclasses.replace(other, predictor=type(small_models.predictor())(None, model))
    real = follower._load
    monkeypatch.setattr(
        follower._rollouts, "_load", lambda version: shrunk if version == 2 else real(version)
    )
    follower.poll()
    assert "other features" in rollouts.halts(storage, record)[0].reason
    assert shares(follower) == 0


def test_copies_are_a_step_of_their_own(make: MakeFollower, record: Rollout, storage: Storage) -> None:
    rollouts.write(storage, record.model_copy(update={"steps": (0, 50)}))
    follower = make()
    assert copied_to(follower) is None
    follower.poll()
    assert copied_to(follower) == 2
    assert shares(follower) == 0
    rollouts.write(storage, record.model_copy(update={"steps": (0, 50), "step": 1}))
    follower.poll()
    assert copied_to(follower) is None
    assert shares(follower) > 0.4


def test_a_storage_that_fails_keeps_the_champion(
    make: MakeFollower, record: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = make()
    follower.poll()

    def fail(*_: object) -> Rollout:
        raise errors.Unavailable("The storage is away.")

    monkeypatch.setattr(rollouts, "read", fail)
    follower.poll()
    assert follower.live is not None
    assert 0.4 < shares(follower) < 0.6


def test_versions_that_were_asked_for_are_loaded_beside(make: MakeFollower, shelf: Shelf) -> None:
    follower = make(also=(3, 9))
    follower.poll()
    assert [live.version for live in follower.versions] == [1, 3]
    assert follower.at("3") is not None
    assert "Version 9 could not be loaded" in follower.reason
    shelf.live = {"champion": 3}
    pinned = follower.at("3")
    follower.poll()
    assert follower.live is pinned


def test_its_thread_tells_a_halt_without_waiting_for_the_next_look(
    installation: Settings, shelf: Shelf, record: Rollout, storage: Storage
) -> None:
    slow = installation.model_copy(update={"poll_seconds": 60.0})
    follower = Follower("flights", slow, shelf, replica="a")
    follower.start(20)
    for _ in range(500):
        if follower.trial is not None:
            break
        follower._stopped.wait(0.02)
    challenger = follower.at("2")
    assert challenger is not None
    for _ in range(5):
        follower.observed(challenger, 1, 0.0, True)
    for _ in range(500):
        if rollouts.halts(storage, record):
            break
        follower._stopped.wait(0.02)
    follower.stop()
    assert [halt.replica for halt in rollouts.halts(storage, record)] == ["a"]


def test_a_halt_of_long_ago_is_the_reason(make: MakeFollower, record: Rollout, storage: Storage) -> None:
    halt = Halt(replica="z", reason="it smelled", at=NOW)
    storage.write(rollouts.halt_name("flights", 2, "z"), halt.model_dump_json().encode())
    follower = make()
    follower.poll()
    assert follower.trial is not None
    assert follower.trial.halted == "it smelled"
