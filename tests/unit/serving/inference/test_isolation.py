"""What is wrong with one request, or with counting it, is not felt by those that are answered with it."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from http import HTTPStatus
from typing import Any

import pytest
from tests.unit.serving import small_models

from pilotage.core import errors
from pilotage.serving.inference import reports
from pilotage.serving.inference.batchers import Batcher
from pilotage.serving.inference.planes import DataPlane, Reply
from pilotage.serving.inference.works import Request
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import codecs, invocations, tensors
from pilotage.serving.telemetry.meters import Meters

ROW = {**small_models.rows(1)[0], "bought": "2026-01-01T00:00:00Z"}
TOO_EARLY = "0001-01-01T00:00:00+23:59"
TOO_LATE = "9999-12-31T23:59:59-23:59"


def request(row: dict[str, Any]) -> Request:
    body = json.dumps({"rows": [row]}).encode()
    return Request(body, "application/json", codecs.rows, time.perf_counter())


@pytest.mark.parametrize("column", ["bought", "at"])
@pytest.mark.parametrize("instant", [TOO_EARLY, TOO_LATE])
def test_a_time_outside_the_calendar_is_the_fault_of_its_own_request(
    plane: DataPlane, column: str, instant: str
) -> None:
    good, bad = plane.read(request(ROW)), plane.read(request({**ROW, column: instant}))
    assert bad.reader is not None, "only the reader leaves times for later"
    before, wrong, after = plane.answer([good, bad, good])
    assert [type(before), type(after)] == [Reply, Reply]
    assert isinstance(wrong, errors.RequestError)
    assert wrong.details["row"] == 0
    assert column in str(wrong)
    assert instant in str(wrong)


async def outcomes(batcher: Batcher, broken: int | None = None) -> list[Any]:
    """Of three requests in one batch; whoever takes the answer of `broken` fails."""
    found: list[Any] = []

    def taker(position: int) -> Any:
        def take(outcome: Any) -> None:
            if position == broken:
                raise RuntimeError("gone")
            found.append(outcome)

        return take

    for position in range(3):
        batcher.submit(request(ROW), taker(position))
    deadline = time.monotonic() + 5
    while batcher.depth and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    batcher.close()
    return found


@pytest.mark.parametrize("seconds", [1e-6, 0.05], ids=["loop", "thread"])
def test_who_cannot_take_an_answer_does_not_keep_the_others_from_theirs(
    plane: DataPlane, seconds: float
) -> None:
    batcher = Batcher(plane, Meters({"flights": 0.1}), 2.0, 100)
    batcher.costs.note(1, seconds)
    found = asyncio.run(outcomes(batcher, broken=0))
    assert [type(outcome) for outcome in found] == [Reply, Reply]
    assert batcher.depth == 0


@pytest.mark.parametrize("seconds", [1e-6, 0.05], ids=["loop", "thread"])
def test_a_batch_that_cannot_be_counted_is_answered(
    plane: DataPlane, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("no such meter")

    monkeypatch.setattr(reports, "report", fail)
    batcher = Batcher(plane, Meters({"flights": 0.1}), 2.0, 100)
    batcher.costs.note(1, seconds)
    found = asyncio.run(outcomes(batcher))
    assert [type(outcome) for outcome in found] == [Reply] * 3
    assert batcher.depth == 0


def test_a_large_request_that_cannot_be_counted_is_answered(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("no such meter")

    monkeypatch.setattr(reports, "report_large", fail)

    async def ask() -> Any:
        batcher = Batcher(plane, Meters({"flights": 0.1}), 2.0, 100)
        large = request(ROW)
        large.body += b" " * 200_000
        try:
            return await asyncio.wait_for(batcher.answer(large), 5)
        finally:
            batcher.close()

    assert isinstance(asyncio.run(ask()), Reply)


@pytest.mark.parametrize("depth", [980, 1000, 1010])
@pytest.mark.parametrize(
    ("codec", "body"),
    [
        (codecs.rows, b'{"rows":[{"distance":%b}]}'),
        (codecs.rows, b'{"rows":[{"distance":1,"carrier":"A","holiday":true,"bought":null}],"ids":[%b]}'),
        (invocations.decode, b'{"instances":[[%b,null,null,null]]}'),
        (tensors.decode, b'{"inputs":[{"name":"a","datatype":"FP64","shape":%b,"data":[1]}]}'),
    ],
    ids=["value", "id", "instance", "shape"],
)
def test_deep_nesting_is_refused_whatever_shows_it(
    plane: DataPlane, codec: Any, body: bytes, depth: int
) -> None:
    deep = b"[" * depth + b"]" * depth
    with pytest.raises((Problem, errors.RequestError)) as caught:
        plane.read(Request(body % deep, "application/json", codec, time.perf_counter()))
    if isinstance(caught.value, Problem):
        assert caught.value.status is HTTPStatus.BAD_REQUEST


def test_many_columns_are_looked_through_in_no_time(plane: DataPlane) -> None:
    names = [f"{number:x}" for number in range(200_000)]
    body = (",".join([*names, names[0]]) + "\n1\n").encode()
    began = time.perf_counter()
    with pytest.raises(errors.RequestError, match="twice"):
        plane.read(Request(body, "text/csv", invocations.decode, began))
    assert time.perf_counter() - began < 30, "linear takes a second, quadratic an hour"


@pytest.mark.parametrize("padding", [0, 200_000], ids=["small", "large"])
@pytest.mark.parametrize("waits", [True, False], ids=["answer", "submit"])
def test_a_refused_body_is_let_go_at_once_without_a_collection(
    plane: DataPlane, padding: int, waits: bool
) -> None:
    """Until a collection, which may be long in coming, refused bodies would fill the memory."""
    refused: list[type] = []

    async def ask() -> None:
        batcher = Batcher(plane, Meters({"flights": 0.1}), 2.0, 100)
        wrong = request({})
        wrong.body += b" " * padding
        if waits:
            try:
                await batcher.answer(wrong)
            except errors.RequestError as error:
                refused.append(type(error))
        else:
            batcher.submit(wrong, lambda outcome: refused.append(type(outcome)))
            while not refused:
                await asyncio.sleep(0.01)
        batcher.close()

    gc.collect()
    gc.disable()
    try:
        asyncio.run(ask())
        assert refused == [errors.RequestError]
        assert not [found for found in gc.get_objects() if type(found) is Request]
    finally:
        gc.enable()
