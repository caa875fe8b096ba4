"""The hub reads once for all viewers, sends what is new to each, and rests when nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from pilotage.console.operations.desks import Desk
from pilotage.console.pages import events, pulses, streams
from pilotage.console.pages.streams import Hub, Reading
from pilotage.pipelines import tables


class Beats:
    """A pulse that the test moves."""

    def __init__(self) -> None:
        self.value = 0
        self.asked = 0
        self.failures = 0
        self.closed = 0

    async def beat(self) -> object:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise OSError("the database went away")
        return self.value

    def close(self) -> None:
        self.closed += 1


class Scene:
    """A source that the test changes, and that counts how often it is read."""

    key = "scene"

    def __init__(self) -> None:
        self.parts = {"state": "one"}
        self.logs: dict[str, Path] = {}
        self.ended = False
        self.compared = self.read_count = 0

    def fingerprint(self) -> object:
        self.compared += 1
        return tuple(self.parts.items()), self.ended

    def read(self) -> Reading:
        self.read_count += 1
        return Reading(dict(self.parts), self.logs, self.ended)


Next = Callable[[], Coroutine[Any, Any, tuple[str, str, str]]]


def viewer(hub: Hub, scene: Scene, position: str = "") -> Next:
    """Asks for the next event: name, data and id."""
    stream: AsyncIterator[bytes] = hub.follow(scene, position)

    async def following() -> tuple[str, str, str]:
        while True:
            content = (await asyncio.wait_for(anext(stream), 5)).decode()
            fields: dict[str, list[str]] = {}
            for line in content.strip("\n").split("\n"):
                name, _, value = line.partition(": ")
                fields.setdefault(name, []).append(value)
            if "event" in fields:
                return fields["event"][0], "\n".join(fields["data"]), fields.get("id", [""])[0]

    return following


@pytest.fixture
def beats() -> Beats:
    return Beats()


@pytest.fixture
def hub(beats: Beats) -> Hub:
    return Hub(beats, poll_seconds=0.01)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_many_viewers_cost_one_reading(hub: Hub, scene: Scene, beats: Beats):
    async def look() -> None:
        viewers = [viewer(hub, scene) for _ in range(50)]
        assert {(await each())[:2] for each in viewers} == {("state", "one")}
        scene.parts["state"] = "two"
        beats.value += 1
        assert {(await each())[:2] for each in viewers} == {("state", "two")}
        assert hub.viewers == 50

    asyncio.run(look())
    assert scene.read_count == 2


def test_nothing_is_compared_while_nothing_was_written(hub: Hub, scene: Scene, beats: Beats):
    async def look() -> None:
        each = viewer(hub, scene)
        await each()
        await asyncio.sleep(0.2)

    asyncio.run(look())
    assert beats.asked > 5
    assert scene.compared <= 2


def test_only_what_differs_is_sent(hub: Hub, scene: Scene, beats: Beats):
    async def look() -> None:
        scene.parts = {"state": "one", "steps": "a"}
        each = viewer(hub, scene)
        await each()
        await each()
        scene.parts["steps"] = "b"
        beats.value += 1
        assert (await each())[:2] == ("steps", "b")

    asyncio.run(look())


def test_who_comes_back_is_told_what_they_have_not_seen_also_by_another_process(
    hub: Hub, scene: Scene, tmp_path: Path
):
    log = tmp_path / "log"
    log.write_text("one\ntwo\n")
    scene.logs = {"log-train": log}
    scene.parts["graph"] = "picture"

    async def look() -> str:
        each = viewer(hub, scene)
        return [await each() for _ in range(3)][-1][2]

    async def look_again(position: str) -> list[tuple[str, str, str]]:
        each = viewer(Hub(Beats(), 0.01), scene, position)
        return [await each() for _ in range(2)]

    position = asyncio.run(look())
    log.write_text("one\ntwo\nthree\n")
    scene.parts["state"] = "two"
    told = asyncio.run(look_again(position))
    assert [(name, data) for name, data, _ in told] == [("state", "two"), ("log-train", "three\n")]


def test_the_last_of_a_log_is_told_before_the_end(hub: Hub, scene: Scene, tmp_path: Path, beats: Beats):
    log = tmp_path / "log"
    scene.logs = {"log-train": log}

    async def look() -> list[tuple[str, str]]:
        each = viewer(hub, scene)
        await each()
        log.write_text("done\nwithout an end of line")
        scene.ended, scene.parts = True, {"state": "ended"}
        beats.value += 1
        told: list[tuple[str, str]] = []
        while not told or told[-1][0] != "end":
            told.append((await each())[:2])
        return told

    told = asyncio.run(look())
    log_text = "".join(data for name, data in told if name == "log-train")
    assert ("state", "ended") in told
    assert log_text == "done\nwithout an end of line"


def test_a_database_that_went_away_is_asked_again(hub: Hub, scene: Scene, beats: Beats, caplog):
    async def look() -> None:
        each = viewer(hub, scene)
        await each()
        beats.failures = 2
        scene.parts["state"] = "two"
        beats.value += 1
        assert (await each())[:2] == ("state", "two")

    asyncio.run(look())
    assert "trying again" in caplog.text


def test_what_cannot_be_read_holds_up_no_other(hub: Hub, scene: Scene, beats: Beats, caplog):
    class Broken(Scene):
        key = "broken"

        def read(self) -> Reading:
            raise OSError("it is not there any more")

    async def look() -> None:
        waiting = hub.follow(Broken(), "")
        await anext(waiting)
        each = viewer(hub, scene)
        assert (await each())[:2] == ("state", "one")
        for value in ("two", "three"):
            scene.parts["state"] = value
            beats.value += 1
            assert (await each())[:2] == ("state", value)
        await waiting.aclose()  # type: ignore[attr-defined]

    asyncio.run(look())
    told = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert "it is not there any more" in told


def test_the_task_ends_with_its_last_viewer_and_nothing_is_kept(hub: Hub, scene: Scene, beats: Beats):
    async def look() -> None:
        stream = hub.follow(scene, "")
        await anext(stream)
        assert hub.viewers == 1
        await stream.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)
        assert hub.viewers == 0
        asked = beats.asked
        await asyncio.sleep(0.1)
        assert beats.asked == asked

    asyncio.run(look())
    assert beats.closed == 1


def test_every_stream_ends_when_the_process_stops(hub: Hub, scene: Scene):
    async def look() -> list[bytes]:
        async def collect() -> list[bytes]:
            return [event async for event in hub.follow(scene, "")]

        task = asyncio.create_task(collect())
        await asyncio.sleep(0.1)
        hub.close()
        return await asyncio.wait_for(task, 2)

    assert asyncio.run(look())[0] == events.RETRY


def test_a_stream_ends_after_a_while_so_that_who_looks_is_asked_again(
    hub: Hub, scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streams, "LIFETIME_SECONDS", 0.2)
    monkeypatch.setattr(streams, "BEAT_SECONDS", 0.05)

    async def look() -> list[bytes]:
        return [event async for event in hub.follow(scene, "")]

    told = asyncio.run(look())
    assert events.BEAT in told
    assert events.END not in told


@pytest.mark.databases
def test_who_may_no_longer_look_is_told_nothing_more(hub: Hub, scene: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streams, "BEAT_SECONDS", 0.05)
    answers = [True, False]

    async def allowed() -> bool:
        return answers.pop(0)

    async def look() -> list[bytes]:
        return [event async for event in hub.follow(scene, "", allowed)]

    told = asyncio.run(asyncio.wait_for(look(), 5))
    assert told[-1] == events.BEAT
    assert not answers
    assert hub.viewers == 0


def test_the_pulse_of_a_database_moves_with_writes_of_others_only(desk: Desk):
    pulse = pulses.of(desk.engine)
    row = {"pilot": "small", "until": tables.now(), "who": "o", "why": "", "at": tables.now()}

    async def look() -> None:
        first = await pulse.beat()
        assert await pulse.beat() == first
        with desk.engine.begin() as connection:
            connection.execute(insert(tables.snoozes), row)
        assert await pulse.beat() != first
        pulse.close()

    asyncio.run(look())
