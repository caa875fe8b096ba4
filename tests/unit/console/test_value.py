"""`pilotage value`: the same money on the terminal, as JSON, and by another name of the pilot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.console.calls import Call
from tests.unit.console.monitored import know
from tests.unit.pipelines.drift_reports import TEXT, VALUE, brought, realized, report, spec

from pilotage.console.operations.desks import Desk
from pilotage.core import settings
from pilotage.pipelines.retraining import observations


@pytest.fixture
def folder(call: Call) -> Path:
    """A pilot whose two hours brought 950 EUR, in the installation of the commands."""
    place = Path("small")
    place.mkdir()
    (place / "pilot.yaml").write_text(TEXT.format(name="small", value=VALUE))
    desk = Desk(settings.load())
    know(desk, spec())
    told = [report(0, brought=brought(500.0, 100.0)), report(1, brought=brought(450.0, 100.0)), report(2)]
    observations.observe(desk.settings, spec(), told)
    return place


def test_money_is_told_with_what_it_was_counted_on(call: Call, folder: Path):
    called = call("value", folder)
    assert called.code == 0
    printed = " ".join(called.out.split())
    assert "has brought 950 EUR on 200 labelled rows, +750 against its baseline (200)" in printed
    assert "33% of 600 served rows are labelled" in printed
    assert "On 400 served rows it is an estimated 1,500 (1,497 to 1,503) EUR" in printed


def test_a_pilots_name_will_do_and_json_is_the_whole(call: Call, folder: Path):
    by_folder, by_name = call("value", folder, "--json"), call("value", "small", "--json")
    assert json.loads(by_folder.out) == json.loads(by_name.out)
    found = json.loads(by_name.out)
    assert (found["total"]["gain"], found["currency"], len(found["points"])) == (750.0, "EUR", 3)


def test_time_and_period_are_chosen_or_refused_by_name(call: Call, folder: Path):
    one = json.loads(call("value", "small", "--since", "2026-03-02T01:00:00Z", "--json").out)
    assert one["total"]["measured"] == 450.0
    for option, text in (("--period", "year"), ("--since", "soon"), ("--until", "never")):
        called = call("value", "small", option, text)
        assert (called.code, f"{option} {text}" in called.err) == (2, True)


def test_without_prices_the_metric_is_told(call: Call):
    plain = spec(value="")
    desk = Desk(settings.load())
    know(desk, plain)
    observations.observe(desk.settings, plain, [report(0, performance=realized(0.72))])
    called = call("value", "small")
    assert "0.72" in called.out
    assert "says no `goal.value`" in called.out


def test_a_pilot_that_is_not_here_is_named(call: Call):
    called = call("value", "nothing")
    assert (called.code, "no pilot `nothing`" in called.err) == (2, True)
