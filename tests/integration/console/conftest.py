"""One home with real and written history, one console process and one browser for each module of tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, StorageState, sync_playwright
from tests import populations
from tests.integration.console.processes import Console

from pilotage.console.access import links
from pilotage.console.operations.desks import Desk
from pilotage.core import pilots, settings
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PILOT = """\
version: 1
pilot: parcels
description: Which parcels arrive late
goal: {metric: roc_auc, target: 0.7, value: {true_positive: 4, false_positive: -1, currency: EUR}}
data: {source: rows.csv, target: late}
train: {estimator: logistic_regression}
gates:
  - {metric: roc_auc, min: 0.6}
  - {metric: equalized_odds_difference, by: [weight], max: 1, min_group: 10, at: low}
"""


def write_pilot(folder: Path) -> Path:
    """A small pilot with a table of its own."""
    folder.mkdir(parents=True)
    rows = ["weight,distance,late"]
    rows += [f"{n % 17},{(n * 37) % 101},{int((n * 37) % 101 + n % 17 > 58)}" for n in range(400)]
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    (folder / "pilot.yaml").write_text(PILOT)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home in which one pilot was trained for real and others have a written history."""
    folder = tmp_path_factory.mktemp("console")
    home, pilot = folder / "home", write_pilot(folder / "parcels")
    environment = {**os.environ, "PILOTAGE_HOME": str(home)}
    command = [sys.executable, "-m", "pilotage.console", "run", str(pilot), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    installation = settings.load(home=home)
    engine = tables.connect(installation)
    populations.fill(engine, populations.Size())
    found = pilots.load(pilot)
    with engine.begin() as connection:
        catalogues.put(connection, found.spec, found.folder)
    engine.dispose()
    return installation


@pytest.fixture(scope="module")
def console(trained: Settings) -> Iterator[Console]:
    """A console on it."""
    found = Console(trained.home)
    found.start()
    yield found
    found.kill()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield found
        found.close()


def complains(message: ConsoleMessage, tolerated: str = "") -> bool:
    """Whether a page tells of something wrong; what a server refuses, or one that is not there, is not."""
    told = ("Failed to load resource", "net::ERR_", *([tolerated] if tolerated else []))
    return message.type in ("error", "warning") and not any(part in message.text for part in told)


OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def signed_in(browser: Browser, console: Console, trained: Settings) -> StorageState:
    """Cookies of somebody who came in by the link that is printed at the first start."""
    desk = Desk(trained)
    context = browser.new_context(base_url=console.url)
    page = context.new_page()
    page.goto(links.create_link(desk))
    page.locator("main button").click()
    page.wait_for_url(f"{console.url}/")
    state = context.storage_state()
    context.close()
    desk.engine.dispose()
    return state


@pytest.fixture
def open_page(browser: Browser, console: Console, signed_in: StorageState) -> Iterator[OpenPage]:
    """Open a page of the console; the test fails when it complained about anything."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_(
        path: str,
        *,
        width: int = 1280,
        scheme: str = "light",
        scripts: bool = True,
        bypass_csp: bool = False,
        tolerated: str = "",
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=scripts,
            bypass_csp=bypass_csp,
            base_url=console.url,
            storage_state=signed_in,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if complains(message, tolerated) else None,
        )
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []
