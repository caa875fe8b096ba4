"""Budget, quiet hours and snoozes let triggers wait, say why and until when, and lose none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.pipelines.retraining.test_triggers import DAY, START, Launches, _alarm, carry_out

from pilotage.core import errors, pilots
from pilotage.core.artifacts import Trigger, TriggerState, Wait
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, outbox
from pilotage.pipelines.retraining import triggers, waits

TEXT = (
    "version: 1\npilot: small\ndata: {source: rows.csv, target: y}\ngoal: {metric: roc_auc}\n"
    "retrain: {cooldown: 1h, budget: {runs: 2, per: 7d},"
    ' quiet_hours: [{from: "22:00", to: "06:00", time_zone: Europe/Berlin}]}\n'
)
SPEC = pilots.parse(TEXT)
NOON, NIGHT = datetime(2026, 7, 10, 12, tzinfo=UTC), datetime(2026, 7, 10, 23, tzinfo=UTC)

pytestmark = pytest.mark.databases


@pytest.fixture
def launches() -> Iterator[Launches]:
    launches = Launches()
    yield launches
    launches.kill()


@pytest.fixture
def look(installation: Settings, launches: Launches) -> Callable[..., Trigger]:
    """A pass with an alarm of a day of the data; returns its trigger."""

    def dispatch(day: int, clock: datetime = NOON, moment: datetime | None = None) -> Trigger:
        triggers.open_triggers(installation, SPEC, [_alarm(day)])
        triggers.dispatch(installation, SPEC, Path("/p"), moment=moment, clock=clock, launch=launches)
        return next(item for item in triggers.triggers(installation) if item.alarm == _alarm(day).id)

    return dispatch


def test_no_more_runs_start_in_a_period_than_the_budget_has(installation, look: Callable[..., Trigger]):
    for day in (1, 3):
        assert look(day).state is TriggerState.STARTED
        carry_out(installation, look(day).id)
    waiting = look(5)
    assert (waiting.state, waiting.waits_for, waiting.until) == (
        TriggerState.WAITING, Wait.BUDGET, START + 8 * DAY,
    )  # fmt: skip
    started = look(5, moment=START + 8 * DAY)
    assert (started.state, started.waits_for, started.until) == (TriggerState.STARTED, None, None)


def test_a_trigger_in_the_night_starts_in_the_morning(look: Callable[..., Trigger]):
    waiting = look(1, NIGHT)
    assert (waiting.state, waiting.waits_for, waiting.until) == (
        TriggerState.WAITING, Wait.QUIET_HOURS, datetime(2026, 7, 11, 4, tzinfo=UTC),
    )  # fmt: skip
    assert look(1, NIGHT + timedelta(hours=4, minutes=59)).state is TriggerState.WAITING
    assert look(1, NIGHT + timedelta(hours=5)).state is TriggerState.STARTED


def test_a_snoozed_pilot_is_trained_when_the_snooze_ends(installation, look: Callable[..., Trigger]):
    made = waits.snooze(installation, "small", 2 * DAY, who="ann", why="the data is being repaired")
    waiting = look(1, tables.now())
    assert (waiting.state, waiting.waits_for, waiting.until) == (
        TriggerState.WAITING,
        Wait.SNOOZE,
        made.until,
    )
    assert look(2, NOON).alarm == _alarm(2).id, "a newer alarm takes its place"
    assert look(2, made.until - timedelta(seconds=1)).waits_for is Wait.SNOOZE
    late = made.until.replace(hour=12) + DAY
    assert look(2, late).state is TriggerState.STARTED


def test_ending_a_snooze_is_recorded_as_is_making_one(installation: Settings, look: Callable[..., Trigger]):
    assert waits.unsnooze(installation, "small") is None
    waits.snooze(installation, "small", DAY, who="ann", why="one")
    waits.snooze(installation, "small", 2 * DAY, who="bob", why="two")
    assert waits.snoozed(installation, "small").why == "two"  # type: ignore[union-attr]
    assert waits.snoozed(installation, "large") is None
    assert waits.unsnooze(installation, "small", who="eve", why="done") is not None
    assert waits.snoozed(installation, "small") is None
    assert look(1).state is TriggerState.STARTED
    found = audits.read(tables.connect(installation))
    assert [(item.action, item.who, item.why) for item in reversed(found)] == [
        ("snooze", "ann", "one"), ("snooze", "bob", "two"), ("unsnooze", "eve", "done"),
    ]  # fmt: skip


def test_a_snooze_says_why(installation: Settings):
    with pytest.raises(errors.SettingsError, match="needs a reason"):
        waits.snooze(installation, "small", DAY, why=" ")


def test_waiting_is_told_once_for_each_reason(installation: Settings, look: Callable[..., Trigger]):
    for minutes in range(3):
        look(1, NIGHT + timedelta(minutes=minutes))
    waits.snooze(installation, "small", 9000 * DAY, who="ann", why="holidays")
    for _ in range(3):
        look(1, NIGHT)
    table = tables.outbox
    with tables.connect(installation).begin() as connection:
        told = connection.execute(table.select().order_by(table.c.id)).all()
    assert [(row.type, row.data.get("waits_for")) for row in told] == [
        (outbox.Kind.ALARM_RAISED, None),
        (outbox.Kind.TRIGGER_OPENED, None),
        (outbox.Kind.TRIGGER_WAITING, "quiet_hours"),
        (outbox.Kind.TRIGGER_WAITING, "snooze"),
    ]
