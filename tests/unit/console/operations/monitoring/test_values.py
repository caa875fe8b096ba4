"""Value over time: parts add up to the whole, what is estimated is told apart, and money has one currency."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.console.desks import actor, client
from tests.unit.console.monitored import know, watch
from tests.unit.pipelines.drift_reports import HOUR, START, brought, estimated, realized, report, spec

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.monitoring import values
from pilotage.console.operations.monitoring.values import Amount, Period
from pilotage.core import errors
from pilotage.pipelines.journals import days
from pilotage.pipelines.retraining import observations

MONEY = st.floats(-1e6, 1e6, allow_nan=False)


def _amount(value: float, baseline: float, half: float, rows: int) -> Amount:
    gain = value - baseline
    return Amount(
        currency="EUR", rows=rows, labelled=rows, measured=value, baseline=baseline, gain=gain,
        estimated={"value": gain, "low": gain - half, "high": gain + half}, estimated_rows=rows,
    )  # fmt: skip


AMOUNTS = st.lists(
    st.builds(_amount, MONEY, MONEY, st.floats(0, 1e4), st.integers(1, 1000)), min_size=1, max_size=12
)


@given(amounts=AMOUNTS, cut=st.integers(0, 12))
def test_parts_add_up_to_the_whole_wherever_they_are_cut(amounts: list[Amount], cut: int):
    whole = values.add("EUR", amounts)
    parts = values.add("EUR", [values.add("EUR", amounts[:cut]), values.add("EUR", amounts[cut:])])
    for name in ("rows", "labelled", "measured", "baseline", "gain", "estimated_rows"):
        assert getattr(whole, name) == pytest.approx(getattr(parts, name), abs=1e-5)
    assert whole.estimated is not None
    assert parts.estimated is not None
    assert parts.estimated.high == pytest.approx(whole.estimated.high, abs=1e-5)
    assert whole.gain == pytest.approx(whole.measured - whole.baseline, abs=1e-5)


@pytest.fixture
def desk_of_days(desk: Desk) -> Desk:
    """Sixty days of four windows each, of two versions that serve at once on some."""
    told = [
        report(
            6 * number,
            version=1 + (number >= 120),
            brought=brought(100.0 + number, 40.0, error=3.0) if number % 3 else None,
            performance=realized(0.7) if number % 3 else None,
            estimated=estimated(0.72),
        )
        for number in range(240)
    ]
    know(desk, spec())
    observations.observe(desk.settings, spec(), told)
    return desk


@pytest.mark.parametrize("period", list(Period))
def test_every_period_tells_the_same_total(desk_of_days: Desk, period: Period):
    found = values.get_value(desk_of_days, actor(), "small", period=period)
    assert found.total is not None
    labelled = [number for number in range(240) if number % 3]
    assert found.total.measured == pytest.approx(sum(100.0 + number for number in labelled))
    assert (found.total.rows, found.total.labelled) == (240 * 200, 160 * 100)
    assert found.total.estimated is not None
    assert found.total.estimated.value == pytest.approx(2 * found.total.gain)
    assert found.total.estimated.high is not None
    half = found.total.estimated.high - found.total.estimated.value
    assert half == pytest.approx(days.Z95 * 3.0 * math.sqrt(160))
    assert found.total.estimated_rows == 160 * 200
    starts = [point.start for point in found.points]
    assert starts == sorted(starts)
    expected = {Period.WINDOW: 240, Period.DAY: 60, Period.WEEK: 9, Period.MONTH: 2}
    assert len(found.points) == expected[period]


@pytest.mark.databases
def test_the_period_fits_the_length_of_time(desk_of_days: Desk):
    whole = values.get_value(desk_of_days, actor(), "small")
    few = values.get_value(desk_of_days, actor(), "small", since=START, until=START + timedelta(days=10))
    assert (whole.period, few.period) == (Period.DAY, Period.WINDOW)
    assert len(few.points) == 40


def test_a_metric_of_days_is_weighted_by_what_it_was_measured_on(desk: Desk):
    told = [
        report(0, performance=realized(0.8, labelled=300), rows=400),
        report(1, performance=realized(0.6, labelled=100), rows=400),
    ]
    watch(desk, spec(value=""), told)
    found = values.get_value(desk, actor(), "small", period=Period.DAY)
    assert (found.currency, found.total, found.target) == (None, None, 0.7)
    (point,) = found.points
    assert point.amount is None
    assert point.realized is not None
    assert point.realized.value == pytest.approx(0.75)
    half = math.sqrt((300 * 0.02) ** 2 + (100 * 0.02) ** 2) / 400
    assert point.realized.high == pytest.approx(0.75 + half)


@pytest.mark.databases
def test_amounts_of_another_currency_are_left_out(desk: Desk):
    watch(desk, spec(), [report(0, brought=brought(10.0, 5.0))])
    dollars = spec(value="  value: {true_positive: 1, currency: USD}\n")
    paid = brought(7.0, 1.0).model_copy(update={"currency": "USD"})
    watch(desk, dollars, [report(30, brought=paid)])
    for period in (Period.WINDOW, Period.DAY):
        found = values.get_value(desk, actor(), "small", period=period)
        assert found.total is not None
        assert (found.total.currency, found.total.measured) == ("USD", 7.0)
    assert values.totals(desk, actor(), ["small"])["small"].measured == 7.0


@pytest.mark.databases
def test_totals_of_many_pilots_are_those_of_each(desk: Desk):
    for name in ("a", "b", "c"):
        priced = spec(name, value="") if name == "c" else spec(name)
        watch(desk, priced, [report(hour, pilot=name, brought=brought(9.0, 2.0)) for hour in range(5)])
    found = values.totals(desk, actor(), ["a", "b", "c", "d"])
    assert sorted(found) == ["a", "b"]
    assert found["a"] == values.get_value(desk, actor(), "a").total
    assert sorted(values.totals(desk, actor(Role.VIEWER, pilot="b"), ["a", "b"])) == ["b"]


def test_too_many_windows_are_refused_with_what_to_do(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(values, "MOST_POINTS", 3)
    watch(desk, spec(), [report(hour) for hour in range(4)])
    with pytest.raises(errors.SettingsError, match="more than 3 windows"):
        values.get_value(desk, actor(), "small", period=Period.WINDOW)
    answer = client(desk).get("/api/v1/pilots/small/value", params={"period": "window"})
    assert (answer.status_code, "longer `period`" in answer.json()["remedy"]) == (422, True)


def test_a_pilot_that_nothing_was_served_of_has_brought_nothing(desk: Desk):
    know(desk, spec())
    found = values.get_value(desk, actor(), "small")
    assert found.points == ()
    assert found.total is not None
    assert (found.total.gain, found.total.estimated) == (0.0, None)


@settings(max_examples=60)
@given(day=st.dates(date(1970, 1, 1), date(2999, 12, 31)), period=st.sampled_from(list(Period)[1:]))
def test_each_day_is_in_one_period(day: date, period: Period):
    moment = datetime.combine(day, time(), UTC)
    start = values.begin_of(moment, period)
    end = values.end_of(start, period)
    assert start <= moment < end
    assert values.begin_of(end, period) == end
    assert values.begin_of(end - timedelta(days=1), period) == start


def test_value_over_the_api_is_the_operation(desk_of_days: Desk):
    answer = client(desk_of_days).get(
        "/api/v1/pilots/small/value", params={"since": (START + HOUR).isoformat(), "period": "week"}
    )
    assert answer.status_code == 200
    assert answer.json()["total"]["currency"] == "EUR"
    for wrong in ("2026-03-02T00:00:00", "0001-01-01T00:00:00+14:00", "soon"):
        assert (
            client(desk_of_days).get("/api/v1/pilots/small/value", params={"since": wrong}).status_code == 422
        )
