"""What people come for, in a browser: the first start, a decision on a version, an alarm, being kept out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.integration.console.conftest import OpenPage
from tests.integration.console.processes import Console
from tests.unit.console.browsers import PASSWORD
from tests.unit.console.desks import actor

from pilotage.console.access import links
from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.operations.access import users
from pilotage.console.operations.desks import Desk
from pilotage.core.settings import Settings
from pilotage.pipelines.journals import audits

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def desk(trained: Settings) -> Iterator[Desk]:
    """The installation, for what the test does beside the browser."""
    found = Desk(trained)
    yield found
    found.engine.dispose()


@pytest.fixture
def stranger(browser: Browser, console: Console) -> Iterator[Page]:
    """A page of somebody who is not signed in."""
    context = browser.new_context(base_url=console.url)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def waiting(trained: Settings) -> int:
    """A version that was trained for real and waits for a person."""
    folder = trained.home.parent / "parcels"
    text = (folder / "pilot.yaml").read_text()
    (folder / "pilot.yaml").write_text(f"{text}approval: manual\n")
    environment = {**os.environ, "PILOTAGE_HOME": str(trained.home)}
    command = [sys.executable, "-m", "pilotage.console", "run", str(folder), "--no-cache", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    (folder / "pilot.yaml").write_text(text)
    document = json.loads(done.stdout)
    assert document["decision"] == "pending", done.stderr
    return int(document["version"])


def sign_in(page: Page, name: str) -> None:
    """Fill in the form."""
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_the_first_start_is_one_link_that_works_once(stranger: Page, desk: Desk, console: Console):
    link = links.create_link(desk)
    stranger.goto(link)
    stranger.locator("main").get_by_role("button", name="Sign in").click()
    expect(stranger).to_have_url(f"{console.url}/")
    expect(stranger.get_by_role("heading", level=1)).to_have_text("Pilots")
    expect(stranger.get_by_role("row").filter(has_text="parcels")).to_contain_text("version 1")
    stranger.get_by_role("button", name="Sign out").click()
    expect(stranger).to_have_url(f"{console.url}/sign-in")
    stranger.goto(link)
    stranger.locator("main").get_by_role("button", name="Sign in").click()
    expect(stranger.get_by_text("was used before")).to_be_visible()


def test_who_is_not_signed_in_comes_back_to_where_they_wanted_to_go(
    stranger: Page, desk: Desk, console: Console
):
    users.add_user(desk, actor(), "otto", password=PASSWORD, grants=(Grant(ALL, Role.OPERATOR),))
    stranger.goto("/runs?state=failed")
    sign_in(stranger, "otto")
    expect(stranger).to_have_url(f"{console.url}/runs?state=failed")


def test_a_viewer_sees_everything_of_their_pilot_and_can_change_nothing(
    stranger: Page, desk: Desk, console: Console
):
    users.add_user(desk, actor(), "vera", password=PASSWORD, grants=(Grant("parcels", Role.VIEWER),))
    stranger.goto("/")
    sign_in(stranger, "vera")
    expect(stranger.get_by_role("link", name="parcels", exact=True)).to_be_visible()
    assert stranger.get_by_text("pilot-000").count() == 0
    stranger.goto("/pilots/parcels")
    assert stranger.get_by_role("button", name="Start").count() == 0
    csrf = stranger.locator("input[name=csrf]").first.input_value()
    refused = stranger.request.post(
        "/pilots/parcels/runs", form={"csrf": csrf}, headers={"Origin": console.url}
    )
    assert refused.status == 403
    assert stranger.goto("/pilots/pilot-000").status == 404  # type: ignore[union-attr]


def test_a_version_is_approved_promoted_over_and_rolled_back_and_all_of_it_is_told(
    open_page: OpenPage, waiting: int, desk: Desk
):
    page = open_page("/pilots/parcels")
    expect(page.locator("[data-live-part=next]")).to_contain_text(f"Version {waiting} passed its gates")
    page.get_by_role("link", name="Approve or reject").click()
    page.locator("summary", has_text="Approve").first.click()
    page.get_by_label("Why, for the record").first.fill("looks right to me")
    page.locator("details[open]").get_by_role("button", name="Approve").click()
    expect(page.get_by_text(f"Version {waiting} serves.")).to_be_visible()
    page.locator("summary", has_text="Roll back").click()
    page.locator("details[open]").get_by_label("Why, for the record").fill("it was not")
    page.locator("details[open]").get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("Version 1 serves.")).to_be_visible()
    page.goto("/audit")
    told = page.get_by_role("row")
    expect(told.filter(has_text="looks right to me")).to_contain_text("approve")
    expect(told.filter(has_text="it was not")).to_contain_text("rollback")
    page.goto("/pilots/parcels")
    past = page.locator("[data-live-part=past]")
    expect(past).to_contain_text(f"Version {waiting} was approved in place of 1: looks right to me")
    expect(past).to_contain_text("came back by a rollback")
    actions = [line.action for line in audits.read(desk.engine, "parcels")]
    assert actions[:2] == ["rollback", "approve"]


def test_an_alarm_leads_from_the_first_page_to_its_cause_and_is_acknowledged(open_page: OpenPage):
    page = open_page("/")
    page.get_by_role("link", name="1 alarm").first.click()
    expect(page.get_by_text("feature_03").first).to_be_visible()
    page.locator("summary", has_text="Acknowledge").first.click()
    page.locator("details[open]").get_by_label("What is done about it").fill("the sensor was replaced")
    page.locator("details[open]").get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("the sensor was replaced")).to_be_visible()
    page.goto("/pilots/pilot-000")
    expect(page.locator("[data-live-part=next]")).not_to_contain_text("feature_03")


def test_a_retraining_is_asked_for_now_and_its_run_waits(open_page: OpenPage):
    page = open_page("/pilots/parcels/monitoring")
    page.locator("summary", has_text="Retrain now").click()
    page.locator("details[open]").get_by_label("Why").fill("the price list changed")
    page.locator("details[open]").get_by_role("button", name="Retrain now").click()
    page.goto("/runs?pilot=parcels&state=pending")
    expect(page.locator("[data-live-part=runs]")).to_contain_text("the price list changed")


def test_a_live_page_of_somebody_who_was_signed_out_goes_to_the_door(
    stranger: Page, desk: Desk, console: Console
):
    users.add_user(desk, actor(), "gone", password=PASSWORD, grants=(Grant(ALL, Role.VIEWER),))
    stranger.goto("/runs")
    sign_in(stranger, "gone")
    expect(stranger.get_by_role("heading", level=1)).to_have_text("Runs")
    stranger.context.clear_cookies()
    console.kill()
    console.start()
    expect(stranger.get_by_role("heading", level=1)).to_have_text("Sign in", timeout=20_000)


def test_a_test_of_readiness_is_vouched_for_and_the_note_is_taken_back(open_page: OpenPage, desk: Desk):
    page = open_page("/pilots/parcels/readiness")
    entry = page.locator("#data-5")
    expect(entry).to_contain_text("0 points")
    entry.locator("summary", has_text="Vouch for it").click()
    entry.get_by_label("What was done, with which result").fill("Legal has seen <b>every</b> column")
    entry.get_by_role("button", name="Vouch for it").click()
    expect(page.locator(".notice.done")).to_contain_text("You vouch for data-5")
    expect(entry).to_contain_text("½ point")
    expect(entry).to_contain_text("Legal has seen <b>every</b> column")
    entry.locator("summary", has_text="Withdraw the note").click()
    entry.get_by_label("Why").fill("one was added since")
    entry.get_by_role("button", name="Withdraw the note").click()
    expect(page.locator("#data-5")).to_contain_text("0 points")
    told = [line.action for line in audits.read(desk.engine, "parcels", limit=2)]
    assert told == ["readiness-withdraw", "readiness-note"]
