"""Every page, in both themes, wide and narrow: no barrier that axe-core knows, and nothing cut off."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect
from tests.integration.console.conftest import OpenPage, complains
from tests.integration.console.processes import Console

from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals.records import Records

pytestmark = pytest.mark.browser

SCHEMES = ("light", "dark")
WIDTHS = (390, 1280)
PAGES = (
    *("/", "/?search=nothing", "/pilots/parcels", "/pilots/pilot-000"),
    *("/runs", "/runs?pilot=pilot-002&state=pending", "/runs/compare", "/nothing/here"),
    *("/pilots/parcels/responsible", "/pilots/parcels/models/1/card"),
    *("/models", "/pilots/parcels/models", "/monitoring", "/pilots/pilot-000/monitoring"),
    "/pilots/parcels/scaling",
    *("/pilots/parcels/costs", "/pilots/pilot-000/costs"),
    *("/pilots/parcels/readiness", "/pilots/pilot-000/readiness"),
    *(
        "/adopt",
        "/schedules",
        "/audit",
        "/settings",
        "/settings/users",
        "/settings/users/local",
        "/settings/webhooks",
    ),
    "/sign-in",
)
RUNS = ("/runs/{real}", "/runs/{failed}", "/runs/compare?a={failed}&b={real}")
VIOLATIONS = """async () => {
    const told = node => node.target.join(" ") + " " + node.failureSummary;
    const result = await axe.run(document, {resultTypes: ["violations"]});
    return result.violations.map(found => found.id + ": " + found.nodes.map(told).join("; "));
}"""
UNFOLD = """() => {
    for (const item of document.querySelectorAll("details")) item.open = !item.matches(".confirm");
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The text of axe-core."""
    found = importlib.util.find_spec("axe_playwright_python")
    assert found is not None
    assert found.submodule_search_locations
    [script] = Path(found.submodule_search_locations[0]).rglob("axe.min.js")
    return script.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def views(
    browser: Browser, console: Console, signed_in: StorageState
) -> Iterator[dict[tuple[str, int], tuple[Page, list[str]]]]:
    """A page of each theme and width, and what it complained about."""
    found: dict[tuple[str, int], tuple[Page, list[str]]] = {}
    for scheme in SCHEMES:
        for width in WIDTHS:
            context = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,  # type: ignore[arg-type]
                bypass_csp=True,  # axe is put in by the test
                base_url=console.url,
                storage_state=signed_in,
            )
            page, said = context.new_page(), list[str]()
            listen(page, said)
            found[scheme, width] = page, said
    yield found
    for page, _ in found.values():
        page.context.close()


def listen(page: Page, said: list[str]) -> None:
    """Keep what a page complains about."""
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if complains(message) else None)


@pytest.fixture(scope="module")
def names(trained: Settings) -> dict[str, str]:
    """Ids of runs."""
    engine = tables.connect(trained)
    runs = Records(engine).runs(limit=100)
    engine.dispose()
    return {
        "real": next(run.id for run in runs if run.pilot == "parcels" and run.state == "succeeded"),
        "failed": next(run.id for run in runs if run.state == "failed"),
    }


@pytest.mark.parametrize("path", [*PAGES, *RUNS])
def test_a_page_has_no_barriers_and_fits(views, axe: str, names: dict[str, str], path: str):
    problems = []
    for (scheme, width), (page, said) in views.items():
        said.clear()
        page.goto(path.format(**names))
        page.evaluate(UNFOLD)
        across = page.evaluate("document.documentElement.scrollWidth")
        if across > width:
            problems.append(f"{scheme} {width}: {across} pixels wide")
        page.evaluate(axe)
        problems += [f"{scheme} {width}: {found}" for found in page.evaluate(VIOLATIONS)]
        problems += [
            f"{scheme} {width}: {line}" for line in said if "404" not in line or path != "/nothing/here"
        ]
    assert problems == []


@pytest.mark.parametrize("path", ["/", "/runs", "/pilots/pilot-000", "/runs/{real}"])
def test_a_page_can_be_read_without_scripts(open_page: OpenPage, names: dict[str, str], path: str):
    page = open_page(path.format(**names), scripts=False)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.locator("table tbody tr").count() > 0
    if path == "/runs":
        page.get_by_label("State").select_option("failed")
        page.get_by_role("button", name="Show").click()
        assert page.url.endswith("state=failed")
        assert set(page.locator("td[data-label=State] .badge").all_text_contents()) == {"failed"}


def test_the_chosen_theme_holds_over_pages_without_a_flash(open_page: OpenPage):
    page = open_page("/", scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Change between light and dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.goto("/runs", wait_until="commit")
    page.wait_for_selector("h1")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_the_keyboard_reaches_the_content_first_and_everything_shows_that_it_has_the_focus(
    open_page: OpenPage,
):
    page = open_page("/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(4):
        page.keyboard.press("Tab")
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring != "none", page.evaluate("document.activeElement.outerHTML")


def test_a_run_is_started_with_parameters_and_cancelled_with_a_reason(open_page: OpenPage):
    page = open_page("/pilots/parcels")
    page.get_by_label("Why?").fill("to see whether more helps")
    page.get_by_text("With other parameters").click()
    page.get_by_label("Values below train").fill("train.params.C = 0.5")
    page.get_by_label("Execute every step again").check()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".notice.done")).to_contain_text("was asked for")
    expect(page.locator("[data-live-part=state]")).to_contain_text("to see whether more helps")
    expect(page.get_by_text("train.params.C")).to_be_visible()
    page.get_by_text("Cancel", exact=True).click()
    page.get_by_label("Why? It is kept in the audit.").fill("seen enough")
    page.get_by_role("button", name="Cancel this run").click()
    expect(page.locator(".notice.done")).to_contain_text("was cancelled")
    expect(page.locator("[data-live-part=state]")).to_contain_text("cancelled")


def test_a_wrong_parameter_is_told_with_what_to_do(open_page: OpenPage):
    page = open_page("/pilots/parcels", scripts=False)
    page.locator("summary", has_text="With other parameters").click()
    page.get_by_label("Values below train").fill("goal.target = 0")
    with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
        page.get_by_role("button", name="Start", exact=True).click()
    assert answer.value.status == 422
    expect(page.locator(".problem")).to_contain_text("not of a key below train.")


def test_performance_can_be_zoomed_into_under_the_strict_policy(open_page: OpenPage):
    # The policy refuses the few style attributes that Plotly writes itself; it draws without them.
    page = open_page("/pilots/pilot-000", tolerated="Applying inline style")
    assert page.evaluate("typeof window.Plotly") == "undefined"
    page.get_by_text("Performance to zoom into").click()
    expect(page.locator(".plot .legendtext").first).to_have_text("from labels", timeout=20_000)
    assert page.locator(".plot .scatterlayer .trace").count() == 2
    assert page.locator(".plot svg.main-svg").first.bounding_box()["height"] > 200  # type: ignore[index]
