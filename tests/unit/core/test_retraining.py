"""Quiet hours follow the clock of a place, also when it is changed; a mistake in a limit is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.core import errors, pilots
from pilotage.core.specs import QuietHours, Retrain, quiet_until

NIGHT = QuietHours.model_validate({"from": "22:00", "to": "06:00", "time_zone": "Europe/Berlin"})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        pytest.param("2026-01-10T20:59:59Z", None, id="before"),
        pytest.param("2026-01-10T21:00:00Z", "2026-01-11T05:00:00Z", id="winter"),
        pytest.param("2026-07-10T21:00:00Z", "2026-07-11T04:00:00Z", id="summer-began-at-20"),
        pytest.param("2026-07-11T03:59:59.5Z", "2026-07-11T04:00:00Z", id="the-last-second"),
        pytest.param("2026-07-11T04:00:00Z", None, id="after"),
        pytest.param("2026-03-28T21:30:00Z", "2026-03-29T04:00:00Z", id="the-short-night"),
        pytest.param("2026-10-24T20:30:00Z", "2026-10-25T05:00:00Z", id="the-long-night"),
    ],
)
def test_a_night_ends_in_the_morning_of_its_place(moment: str, until: str | None) -> None:
    assert quiet_until([NIGHT], at(moment)) == (None if until is None else at(until))


def test_an_hour_that_comes_twice_is_quiet_twice_and_one_left_out_ends_nothing_late() -> None:
    hours = QuietHours.model_validate({"from": "02:00", "to": "02:30", "time_zone": "Europe/Berlin"})
    assert [hours.holds(at(f"2026-10-25T{hour}:15:00Z")) for hour in ("00", "01", "02")] == [
        True,
        True,
        False,
    ]
    assert not any(hours.holds(at("2026-03-29T00:00:00Z") + timedelta(minutes=n)) for n in range(180))
    late = QuietHours.model_validate({"from": "01:00", "to": "02:30", "time_zone": "Europe/Berlin"})
    assert quiet_until([late], at("2026-03-29T00:10:00Z")) == at("2026-03-29T01:00:00Z")


def test_several_hours_in_several_places_are_quiet_together() -> None:
    noon = QuietHours.model_validate({"from": "06:00", "to": "07:00", "time_zone": "Europe/Berlin"})
    assert quiet_until([NIGHT, noon], at("2026-01-10T22:00:00Z")) == at("2026-01-11T06:00:00Z")


@given(st.integers(0, 366 * 86400))
def test_when_they_end_none_hold(second: int) -> None:
    moment = at("2026-01-01T00:00:00Z") + timedelta(seconds=second)
    until = quiet_until([NIGHT], moment)
    assert (until is not None) == NIGHT.holds(moment)
    if until is not None:
        assert moment < until <= moment + timedelta(hours=9)
        assert not NIGHT.holds(until)
        assert NIGHT.holds(until - timedelta(minutes=1))


def test_what_was_read_is_written_as_it_was() -> None:
    content = {"quiet_hours": [{"from": "22:00", "to": "06:00"}], "budget": {"runs": 4, "per": "1w"}}
    retrain = Retrain.model_validate(content)
    assert retrain.model_dump(mode="json", exclude_unset=True) == content
    assert Retrain.model_validate_json(retrain.model_dump_json()) == retrain


@pytest.mark.parametrize(
    ("retrain", "said"),
    [
        ('quiet_hours: [{from: "22:00", to: "6:00"}]', 'a time of day is written "22:00"'),
        ('quiet_hours: [{from: "24:00", to: "06:00"}]', "not `24:00`"),
        ("quiet_hours: [{from: 2200, to: 600}]", "not `2200`"),
        ('quiet_hours: [{from: "22:00", to: "22:00"}]', "no time or all day"),
        ('quiet_hours: [{from: "22:00"}]', "is missing"),
        ('quiet_hours: [{from: "22:00", to: "06:00", zone: UTC}]', "is not a key of pilot.yaml here"),
        (
            'quiet_hours: [{from: "22:00", to: "06:00", time_zone: Europe/Berlim}]',
            "`Europe/Berlim` is no time",
        ),
        ('quiet_hours: [{from: "22:00", to: "06:00", time_zone: ../etc/passwd}]', "is no time zone"),
        ('quiet_hours: [{from: "00:00", to: "12:00"}, {from: "12:00", to: "00:00"}]', "cover the whole day"),
        ("budget: {runs: 0, per: 7d}", "greater than or equal to 1"),
        ("budget: {runs: 4}", "is missing"),
        ("budget: {runs: 4, per: week}", "a duration is a number with a unit"),
        ("bugdet: {runs: 4, per: 7d}", "did you mean `budget`?"),
    ],
)
def test_a_mistake_is_named_with_its_line(retrain: str, said: str) -> None:
    text = "version: 1\npilot: small\ndata: {source: a.csv, target: y}\ngoal: {metric: roc_auc}\nretrain:\n  "
    with pytest.raises(errors.SpecError) as caught:
        pilots.parse(text + retrain + "\n")
    assert said in str(caught.value)
    assert "pilot.yaml:6: `retrain." in str(caught.value)
