"""What becomes of a rollout by what is known: every reason to hold, to go on, to end."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from pilotage.core import settings
from pilotage.core.artifacts import Measured, Rollout
from pilotage.core.rollouts import Halt
from pilotage.core.specs import Bounds, Strategy
from pilotage.pipelines.decisions.rollouts import Move, judge
from pilotage.pipelines.machines import locks

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
PAUSE = timedelta(minutes=5)
ALIASES = {"champion": 1, "challenger": 2, "previous": 7}
ENOUGH = Measured(requests=200, champion_requests=200, errors=0.0)


def rollout(step: int = 0) -> Rollout:
    return Rollout(
        pilot="flights", champion=1, challenger=2, strategy=Strategy.CANARY, steps=(10, 50),
        pause_seconds=PAUSE.total_seconds(), bounds=Bounds(), min_requests=200, step=step,
        started_at=BEGAN, step_started_at=BEGAN,
    )  # fmt: skip


def moved(
    step: int = 0,
    *,
    after: timedelta = PAUSE,
    aliases: dict[str, int] | None = None,
    measured: Measured = ENOUGH,
    halts: int = 0,
) -> Move:
    told = [Halt(replica=str(number), reason="it failed", at=BEGAN) for number in range(halts)]
    known = ALIASES if aliases is None else aliases
    return judge(rollout(step), known, measured, told, BEGAN + after).move


@pytest.mark.parametrize(("step", "move"), [(0, Move.NEXT), (1, Move.COMPLETE)])
def test_a_step_that_went_well_is_followed_by_the_next_or_by_promotion(step: int, move: Move) -> None:
    assert moved(step) is move


@pytest.mark.parametrize("step", [0, 1])
def test_a_step_lasts_its_pause(step: int) -> None:
    assert moved(step, after=PAUSE - timedelta(milliseconds=1)) is Move.HOLD


@pytest.mark.parametrize("lacking", ["requests", "champion_requests"])
def test_a_step_takes_its_requests_of_both(lacking: str) -> None:
    measured = ENOUGH.model_copy(update={lacking: 199})
    assert moved(measured=measured, after=timedelta(days=30)) is Move.HOLD


@pytest.mark.parametrize("step", [0, 1])
def test_what_is_beyond_a_bound_halts_at_once(step: int) -> None:
    measured = Measured(requests=5, champion_requests=0, errors=1.0, beyond="it failed")
    assert moved(step, measured=measured, after=timedelta()) is Move.HALT


def test_a_server_that_stopped_halts() -> None:
    assert moved(1, halts=2, after=timedelta()) is Move.HALT


@pytest.mark.parametrize(
    ("aliases", "move", "said"),
    [
        ({"champion": 2}, Move.COMPLETE, "was promoted"),
        ({"champion": 3, "challenger": 2}, Move.HALT, "version 3 became champion"),
        ({"challenger": 2}, Move.HALT, "no champion"),
        ({"champion": 1}, Move.HALT, "challenger no more"),
        ({"champion": 1, "challenger": 4}, Move.HALT, "version 4 took its place"),
    ],
)
def test_the_registry_has_the_last_word(aliases: dict[str, int], move: Move, said: str) -> None:
    found = judge(rollout(), aliases, ENOUGH, [], BEGAN)
    assert (found.move, said in found.reason) == (move, True)


def test_a_version_that_is_champion_is_not_halted_any_more() -> None:
    measured = ENOUGH.model_copy(update={"beyond": "it failed"})
    assert moved(aliases={"champion": 2}, measured=measured, halts=1) is Move.COMPLETE


def test_a_hold_says_what_it_waits_for() -> None:
    early = judge(rollout(), ALIASES, ENOUGH, [], BEGAN + timedelta(minutes=1))
    assert early.reason == "the step lasts 240 s more"
    few = ENOUGH.model_copy(update={"requests": 12})
    waiting = judge(rollout(), ALIASES, few, [], BEGAN + PAUSE)
    assert waiting.reason == "the challenger answered 12 of the 200 requests that a step takes"


def test_one_controller_works_at_a_time() -> None:
    found = settings.load()
    with locks.held(found, "flights-rollout") as first, locks.held(found, "flights-rollout") as second:
        assert (first, second) == (True, False)
    with locks.held(found, "flights-rollout") as third:
        assert third


def test_who_waits_gets_the_lock_when_it_is_free() -> None:
    found = settings.load()
    holding, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with locks.held(found, "x"):
            holding.set()
            leave.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(20)
    threading.Timer(0.2, leave.set).start()
    with locks.held(found, "x", wait_seconds=20) as mine:
        assert mine
    thread.join()
