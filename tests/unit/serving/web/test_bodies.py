"""A body is read no further than its limit, and all that wait no further than memory."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest
from starlette.requests import Request
from starlette.types import Message

from pilotage.serving.limits import Limits
from pilotage.serving.problems import Problem
from pilotage.serving.web.bodies import Intake

LIMITS = Limits(body_bytes=100, held_bytes=250)


def request(*chunks: bytes, declared: bytes | None = None, ends: bool = True) -> Request:
    """A request whose body comes in `chunks`; without an end its client leaves."""
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request"} if ends else {"type": "http.disconnect"})

    async def receive() -> Message:
        return messages.pop(0)

    headers = [] if declared is None else [(b"content-length", declared)]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def read(intake: Intake, asked: Request) -> bytes:
    async with intake.body(asked) as body:
        return body


def test_a_body_is_given_whole_and_let_go_afterwards() -> None:
    intake = Intake(LIMITS)
    assert asyncio.run(read(intake, request(b"a" * 50, b"b" * 50))) == b"a" * 50 + b"b" * 50
    assert intake.held == 0


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param(request(declared=b"101"), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, id="declared"),
        pytest.param(request(b"a" * 60, b"b" * 60), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, id="sent"),
        pytest.param(request(b"a" * 60, ends=False), HTTPStatus.BAD_REQUEST, id="left"),
    ],
)
def test_a_body_that_cannot_be_taken_is_let_go(asked: Request, status: HTTPStatus) -> None:
    intake = Intake(LIMITS)
    with pytest.raises(Problem) as caught:
        asyncio.run(read(intake, asked))
    assert (caught.value.status, intake.held) == (status, 0)


def test_bodies_that_memory_cannot_hold_together_are_turned_away_until_some_are_answered() -> None:
    intake = Intake(LIMITS)

    async def work() -> int:
        async with intake.body(request(b"a" * 100)), intake.body(request(b"b" * 100)):
            with pytest.raises(Problem) as caught:
                await read(intake, request(b"c" * 100))
            assert (caught.value.status, intake.held) == (HTTPStatus.SERVICE_UNAVAILABLE, 200)
            assert caught.value.headers == {"Retry-After": "1"}
        return len(await read(intake, request(b"c" * 100)))

    assert asyncio.run(work()) == 100
