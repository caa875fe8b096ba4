"""Who gets which request while a challenger is tried, and when it gets none."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.unit.serving import small_models

from pilotage.core.artifacts import Rollout
from pilotage.core.models import Prediction
from pilotage.core.specs import Bounds, Strategy
from pilotage.serving.versions.lives import Live
from pilotage.serving.versions.trials import Trial

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MakeTrial = Callable[..., Trial]


def rollout(share: int, challenger: int = 2, bounds: Bounds | None = None) -> Rollout:
    return Rollout(
        pilot="flights", champion=1, challenger=challenger, strategy=Strategy.CANARY, steps=(share,),
        pause_seconds=1, bounds=bounds or Bounds(), min_requests=50, started_at=NOW, step_started_at=NOW,
    )  # fmt: skip


@pytest.fixture(scope="module")
def challenger() -> Live:
    return small_models.live(version=2)


@pytest.fixture
def make(live: Live, challenger: Live) -> MakeTrial:
    def made(share: int = 50, **values: object) -> Trial:
        return Trial(rollout(share, **values), live, challenger)  # type: ignore[arg-type]

    return made


@pytest.mark.parametrize("share", [1, 10, 50, 99])
@pytest.mark.parametrize("ids", ["sequential", "none"])
def test_the_share_is_met_within_what_chance_allows(make: MakeTrial, share: int, ids: str) -> None:
    trial, count = make(share), 20_000
    taken = sum(trial.takes([f"flight-{number}"] if ids == "sequential" else None) for number in range(count))
    expected = count * share / 100
    assert abs(taken - expected) < 5 * math.sqrt(expected * (1 - share / 100))


def test_an_id_stays_with_its_version_through_every_step_and_on_every_replica(make: MakeTrial) -> None:
    names = [f"f{number}" for number in range(2000)]
    small, again, large = make(10), make(10), make(50)
    taken = {name for name in names if small.takes([name])}
    assert taken == {name for name in names if again.takes([name])}
    assert taken < {name for name in names if large.takes([name])}


def test_the_first_id_that_there_is_decides(make: MakeTrial) -> None:
    trial = make(50)
    names = [f"f{number}" for number in range(200)]
    assert [trial.takes([None, name, "other"]) for name in names] == [trial.takes([name]) for name in names]


def test_another_challenger_gets_other_ids(live: Live, challenger: Live) -> None:
    names = [f"f{number}" for number in range(1000)]
    first, second = (Trial(rollout(50, number), live, challenger) for number in (2, 3))
    both = sum(first.takes([name]) and second.takes([name]) for name in names)
    assert 180 < both < 320


@pytest.mark.parametrize("name", ["", "\ud800", "ü" * 10_000, "\0"])
def test_any_id_can_be_split(make: MakeTrial, name: str) -> None:
    trial = make(50)
    assert trial.takes([name]) == trial.takes([name])


def test_copies_take_no_request(make: MakeTrial) -> None:
    trial = make(0)
    assert trial.copying
    assert not any(trial.takes([f"f{number}"]) for number in range(1000))
    assert not any(trial.takes(None) for _ in range(1000))


def test_a_challenger_that_fails_loses_its_requests_at_once(live: Live, challenger: Live) -> None:
    told: list[str] = []
    trial = Trial(rollout(99), live, challenger, on_halt=lambda: told.append("halted"))
    for _ in range(4):
        trial.observe(challenger, 1, 0.0, True, 1, None)
    assert not trial.halted
    trial.observe(challenger, 1, 0.0, True, 1, None)
    assert "5 of 5 requests failed" in trial.halted
    assert told == ["halted"]
    assert not any(trial.takes([f"f{number}"]) for number in range(100))


def test_failures_of_the_champion_are_weighed(make: MakeTrial, live: Live, challenger: Live) -> None:
    trial = make(50)
    for _ in range(20):
        trial.observe(live, 1, 0.0, True, 1, None)
        trial.observe(challenger, 1, 0.0, True, 1, None)
    assert not trial.halted


def test_a_slow_challenger_is_found_when_judged(make: MakeTrial, live: Live, challenger: Live) -> None:
    trial = make(50)
    scores = np.array([0.5])
    for _ in range(100):
        trial.observe(live, 1, 0.001, False, 1, scores)
        trial.observe(challenger, 1, 0.004, False, 1, scores)
    assert not trial.halted
    measured = trial.judge()
    assert measured.latency == pytest.approx(4, rel=0.15)
    assert "p99 time" in trial.halted


def test_a_version_that_is_not_tried_is_not_counted(make: MakeTrial) -> None:
    trial = make(50)
    trial.observe(small_models.live(version=3), 1, 0.0, True, 1, None)
    assert trial.comparison().challenger.requests == trial.comparison().champion.requests == 0
    assert not trial.changed()


def test_counts_of_many_threads_add_up(make: MakeTrial, live: Live, challenger: Live) -> None:
    trial = make(50, bounds=Bounds(latency=None, score=None))

    def count() -> None:
        for _ in range(500):
            trial.observe(live, 3, 0.001, False, 2, np.array([0.1, 0.5, 0.9]))
            trial.observe(challenger, 1, 0.001, False, 1, np.array([0.5]))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = trial.comparison()
    assert (found.champion.requests, found.champion.rows, sum(found.champion.scores)) == (4000, 6000, 6000)
    assert (found.challenger.requests, sum(found.challenger.scores)) == (2000, 2000)


def said(values: list[object], scores: list[float]) -> Prediction:
    return Prediction(np.array(values), np.array(scores))


def test_copies_are_compared_row_by_row(make: MakeTrial) -> None:
    trial = make(0)
    trial.copied(said([True, False], [0.9, 0.2]), said([True, True], [0.8, 0.6]), 1, 0.001, 0.002)
    found = trial.comparison()
    assert (found.copied, found.compared, found.agreed) == (1, 2, 1)
    assert found.distance == pytest.approx(0.5)
    assert sum(sum(cells.values()) for cells in found.challenger.times.values()) == 1


@pytest.mark.parametrize(
    ("mine", "theirs", "agreed"),
    [
        ([1.0, 2.0], [1.0 + 1e-9, 2.1], 1),
        (["a", "b"], ["a", "c"], 1),
        ([True, False], ["True", "False"], 0),
        ([1, 2], [1, 2], 2),
    ],
)
def test_predictions_of_any_kind_can_be_compared(
    make: MakeTrial, mine: list[object], theirs: list[object], agreed: int
) -> None:
    trial = make(0)
    trial.copied(said(mine, [0.1, 0.2]), said(theirs, [0.1, 0.2]), 1, 0.0, None)
    assert trial.comparison().agreed == agreed


def test_a_copy_with_other_rows_is_a_failure(make: MakeTrial) -> None:
    trial = make(0)
    trial.copied(said([True, False], [0.9, 0.2]), said([True], [0.8]), 1, 0.001, None)
    assert trial.comparison().challenger.failures == 1


def test_copies_that_fail_halt_the_challenger(make: MakeTrial) -> None:
    trial = make(0)
    for _ in range(5):
        trial.copied(said([True], [0.9]), None, 1, 0.0, None)
    assert trial.halted
    assert not trial.copying
