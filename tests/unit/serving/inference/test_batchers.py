"""Requests that wait together are answered together, each as if it were alone."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from tests.unit.serving import small_models

from pilotage.core import errors
from pilotage.core.models import Predictor
from pilotage.serving.inference import batchers
from pilotage.serving.inference.batchers import Batcher
from pilotage.serving.inference.planes import DataPlane
from pilotage.serving.inference.works import Request
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import codecs
from pilotage.serving.telemetry.meters import Meters
from pilotage.serving.versions.champions import Follower
from pilotage.serving.versions.lives import Live


def request(rows: list[dict[str, Any]], version: str | None = None, deadline: float | None = None) -> Request:
    body = json.dumps({"rows": rows}).encode()
    return Request(body, "application/json", codecs.rows, time.perf_counter(), version, deadline)


class Watched:
    """An estimator that notes how many rows each call has and in which thread, and can be held up."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.classes_ = estimator.classes_
        self.calls: list[int] = []
        self.threads: list[str] = []
        self.seconds = 0.0
        self.may_go = threading.Event()
        self.may_go.set()

    def predict_proba(self, frame: Any) -> Any:
        self.may_go.wait(10)
        time.sleep(self.seconds)
        self.calls.append(len(frame))
        self.threads.append(threading.current_thread().name)
        if (frame["distance"] == -1).any():
            raise StopIteration
        if (frame["distance"] > 1e30).any():
            raise ValueError("too large")
        return self.estimator.predict_proba(frame)


@pytest.fixture
def watched(follower: Follower, live: Live) -> Watched:
    trained = live.predictor
    assert isinstance(trained, Predictor)
    found = Watched(trained.estimator)
    follower.live = Live(live.registered, Predictor(found, live.model), live.profile)
    return found


@pytest.fixture
def meters() -> Meters:
    return Meters({"flights": 0.1})


MakeBatcher = Callable[..., Batcher]


@pytest.fixture
def make(plane: DataPlane, meters: Meters) -> MakeBatcher:
    """A batcher that has learned that the model is fast, or slow and answered by the thread."""

    def made(*, slow: bool = True, p99_seconds: float = 2.0, most: int = 100) -> Batcher:
        batcher = Batcher(plane, meters, p99_seconds, most)
        batcher.costs.note(1, 0.05 if slow else 1e-6)
        return batcher

    return made


async def gather(batcher: Batcher, watched: Watched, requests: list[Request]) -> list[Any]:
    """Outcomes of a first request, and of others that came while it was predicted."""
    watched.may_go.clear()
    first = asyncio.create_task(batcher.answer(requests[0]))
    await asyncio.sleep(0.05)
    others = [asyncio.create_task(batcher.answer(other)) for other in requests[1:]]
    await asyncio.sleep(0.05)
    watched.may_go.set()
    found = await asyncio.gather(first, *others, return_exceptions=True)
    batcher.close()
    return found


def run(work: Awaitable[Any]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(work, 20)

    return asyncio.run(limited())


def test_what_waits_is_predicted_by_one_call_with_each_ones_own_answer(
    make: MakeBatcher, plane: DataPlane, watched: Watched, meters: Meters
) -> None:
    given = [small_models.rows(count, seed) for seed, count in enumerate([1, 2, 3, 1])]
    replies = run(gather(make(), watched, [request(rows) for rows in given]))
    assert watched.calls == [1, 6]
    assert set(watched.threads) == {"predict_0"}
    reasons = {batch.reason: batch for batch in meters.reading().batches}
    assert set(reasons) == {"idle", "turn"}
    for rows, reply in zip(given, replies, strict=True):
        alone = json.loads(plane.infer(request(rows)).body)
        answer = json.loads(reply.body)
        assert answer["ids"] == [row["flight"] for row in rows]
        assert answer["predictions"] == alone["predictions"]
        np.testing.assert_allclose(answer["probabilities"], alone["probabilities"])


def test_a_fast_model_answers_on_the_event_loop_what_came_together(
    make: MakeBatcher, watched: Watched
) -> None:
    async def ask() -> Any:
        batcher = make(slow=False)
        asked = [batcher.answer(request(small_models.rows(1, seed))) for seed in range(20)]
        found = await asyncio.gather(*asked)
        batcher.close()
        return found

    replies = run(ask())
    assert [json.loads(reply.body)["ids"] for reply in replies] == [[f"f{seed}-0"] for seed in range(20)]
    assert watched.calls == [20]
    assert set(watched.threads) == {"MainThread"}


def test_an_idle_server_adds_no_wait(make: MakeBatcher, watched: Watched, meters: Meters) -> None:
    async def ask() -> int:
        batcher = make(slow=False)
        done: list[Any] = []
        batcher.submit(request(small_models.rows(1)), done.append)
        turns = 0
        while not done:
            await asyncio.sleep(0)
            turns += 1
        batcher.close()
        return turns

    assert run(ask()) <= 2
    assert [batch.reason for batch in meters.reading().batches] == ["idle"]


def test_a_batch_takes_no_more_rows_than_fit_the_target(make: MakeBatcher, watched: Watched) -> None:
    async def ask() -> None:
        batcher = make(slow=False, p99_seconds=0.004)
        for rows in (1, 100, 1, 100):
            batcher.costs.note(rows, rows * 1e-4)  # ten rows in a quarter of the target
        most = batcher._most_rows()
        assert 5 <= most <= 20
        await asyncio.gather(*(batcher.answer(request(small_models.rows(1))) for _ in range(20)))
        batcher.close()
        assert max(watched.calls) <= most

    run(ask())


def test_a_bad_request_fails_alone(make: MakeBatcher, watched: Watched) -> None:
    good = small_models.rows(1)
    far = [{**good[0], "distance": 1e31}]
    outcomes = run(
        gather(
            make(),
            watched,
            [request(good), request(good), request([{}]), request(far), request(good, "7")],
        )
    )
    assert [getattr(outcome, "rows", type(outcome)) for outcome in outcomes] == [
        1,
        1,
        errors.RequestError,
        errors.RequestError,
        Problem,
    ]
    assert "Row 0: the model cannot take these values: too large" in str(outcomes[3])


@pytest.mark.parametrize("slow", [True, False])
def test_whatever_a_model_raises_every_request_has_its_answer(
    make: MakeBatcher, watched: Watched, slow: bool
) -> None:
    good, bad = small_models.rows(2)
    bad["distance"] = -1
    work = gather(make(slow=slow), watched, [request([good]), request([bad]), request([good])])
    if not slow:
        watched.may_go.wait = lambda timeout=None: True  # type: ignore[method-assign]
    outcomes = run(work)
    assert [type(outcome).__name__ for outcome in outcomes] == ["Reply", "RuntimeError", "Reply"]


def test_too_many_waiting_requests_are_turned_away_at_once(
    make: MakeBatcher, watched: Watched, meters: Meters
) -> None:
    asked = request(small_models.rows(1))
    outcomes = run(gather(make(most=2), watched, [asked] * 4))
    refused = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert [problem.status for problem in refused] == [HTTPStatus.SERVICE_UNAVAILABLE] * 2
    assert refused[0].headers == {"Retry-After": "1"}
    assert meters.reading().shed == {"overloaded": 2}


def test_a_request_whose_deadline_passed_while_it_waited_is_not_predicted(
    make: MakeBatcher, watched: Watched, meters: Meters
) -> None:
    soon = time.perf_counter() + 0.06
    asked = [request(small_models.rows(1)), request(small_models.rows(2), deadline=soon)]
    later = request(small_models.rows(3), deadline=time.perf_counter() + 60)
    outcomes = run(gather(make(), watched, [*asked, later]))
    assert isinstance(outcomes[1], Problem)
    assert outcomes[1].status is HTTPStatus.GATEWAY_TIMEOUT
    assert (outcomes[0].rows, outcomes[2].rows) == (1, 3)
    assert watched.calls == [1, 3]
    assert meters.reading().shed == {"deadline": 1}


def test_a_client_that_leaves_disturbs_nobody(make: MakeBatcher, watched: Watched) -> None:
    asked = request(small_models.rows(1))

    async def leave() -> int:
        batcher = make()
        watched.may_go.clear()
        first = asyncio.create_task(batcher.answer(asked))
        await asyncio.sleep(0.05)
        leaver, other = (asyncio.create_task(batcher.answer(asked)) for _ in range(2))
        await asyncio.sleep(0.05)
        leaver.cancel()
        watched.may_go.set()
        await first
        rows: int = (await other).rows
        batcher.close()
        assert batcher.depth == 0
        return rows

    assert run(leave()) == 1


def test_large_and_small_requests_do_not_wait_for_each_other(
    make: MakeBatcher, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batchers, "LARGE_BYTES", 2000)
    large, small = request(small_models.rows(90)), request(small_models.rows(1))

    async def ask() -> Any:
        batcher = make()
        watched.may_go.clear()
        tasks = [asyncio.create_task(batcher.answer(given)) for given in (large, small)]
        await asyncio.sleep(0.05)
        watched.may_go.set()
        found = await asyncio.gather(*tasks)
        batcher.close()
        return found

    replies = run(ask())
    assert [reply.rows for reply in replies] == [90, 1]
    assert set(watched.threads) == {"predict_0", "predict-large_0"}


def test_too_many_large_requests_are_turned_away(
    make: MakeBatcher, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batchers, "LARGE_BYTES", 2000)
    asked = [request(small_models.rows(30)) for _ in range(batchers.LARGE_PENDING + 3)]
    outcomes = run(gather(make(), watched, asked))
    refused = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert len(refused) == 3
    assert all(problem.status is HTTPStatus.SERVICE_UNAVAILABLE for problem in refused)


def test_a_large_body_that_is_wrong_is_refused(
    make: MakeBatcher, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batchers, "LARGE_BYTES", 100)
    (outcome,) = run(gather(make(), watched, [request([{"distance": "x" * 200}])]))
    assert isinstance(outcome, errors.RequestError)
