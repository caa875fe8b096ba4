"""What the console costs at 10,000 runs, 200 pilots and a year of hourly windows of each.

Pages are asked for one after the other, as one browser does, of a real process
on loopback; the client shares the machine. Pages of models and of one pilot's
monitoring need files that training and monitoring leave, and are measured in
`test_console_monitoring`. Live viewers are open streams while
nothing is written; what they cost is the processor time of the console's
process. A quick run has a month of windows.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from tests import populations
from tests.benchmarks.targets import Goal
from tests.integration.console.processes import Console

from pilotage.console.access import links
from pilotage.console.operations.desks import Desk
from pilotage.core import settings

MOST_MS, MOST_SHARE = 200.0, 0.05
ROUNDS, VIEWERS, WATCHED_SECONDS = 15, 100, 20.0
YEAR_HOURS, MONTH_HOURS = 8760, 720
PAGES = (
    *("/", "/?search=19", "/pilots/pilot-100", "/runs", "/runs?pilot=pilot-100", "/runs?state=failed"),
    *("/runs/20260101-005000-abcdef", "/runs/compare?a=20260101-005000-abcdef&b=20260101-005200-abcdef"),
    *("/runs/compare", "/monitoring", "/schedules", "/audit", "/settings"),
)


@dataclass(frozen=True)
class Stage:
    """A console that is measured, and the cookies of somebody who is signed in."""

    console: Console
    cookies: dict[str, str]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The console on a full home."""
    installation = settings.load(home=tmp_path_factory.mktemp("console") / "home")
    desk = Desk(installation)
    hours = MONTH_HOURS if request.config.getoption("--quick") else YEAR_HOURS
    began = time.monotonic()
    names = populations.fill(desk.engine, populations.Size(pilots=200, runs=10_000, windows=hours))
    populations.fill_registry(installation, names)
    size = sum(path.stat().st_size for path in Path(installation.home).glob("pilotage.db*")) / 2**20
    print(f"\nfilled in {time.monotonic() - began:.0f} s, {size:.0f} MiB, {hours} windows of each pilot")
    console = Console(installation.home)
    console.start()
    with httpx.Client(base_url=console.url, headers={"Origin": console.url}) as client:
        assert client.post(links.create_link(desk)).status_code == 303
        cookies = dict(client.cookies)
    desk.engine.dispose()
    yield Stage(console, cookies)
    console.kill()


def test_every_page_answers_within_its_time(stage: Stage) -> None:
    goals = []
    with httpx.Client(base_url=stage.console.url, cookies=stage.cookies, timeout=60) as client:
        for path in PAGES:
            taken = []
            for _ in range(ROUNDS + 1):
                began = time.perf_counter()
                answer = client.get(path)
                taken.append((time.perf_counter() - began) * 1000)
                assert answer.status_code == 200, f"{path}: {answer.status_code}"
            median, worst = statistics.median(taken[1:]), max(taken[1:])
            reached = f"median {median:.0f} ms, longest {worst:.0f} ms, {len(answer.content) / 1024:.0f} KiB"
            goals.append(Goal("pages", path, f"< {MOST_MS:.0f} ms", reached, median < MOST_MS))
    print(*goals, sep="\n")
    assert [str(goal) for goal in goals if not goal.met] == []


@pytest.mark.parametrize("path", ["/live", "/runs/live", "/pilots/pilot-100/live"])
def test_viewers_cost_little_while_nothing_happens(stage: Stage, path: str) -> None:
    assert stage.console.process is not None
    process = psutil.Process(stage.console.process.pid)

    async def watch() -> float:
        limits = httpx.Limits(max_connections=VIEWERS)
        async with httpx.AsyncClient(
            base_url=stage.console.url, cookies=stage.cookies, limits=limits, timeout=60
        ) as client:
            opened = asyncio.Semaphore(0)

            async def view() -> None:
                async with client.stream("GET", path) as answer:
                    assert answer.status_code == 200
                    told = False
                    async for line in answer.aiter_lines():
                        if line.startswith("data:") and not told:
                            told = True
                            opened.release()

            tasks = [asyncio.create_task(view()) for _ in range(VIEWERS)]
            for _ in range(VIEWERS):
                await opened.acquire()
            await asyncio.sleep(2)
            before = sum(process.cpu_times()[:2])
            await asyncio.sleep(WATCHED_SECONDS)
            used = sum(process.cpu_times()[:2]) - before
            assert not [task for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return float(used) / WATCHED_SECONDS

    share = asyncio.run(watch())
    reached = f"{share:.1%} of a core over {WATCHED_SECONDS:.0f} s"
    goal = Goal("live", f"{VIEWERS} viewers of {path}", f"< {MOST_SHARE:.0%}", reached, share < MOST_SHARE)
    print(goal)
    assert goal.met
