"""Very wide tables and a page as a browser shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.unit.components.tabular import columns, make_spec, write_csv

from pilotage.components.ingest import ingest
from pilotage.components.validate import validate
from pilotage.core import settings
from pilotage.core.artifacts import Snapshot

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


def wide(folder: Path, name: str, rows: int, width: int) -> Snapshot:
    values = np.random.default_rng(1).normal(size=(rows, width)).round(3)
    frame = pl.DataFrame({f"c{i}": values[:, i] for i in range(width)} | {"y": ["a", "b"] * (rows // 2)})
    frame.write_csv(folder / f"{name}.csv")
    return ingest(make_spec(f"{name}.csv"), folder, settings.load(home=folder / "home"), folder / name)


def test_two_thousand_columns_are_ingested_and_validated(tmp_path):
    champion = wide(tmp_path, "old", 1_000, 2_000)
    snapshot = wide(tmp_path, "new", 1_200, 2_000)
    report = validate(
        make_spec("new.csv"),
        tmp_path,
        settings.load(home=tmp_path / "home"),
        snapshot,
        champion,
        tmp_path / "out",
    )
    assert report.success
    assert len(snapshot.features) == 2_000
    assert (tmp_path / "out/report.html").stat().st_size < 1_000_000


def test_ten_thousand_columns_are_taken(tmp_path):
    assert len(wide(tmp_path, "widest", 40, 9_999).features) == 9_999


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_the_page_fits_and_loads_nothing_in_a_browser(tmp_path, chromium, width, scheme):
    playwright = pytest.importorskip("playwright.sync_api")
    write_csv(
        tmp_path / "t.csv", columns() | {"a_rather_long_name_of_a_column_with_values": [1, 2, None] * 20}
    )
    spec, installation = make_spec("t.csv"), settings.load(home=tmp_path / "home")
    snapshot = ingest(spec, tmp_path, installation, tmp_path / "out")
    validate(spec, tmp_path, installation, snapshot, None, tmp_path / "out")
    asked: list[str] = []
    said: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS.split())
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True
        )
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto((tmp_path / "out/report.html").as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        browser.close()
    assert len(asked) == 1
    assert not said
    assert overflow <= 0
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
