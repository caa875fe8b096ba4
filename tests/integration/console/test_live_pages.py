"""Live pages in a browser: they follow a run, survive a console that dies, and lose and repeat nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.integration.console.conftest import OpenPage
from tests.integration.console.processes import Console

from pilotage.core import pilots
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals.events import Journal
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.queue import requests

pytestmark = pytest.mark.browser


class Carried:
    """A run that the test carries out itself, as a runner would."""

    def __init__(self, installation: Settings, folder: Path) -> None:
        self.engine = tables.connect(installation)
        self.records = Records(self.engine)
        found = pilots.load(folder)
        with self.engine.begin() as connection:
            self.run = requests.ask(
                connection, requests.Request(found.spec, found.folder, "olivia", "a test")
            )
        self.journal = Journal(self.records, self.run)
        self.logs = installation.logs / self.run
        self.logs.mkdir(parents=True)

    def begin(self) -> None:
        """Take the run."""
        requests.claim(self.engine, self.run)

    def log(self, step: str) -> Path:
        """Where a step writes."""
        return self.logs / f"{step}.log"

    def write(self, step: str, *lines: str) -> None:
        """Append lines to a step's log."""
        with self.log(step).open("a") as stream:
            stream.writelines(f"{line}\n" for line in lines)


@pytest.fixture
def carried(trained: Settings) -> Iterator[Carried]:
    """A run that waits."""
    found = Carried(trained, trained.home.parent / "parcels")
    yield found
    found.records.end_run(found.run, State.CANCELLED, 1)
    found.engine.dispose()


def shown(page: Page, step: str) -> list[str]:
    """Lines of a step's log on the page."""
    return (page.locator(f"[data-live-part=log-{step}]").text_content() or "").splitlines()


def wait_for_lines(page: Page, step: str, count: int) -> list[str]:
    """The lines, as soon as there are so many."""
    end = time.monotonic() + 20
    while len(shown(page, step)) < count and time.monotonic() < end:
        page.wait_for_timeout(100)
    return shown(page, step)


def test_a_run_is_watched_from_its_start_to_its_end_without_loading_the_page_again(
    open_page: OpenPage, carried: Carried
):
    page = open_page(f"/runs/{carried.run}")
    page.evaluate("window.stayed = true")
    state = page.locator("[data-live-part=state]")
    expect(state).to_contain_text("pending")
    carried.begin()
    carried.journal.started("ingest", 1, carried.log("ingest"), {})
    expect(state).to_contain_text("running")
    expect(page.locator("[data-live-part=graph] desc").first).to_contain_text("ingest: running")
    carried.write("ingest", "first line", "", "  indented <b>&amp; escaped", "last")
    assert wait_for_lines(page, "ingest", 4) == ["first line", "", "  indented <b>&amp; escaped", "last"]
    carried.journal.succeeded("ingest", 1.5, {"snapshot": {"digest": "ab" * 32, "rows": 400}}, 10**8)
    expect(page.locator("[data-live-part=graph] desc").first).to_contain_text("ingest: succeeded in 1.5 s")
    error = {"type": "StepFailed", "message": "The target `late` is constant.", "remedy": "Look at the data."}
    carried.records.end_run(carried.run, State.FAILED, 2, error=error)
    expect(state).to_contain_text("The target late is constant.")
    expect(state.get_by_text("Retry", exact=True)).to_be_visible()
    assert page.evaluate("window.stayed") is True


def test_the_page_carries_on_where_it_was_when_the_console_was_killed_and_started_again(
    open_page: OpenPage, carried: Carried, console: Console
):
    carried.begin()
    carried.journal.started("ingest", 1, carried.log("ingest"), {})
    carried.write("ingest", *(f"line {number}" for number in range(100)))
    page = open_page(f"/runs/{carried.run}")
    page.evaluate("window.stayed = true")
    assert len(wait_for_lines(page, "ingest", 100)) == 100
    console.kill()
    carried.write("ingest", *(f"line {number}" for number in range(100, 150)))
    expect(page.locator("#connection")).to_be_visible(timeout=15_000)
    console.start()
    carried.write("ingest", *(f"line {number}" for number in range(150, 200)))
    assert wait_for_lines(page, "ingest", 200) == [f"line {number}" for number in range(200)]
    expect(page.locator("#connection")).to_be_hidden()
    carried.journal.succeeded("ingest", 2.0, {}, 0)
    expect(page.locator("[data-live-part=graph] desc").first).to_contain_text("ingest: succeeded")
    assert page.evaluate("window.stayed") is True


def test_lists_show_a_run_as_soon_as_somebody_asks_for_it(open_page: OpenPage, trained: Settings):
    lists = [open_page("/runs"), open_page("/runs?pilot=parcels"), open_page("/pilots/parcels")]
    other = open_page("/runs?pilot=pilot-000")
    before = other.locator("[data-live-part=runs]").inner_html()
    run = Carried(trained, trained.home.parent / "parcels")
    try:
        for page in lists:
            expect(page.locator("[data-live-part=runs]")).to_contain_text(run.run)
        assert other.locator("[data-live-part=runs]").inner_html() == before
    finally:
        run.records.end_run(run.run, State.CANCELLED, 1)
        run.engine.dispose()


def test_a_question_that_is_open_is_not_taken_away_by_what_comes_in(open_page: OpenPage, carried: Carried):
    carried.begin()
    page = open_page(f"/runs/{carried.run}")
    page.get_by_text("Cancel", exact=True).click()
    why = page.get_by_label("Why? It is kept in the audit.")
    why.fill("it is the wrong data")
    carried.journal.started("ingest", 1, carried.log("ingest"), {})
    expect(page.locator("[data-live-part=graph] desc").first).to_contain_text("ingest: running")
    expect(why).to_have_value("it is the wrong data")
    page.get_by_role("button", name="Cancel this run").click()
    expect(page.locator(".notice.done")).to_contain_text("was asked to stop")


def test_what_is_written_by_a_page_that_nobody_sees_is_there_when_somebody_looks_again(
    open_page: OpenPage, carried: Carried
):
    carried.begin()
    carried.journal.started("ingest", 1, carried.log("ingest"), {})
    page = open_page(f"/runs/{carried.run}")
    hide = "value => { Object.defineProperty(document, 'hidden', {value, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')) }"
    page.evaluate(hide, True)
    carried.write("ingest", "while away")
    page.wait_for_timeout(1200)
    assert shown(page, "ingest") == []
    page.evaluate(hide, False)
    assert wait_for_lines(page, "ingest", 1) == ["while away"]
