"""Requests that wait together are answered together, each as if it were alone."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from tests.unit.serving import small_models

from pilotage.core import errors
from pilotage.serving.inference.planes import DataPlane, Request
from pilotage.serving.inference.queues import Line
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import codecs
from pilotage.serving.versions.champions import Follower, Live


def request(rows: list[dict[str, Any]], version: str | None = None) -> Request:
    body = json.dumps({"rows": rows}).encode()
    return Request(body, "application/json", codecs.rows, time.perf_counter(), version)


class Watched:
    """An estimator that notes how many rows each call has, and can be held up."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.classes_ = estimator.classes_
        self.calls: list[int] = []
        self.may_go = threading.Event()
        self.may_go.set()

    def predict_proba(self, frame: Any) -> Any:
        self.may_go.wait(10)
        self.calls.append(len(frame))
        if (frame["distance"] == -1).any():
            raise StopIteration
        if (frame["distance"] > 1e30).any():
            raise ValueError("too large")
        return self.estimator.predict_proba(frame)


@pytest.fixture
def watched(follower: Follower, live: Live) -> Watched:
    found = Watched(live.predictor.estimator)
    follower.live = Live(live.registered, type(live.predictor)(found, live.model), live.profile)
    return found


async def gather(line: Line, watched: Watched, requests: list[Request]) -> list[Any]:
    """Outcomes of a first request, and of others that came while it was predicted."""
    watched.may_go.clear()
    first = asyncio.create_task(line.answer(requests[0]))
    await asyncio.sleep(0.05)
    others = [asyncio.create_task(line.answer(other)) for other in requests[1:]]
    await asyncio.sleep(0.05)
    watched.may_go.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def test_what_waits_is_predicted_by_one_call_with_each_ones_own_answer(
    plane: DataPlane, watched: Watched, live: Live
) -> None:
    given = [small_models.rows(count, seed) for seed, count in enumerate([1, 2, 3, 1])]
    replies = asyncio.run(gather(Line(plane, 10), watched, [request(rows) for rows in given]))
    assert watched.calls == [1, 6]
    for rows, reply in zip(given, replies, strict=True):
        alone = json.loads(plane.infer(request(rows)).body)
        answer = json.loads(reply.body)
        assert answer["ids"] == [row["flight"] for row in rows]
        assert answer["predictions"] == alone["predictions"]
        np.testing.assert_allclose(answer["probabilities"], alone["probabilities"])


def test_a_bad_request_fails_alone(plane: DataPlane, watched: Watched) -> None:
    good = small_models.rows(1)
    far = [{**good[0], "distance": 1e31}]
    outcomes = asyncio.run(
        gather(
            Line(plane, 10),
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


def test_whatever_a_model_raises_every_request_has_its_answer(plane: DataPlane, watched: Watched) -> None:
    good, bad = small_models.rows(2)
    bad["distance"] = -1
    line = Line(plane, 10)
    work = gather(line, watched, [request([good]), request([bad]), request([good])])
    outcomes = asyncio.run(asyncio.wait_for(work, 10))
    assert [type(outcome).__name__ for outcome in outcomes] == ["Reply", "RuntimeError", "Reply"]


def test_too_many_waiting_requests_are_turned_away_at_once(plane: DataPlane, watched: Watched) -> None:
    asked = request(small_models.rows(1))
    outcomes = asyncio.run(gather(Line(plane, 2), watched, [asked] * 4))
    refused = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert [problem.status for problem in refused] == [HTTPStatus.SERVICE_UNAVAILABLE] * 2
    assert refused[0].headers == {"Retry-After": "1"}


def test_a_client_that_leaves_disturbs_nobody(plane: DataPlane, watched: Watched) -> None:
    asked = request(small_models.rows(1))

    async def leave() -> int:
        line = Line(plane, 10)
        watched.may_go.clear()
        first = asyncio.create_task(line.answer(asked))
        await asyncio.sleep(0.05)
        leaver, other = (asyncio.create_task(line.answer(asked)) for _ in range(2))
        await asyncio.sleep(0.05)
        leaver.cancel()
        watched.may_go.set()
        await first
        return (await other).rows

    assert asyncio.run(leave()) == 1


def test_closing_waits_for_all_answers(plane: DataPlane, watched: Watched) -> None:
    line = Line(plane, 10)
    outcomes = asyncio.run(gather(line, watched, [request(small_models.rows(1))] * 5))
    line.close()
    assert [reply.rows for reply in outcomes] == [1] * 5
