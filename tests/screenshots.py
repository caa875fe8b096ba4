"""Writes pictures of every page to docs/images: light and dark, wide and narrow, of the demonstration's home.

Run by `make screenshots`. The demonstration is run first where its folder is
not there; it is kept in .cache, so that the next time takes seconds.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, StorageState, sync_playwright
from tests.integration.console.processes import Console

from pilotage.console.access import links
from pilotage.console.operations.desks import Desk
from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.retraining import schedules

REPOSITORY = Path(__file__).parents[1]
FLAGS = ("--no-sandbox", "--disable-gpu", "--force-color-profile=srgb", "--hide-scrollbars")
WIDTHS = {"wide": 1440, "narrow": 390}
SCHEMES = ("light", "dark")
MOST_HEIGHT = 1800
"""Pixels of a picture; a longer page is cut."""
COLOURS = 192
PILOT = "flight-delay"
PAGES = {
    "pilots": "/",
    "pilot": "/pilots/{pilot}",
    "runs": "/runs",
    "run": "/runs/{last}",
    "compare": "/runs/compare?a={first}&b={last}",
    "models": "/models",
    "pilot-models": "/pilots/{pilot}/models",
    "pilot-readiness": "/pilots/{pilot}/readiness",
    "monitoring": "/monitoring",
    "pilot-monitoring": "/pilots/{pilot}/monitoring",
    "pilot-responsible": "/pilots/{pilot}/responsible",
    "pilot-costs": "/pilots/{pilot}/costs",
    "schedules": "/schedules",
    "audit": "/audit",
    "settings": "/settings",
    "sign-in": "/sign-in",
}
"""Address by the picture's name."""

logger = logging.getLogger(__name__)


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".cache" / "screenshots" / "demo")
    parser.add_argument("--to", type=Path, default=REPOSITORY / "docs" / "images")
    parser.add_argument("--only", default="", help="names of pages, by comma")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    wanted = {name: path for name, path in PAGES.items() if not asked.only or name in asked.only.split(",")}
    installation = demonstrated(asked.folder)
    asked.to.mkdir(parents=True, exist_ok=True)
    with closing_desk(installation) as desk:
        addresses = {name: path.format(**names(desk)) for name, path in wanted.items()}
        take(desk, addresses, asked.to)


def demonstrated(folder: Path) -> Settings:
    """The home that the demonstration leaves in `folder`."""
    home = folder / ".pilotage"
    if not (home / "pilotage.db").exists():
        logger.info("Running the demonstration in %s: some minutes, once", folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pilotage.console", "demo", "--folder", str(folder), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
        if not done.stdout or "months" not in json.loads(done.stdout):
            raise errors.Failure(f"The demonstration ended with {done.returncode}: {done.stderr[-2000:]}")
    return settings.load(home=home)


@contextmanager
def closing_desk(installation: Settings) -> Iterator[Desk]:
    """The desk, with a schedule so that its page has something to show."""
    desk = Desk(installation)
    try:
        with closing(desk.engine.raw_connection()) as connection:
            [count] = connection.cursor().execute("SELECT count(*) FROM schedules").fetchone()
        if not count:
            schedules.add(desk.engine, PILOT, "0 3 * * 1", "America/New_York", "olivia")
        yield desk
    finally:
        desk.engine.dispose()


def names(desk: Desk) -> dict[str, str]:
    """What addresses name."""
    runs = Records(desk.engine).runs(PILOT)
    return {"pilot": PILOT, "first": runs[-1].id, "last": runs[0].id}


def take(desk: Desk, addresses: dict[str, str], folder: Path) -> None:
    """Take every picture, of a console of our own."""
    console = Console(desk.settings.home)
    console.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
            state = sign_in(browser, console, desk)
            for scheme in SCHEMES:
                for form, width in WIDTHS.items():
                    shoot(browser, console, state, addresses, folder, (scheme, form, width))
            browser.close()
    finally:
        console.kill()


def sign_in(browser: Browser, console: Console, desk: Desk) -> StorageState:
    """Cookies of the first user."""
    context = browser.new_context(base_url=console.url)
    page = context.new_page()
    page.goto(links.create_link(desk))
    page.locator("main button").click()
    page.wait_for_url(f"{console.url}/")
    state = context.storage_state()
    context.close()
    return state


def shoot(
    browser: Browser,
    console: Console,
    state: StorageState,
    addresses: dict[str, str],
    folder: Path,
    look: tuple[str, str, int],
) -> None:
    """Every page in one theme and width."""
    scheme, form, width = look
    signed = browser.new_context(
        base_url=console.url,
        storage_state=state,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    stranger = browser.new_context(
        base_url=console.url,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    for name, path in addresses.items():
        page = (stranger if name == "sign-in" else signed).new_page()
        page.goto(path)
        page.wait_for_timeout(400)  # plots draw themselves
        height = min(page.evaluate("document.documentElement.scrollHeight"), MOST_HEIGHT)
        page.set_viewport_size({"width": width, "height": height})
        file = folder / f"{name}-{scheme}-{form}.png"
        file.write_bytes(small(page.screenshot()))
        logger.info("%s: %d KiB", file.name, file.stat().st_size // 1024)
        page.close()
    signed.close()
    stranger.close()


def small(content: bytes) -> bytes:
    """The same picture with few colours, which is all that pages have."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    packed = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return packed.getvalue()


if __name__ == "__main__":
    main()
