"""Copies are asked of the challenger beside the answers, dropped when it is busy, and never in the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from tests.unit.serving import small_models
from tests.unit.serving.conftest import MakeRecorder
from tests.unit.serving.versions.test_trials import rollout

from pilotage.core import features
from pilotage.core.features import Columns
from pilotage.core.models import Prediction, Predictor
from pilotage.core.storage import Storage
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.records.servings import Served
from pilotage.serving.versions import shadows
from pilotage.serving.versions.champions import Follower
from pilotage.serving.versions.lives import Live
from pilotage.serving.versions.shadows import Shadow
from pilotage.serving.versions.trials import Trial


class Slow:
    """A challenger that says what another does, when it is let."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.model = inner.model
        self.allowed = threading.Event()
        self.began = threading.Event()
        self.calls = 0

    def predict(self, columns: Columns) -> Prediction:
        self.calls += 1
        self.began.set()
        assert self.allowed.wait(120)
        return self.inner.predict(columns)  # type: ignore[no-any-return]


class Broken:
    """A challenger that fails on rows from afar."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.model = inner.model

    def predict(self, columns: Columns) -> Prediction:
        if (columns["distance"] > 2000).any():
            raise RuntimeError("too far")
        return self.inner.predict(columns)  # type: ignore[no-any-return]


def served(live: Live, rows: int = 4, size: int = 2, seed: int = 0) -> Served:
    columns = features.from_rows(small_models.FEATURES, small_models.rows(rows, seed))
    return Served(
        live=live,
        rows=rows,
        columns=columns,
        ids=None,
        times=None,
        prediction=live.predictor.predict(columns),
        sizes=[size] * (rows // size),
        latencies_ms=[1.0] * (rows // size),
        arrived=datetime.now(UTC),
    )


MakeShadow = Callable[[Any], tuple[Shadow, Trial]]


@pytest.fixture
def make(follower: Follower, live: Live, make_recorder: MakeRecorder) -> Iterator[MakeShadow]:
    made: list[Shadow] = []

    def shadow(predictor: Any) -> tuple[Shadow, Trial]:
        challenger = Live(small_models.live(version=2).registered, predictor, live.profile)
        trial = Trial(rollout(0), live, challenger)
        follower._rollouts.trial = trial
        made.append(Shadow(follower, lambda: make_recorder()))
        return made[0], trial

    yield shadow
    for found in made:
        found.close()


def wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_copies_are_compared_and_recorded_as_the_challengers(
    make: MakeShadow, live: Live, storage: Storage
) -> None:
    shadow, trial = make(Predictor(live.predictor.estimator, live.model))  # type: ignore[attr-defined]
    for seed in range(6):
        shadow.offer(served(live, seed=seed))
    wait(lambda: trial.comparison().copied == 12)
    found = trial.comparison()
    assert (found.compared, found.agreed, found.distance, found.dropped) == (24, 24, 0.0, 0)
    assert (found.champion.requests, found.challenger.requests, found.challenger.failures) == (12, 12, 0)
    calls = [
        sum(sum(cells.values()) for cells in side.times.values())
        for side in (found.champion, found.challenger)
    ]
    assert calls == [3, 3], "both are timed on the same copies"
    shadow.close()
    assert len([name for name in storage.names("windows/flights/2") if "window-" in name]) == 1


def test_an_offer_never_waits_and_what_does_not_fit_is_dropped(make: MakeShadow, live: Live) -> None:
    slow = Slow(live.predictor)
    shadow, trial = make(slow)
    copy = served(live, rows=1024, size=512)
    shadow.offer(copy)
    assert slow.began.wait(20)
    began = time.perf_counter()
    for _ in range(100):
        shadow.offer(copy)
    assert time.perf_counter() - began < 60, "the slow one is never waited for"
    assert shadow._rows <= shadows.MOST_ROWS
    assert trial.comparison().dropped == 2 * (100 - shadows.MOST_ROWS // 1024)
    slow.allowed.set()


def test_a_close_forgets_what_waits(make: MakeShadow, live: Live) -> None:
    slow = Slow(live.predictor)
    shadow, _ = make(slow)
    for _ in range(10):
        shadow.offer(served(live))
    assert slow.began.wait(20)
    threading.Timer(0.1, slow.allowed.set).start()
    shadow.close()
    assert slow.calls < 10
    shadow.offer(served(live))
    assert not shadow._waiting or shadow._stopped.is_set()


def test_a_request_that_fails_does_not_stain_those_beside_it(make: MakeShadow, live: Live) -> None:
    shadow, trial = make(Broken(live.predictor))
    copy = served(live, rows=40, size=1)
    far = int((copy.columns["distance"] > 2000).sum())
    assert 0 < far < 40
    shadow.offer(copy)
    wait(lambda: bool(trial.halted) or trial.comparison().copied == 40)
    wait(lambda: trial.comparison().copied == 40)
    assert trial.comparison().challenger.failures == far
    assert "requests failed on it" in trial.halted


def test_a_halted_challenger_sees_no_more_copies(make: MakeShadow, live: Live) -> None:
    slow = Slow(live.predictor)
    slow.allowed.set()
    shadow, trial = make(slow)
    trial.halt("enough")
    shadow.offer(served(live))
    assert shadow._thread is None
    assert slow.calls == 0


def test_what_another_version_answered_is_no_copy(make: MakeShadow, live: Live) -> None:
    shadow, trial = make(live.predictor)
    shadow.offer(served(small_models.live(version=3)))
    assert shadow._thread is None
    assert trial.comparison().copied == 0


def test_columns_come_in_the_order_of_the_challengers_features(live: Live) -> None:
    turned = live.model.model_copy(update={"features": tuple(reversed(live.model.features))})
    other = Live(live.registered, Predictor(None, turned), live.profile)
    columns = {feature.name: np.zeros(1) for feature in live.model.features}
    assert list(shadows._ordered(other, columns)) == list(reversed(list(columns)))


def test_a_recorder_is_made_only_for_copies(follower: Follower) -> None:
    def refuse() -> Recorder:
        raise AssertionError("nobody asked for copies")

    shadow = Shadow(follower, refuse)
    shadow.offer(served(follower.live or small_models.live()))
    shadow.close()
