"""The index of windows and alarms: what reports say, once, and what people said of it for ever."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.unit.pipelines.drift_reports import (
    HOUR,
    MADE,
    START,
    alarm,
    brought,
    drift,
    estimated,
    realized,
    report,
    spec,
)

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.core.specs import Cause
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, outbox
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.retraining import observations
from pilotage.pipelines.retraining.observations import AlarmState

pytestmark = pytest.mark.databases


def _rows(installation: Settings, name: str) -> list[Any]:
    table = tables.metadata.tables[name]
    with tables.connect(installation).connect() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key.columns)))


def _alarm(installation: Settings, number: int = 0) -> Any:
    return _rows(installation, "alarms")[number]


def _acknowledge(installation: Settings, name: str, **said: str) -> bool:
    engine = tables.connect(installation)
    return observations.acknowledge(engine, "small", name, **{"who": "ann", "why": "seen", **said})


def test_a_report_becomes_a_row_with_what_lists_show(installation: Settings):
    told = report(
        3, effect=0.25, performance=realized(0.72), estimated=estimated(0.74), brought=brought(400.0, 100.0)
    )
    observations.observe(installation, spec(), [told])
    (row,) = _rows(installation, "windows")
    assert (row.pilot, row.version, row.start, row.end) == ("small", 1, told.start, told.end)
    assert row.features == {
        "distance": {"effect": 0.25, "drifted": True, "persistent": True, "importance": 0.6},
        "carrier": {"effect": 0.01},
    }
    assert row.score == {"effect": 0.02}
    assert (row.drifted, row.metric, row.realized, row.estimated) == (1, "roc_auc", 0.72, 0.74)
    assert (row.currency, row.value, row.baseline, row.gain) == ("EUR", 400.0, 100.0, 600.0)
    assert row.report == "windows/small/reports/1/20260302T030000Z"


def test_known_reports_change_nothing_and_new_ones_take_the_place_of_the_old(installation: Settings):
    for _ in range(2):
        observations.observe(installation, spec(), [report(hour) for hour in range(3)])
    before = _rows(installation, "windows")
    observations.observe(installation, spec(), [report(1, effect=0.5, made=MADE + HOUR)])
    after = _rows(installation, "windows")
    assert [row.drifted for row in before] == [0, 0, 0]
    assert [row.drifted for row in after] == [0, 1, 0]


def test_days_are_the_sums_of_their_windows(installation: Settings):
    reports = [
        report(hour, brought=brought(10.0 * hour, 3.0, error=2.0), performance=realized(0.7 + hour / 1000))
        for hour in range(30)
    ]
    observations.observe(installation, spec(), reports[:20])
    observations.observe(installation, spec(), reports[20:])
    first, second = _rows(installation, "days")
    assert (first.windows, second.windows) == (24, 6)
    assert first.value + second.value == pytest.approx(sum(10.0 * hour for hour in range(30)))
    assert first.gain_variance + second.gain_variance == pytest.approx(30 * 4.0)
    assert first.realized == pytest.approx(0.7 + sum(range(24)) / 24 / 1000)
    assert first.realized_error == pytest.approx(0.02 / 1.959963984540054 / math.sqrt(24))
    assert second.day == START + timedelta(days=1)


def test_windows_of_other_prices_are_no_part_of_the_money(installation: Settings):
    other = spec(value="  value: {true_positive: 1, currency: USD}\n")
    observations.observe(installation, other, [report(0, brought=brought(5.0, 1.0))])
    (day,) = _rows(installation, "days")
    assert (day.currency, day.value, day.labelled, day.rows) == ("USD", 0.0, 0, 200)


def test_a_window_without_labels_has_rows_and_no_money(installation: Settings):
    observations.observe(installation, spec(), [report(0)])
    (day,) = _rows(installation, "days")
    assert (day.rows, day.labelled, day.gain_rows, day.realized) == (200, 0, 0, None)


def test_an_alarm_is_kept_told_and_opens_a_trigger_in_one_transaction(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
):
    told = [report(0, effect=0.3, alarms=(alarm(0),))]

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the machine went down")

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "emit", fail)
        with pytest.raises(RuntimeError):
            observations.observe(installation, spec(), told)
    assert _rows(installation, "windows") == _rows(installation, "alarms") == []
    (opened,) = observations.observe(installation, spec(), told)
    assert observations.observe(installation, spec(), told) == []
    assert (opened.alarm, _alarm(installation).state) == (alarm(0).id, AlarmState.OPEN)
    with tables.connect(installation).connect() as connection:
        assert len(outbox.events(connection, "small", Kind.ALARM_RAISED)) == 1


def test_what_people_said_of_an_alarm_outlives_its_report(installation: Settings):
    observations.observe(installation, spec(), [report(0, effect=0.3, alarms=(alarm(0),))])
    assert _acknowledge(installation, alarm(0).id)
    again = report(0, effect=0.4, alarms=(alarm(0).model_copy(update={"message": "more"}),), made=MADE + HOUR)
    observations.observe(installation, spec(), [again])
    observations.reindex(installation, spec(), [again])
    row = _alarm(installation)
    assert (row.state, row.who, row.why, row.message) == ("acknowledged", "ann", "seen", "more")


def test_acknowledging_is_audited_once(installation: Settings):
    observations.observe(installation, spec(), [report(0, effect=0.3, alarms=(alarm(0),))])
    assert [_acknowledge(installation, alarm(0).id, who=who) for who in ("ann", "bob")] == [True, False]
    records = [line for line in audits.read(tables.connect(installation)) if line.action == "acknowledge"]
    assert [(line.who, line.version, line.details["alarm"]) for line in records] == [("ann", 1, alarm(0).id)]
    with pytest.raises(errors.NotFound, match="has no alarm `nothing`"):
        _acknowledge(installation, "nothing")


@pytest.mark.parametrize("acknowledged", [False, True])
def test_an_alarm_is_closed_by_the_next_window_that_is_well(installation: Settings, acknowledged: bool):
    observations.observe(installation, spec(), [report(0, effect=0.3, alarms=(alarm(0),))])
    if acknowledged:
        _acknowledge(installation, alarm(0).id)
    few = report(1, rows=observations.LEAST_ROWS - 1)
    observations.observe(installation, spec(), [few, report(2, effect=0.3), report(3, version=2)])
    assert _alarm(installation).state != AlarmState.CLOSED
    observations.observe(installation, spec(), [report(4), report(5)])
    row = _alarm(installation)
    assert (row.state, row.closed_why) == ("closed", "the window of 2026-03-02 04:00 UTC is well")
    assert (row.who == "ann") == acknowledged


def test_a_drop_is_over_when_labels_say_so_and_not_when_columns_are_well(installation: Settings):
    dropped = report(0, performance=realized(0.5, dropped=True), alarms=(alarm(0, Cause.PERFORMANCE),))
    observations.observe(installation, spec(), [dropped, report(1), report(2, estimated=estimated(0.75))])
    assert _alarm(installation).state == AlarmState.OPEN
    observations.observe(installation, spec(), [report(3, performance=realized(0.75))])
    assert _alarm(installation).state == AlarmState.CLOSED


def test_alarms_about_a_version_that_was_replaced_are_closed(installation: Settings):
    told = [report(0, effect=0.3, alarms=(alarm(0),)), report(1, version=2, alarms=(alarm(1, version=2),))]
    observations.observe(installation, spec(), told, champion=2)
    first, second = _rows(installation, "alarms")
    assert (first.state, first.closed_why) == ("closed", "version 2 is champion")
    assert second.state == "open"


def test_an_alarm_that_its_window_takes_back_is_closed_and_opens_again_when_it_says_so_again(
    installation: Settings,
):
    raised = report(0, effect=0.3, alarms=(alarm(0),))
    observations.observe(installation, spec(), [raised])
    _acknowledge(installation, alarm(0).id)
    observations.observe(installation, spec(), [report(0, made=MADE + HOUR)])
    assert _alarm(installation).state == AlarmState.CLOSED
    observations.observe(installation, spec(), [raised.model_copy(update={"created_at": MADE + 2 * HOUR})])
    row = _alarm(installation)
    assert (row.state, row.who, row.closed_at) == ("acknowledged", "ann", None)


def test_the_index_made_anew_has_what_is_stored_and_nothing_else(installation: Settings):
    observations.observe(installation, spec(), [report(hour, brought=brought(1.0, 0.0)) for hour in range(5)])
    observations.observe(installation, spec("other"), [report(0, pilot="other")])
    before = [_rows(installation, name) for name in ("windows", "days")]
    assert (
        observations.reindex(
            installation, spec(), [report(hour, brought=brought(1.0, 0.0)) for hour in range(5)]
        )
        == 5
    )
    assert [_rows(installation, name) for name in ("windows", "days")] == before
    observations.reindex(installation, spec(), [report(4)])
    kept = [(row.pilot, row.start) for row in _rows(installation, "windows")]
    assert kept == [("other", START), ("small", START + 4 * HOUR)]


def test_an_index_that_is_made_anew_opens_no_alarm_that_is_over(installation: Settings):
    replaced = report(0, effect=0.3, alarms=(alarm(0),))
    over = report(1, version=2, effect=0.3, alarms=(alarm(1, version=2),))
    reports = [replaced, over, report(2, version=2)]
    observations.observe(installation, spec(), reports, champion=2)
    before = _rows(installation, "alarms")
    assert [row.state for row in before] == [AlarmState.CLOSED] * 2
    observations.reindex(installation, spec(), reports)
    assert _rows(installation, "alarms") == before
    worse = report(0, effect=0.4, alarms=(alarm(0),), made=MADE + HOUR)  # stored, and not observed yet
    observations.reindex(installation, spec(), [worse, *reports[1:]])
    states = {row.id: row.state for row in _rows(installation, "alarms")}
    assert states == {alarm(0).id: AlarmState.OPEN, alarm(1, version=2).id: AlarmState.CLOSED}


def test_a_year_of_hours_is_indexed_in_seconds(installation: Settings):
    reports = [report(hour, brought=brought(1.0, 0.5)) for hour in range(2000)]
    observations.observe(installation, spec(), reports)
    with tables.connect(installation).connect() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.windows)) == 2000
        assert connection.scalar(select(func.sum(tables.days.c.value))) == pytest.approx(2000.0)


def test_an_undefined_metric_is_no_number(installation: Settings):
    unknown = realized(0.7).model_copy(update={"value": None, "low": None, "high": None})
    observations.observe(installation, spec(), [report(0, performance=unknown)])
    (row,) = _rows(installation, "windows")
    assert (row.realized, row.labelled, row.performance_well) == (None, 100, False)


def test_a_report_with_a_drifted_score_is_not_well(installation: Settings):
    observations.observe(installation, spec(), [report(0, effect=0.3, alarms=(alarm(0),))])
    moved = report(1).model_copy(update={"score": drift("score", 0.4, drifted=True)})
    observations.observe(installation, spec(), [moved])
    assert _alarm(installation).state == AlarmState.OPEN
