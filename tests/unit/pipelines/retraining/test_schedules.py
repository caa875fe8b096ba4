"""Schedules fire each moment once, whoever leads and whatever clocks do; downtime is made up for once."""

from __future__ import annotations

import random
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, func, select, update

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, catalogues
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import leases
from pilotage.pipelines.retraining import schedules
from pilotage.pipelines.retraining.schedules import ScheduleState, Source

pytestmark = pytest.mark.databases

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def engine(installation: Settings, spec: PilotSpec) -> Engine:
    engine = tables.connect(installation)
    with engine.begin() as connection:
        catalogues.put(connection, spec, Path("/pilot"))
    return engine


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """What time it is: the last of these."""
    found = [MONDAY]
    monkeypatch.setattr(tables, "now", lambda: found[-1])
    return found


def row(engine: Engine, schedule: str):
    table = tables.schedules
    with engine.connect() as connection:
        return connection.execute(select(table).where(table.c.id == schedule)).one()


def write(engine: Engine, spec: PilotSpec, cron: str | None) -> None:
    """As if pilot.yaml had been read anew."""
    content = spec.model_dump(mode="json", exclude_unset=True)
    retrain = {} if cron is None else {"retrain": {"schedule": cron}}
    with engine.begin() as connection:
        catalogues.put(connection, PilotSpec.model_validate({**content, **retrain}), Path("/pilot"))
    schedules.sync(engine)


def end_all(engine: Engine, state: State = State.SUCCEEDED) -> None:
    with engine.begin() as connection:
        mine = tables.runs.c.state == State.PENDING
        connection.execute(update(tables.runs).where(mine).values(state=state))


def due(engine: Engine, schedule: str) -> list[datetime]:
    table = tables.runs
    with engine.connect() as connection:
        return list(
            connection.scalars(
                select(table.c.due_at).where(table.c.schedule == schedule).order_by(table.c.due_at)
            )
        )


def test_what_is_due_is_asked_for_once(engine: Engine, clock: list[datetime]):
    made = schedules.add(engine, "small", "0 15 * * *", "Europe/Berlin", "ann")
    assert schedules.fire(engine, None) == []
    clock.append(MONDAY + timedelta(hours=1, seconds=1))
    (run,) = schedules.fire(engine, None)
    assert schedules.fire(engine, None) == []
    record = Records(engine).run(run)
    assert (record.schedule, record.due_at) == (made, MONDAY + timedelta(hours=1))
    assert (record.asked_by, record.why) == ("scheduler", "due at 2026-06-01 15:00 CEST")
    found = row(engine, made)
    assert found.next_at == MONDAY + timedelta(days=1, hours=1)
    assert (found.last_run, found.last_due_at, found.missed) == (run, record.due_at, 0)


def test_after_downtime_one_run_makes_up_for_all(engine: Engine, clock: list[datetime]):
    made = schedules.add(engine, "small", "0 15 * * *", "Europe/Berlin", "ann")
    clock.append(MONDAY + timedelta(days=10))
    (run,) = schedules.fire(engine, None)
    record = Records(engine).run(run)
    assert record.due_at == MONDAY + timedelta(days=9, hours=1)
    assert record.why.endswith("; makes up for 10 moments that passed")
    assert row(engine, made).missed == 9
    (told,) = [line for line in audits.read(engine) if line.action == "catch-up"]
    assert told.details["missed"]["moments"] == 10
    assert schedules.fire(engine, None) == []


def test_years_of_minutes_are_made_up_for_in_a_moment(engine: Engine, clock: list[datetime]):
    made = schedules.add(engine, "small", "* * * * *", "UTC", "ann")
    clock.append(MONDAY + timedelta(days=2000, seconds=30))
    schedules.fire(engine, None)
    assert due(engine, made) == [MONDAY + timedelta(days=2000)]
    assert row(engine, made).next_at == MONDAY + timedelta(days=2000, minutes=1)


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING])
def test_a_run_that_has_not_ended_holds_up_the_next(engine: Engine, clock: list[datetime], state: State):
    made = schedules.add(engine, "small", "* * * * *", "UTC", "ann")
    for minute in range(1, 4):
        clock.append(MONDAY + timedelta(minutes=minute, seconds=1))
        schedules.fire(engine, None)
        end_all(engine, state)
    assert due(engine, made) == [MONDAY + timedelta(minutes=1)]
    assert row(engine, made).missed == 2
    with engine.begin() as connection:
        connection.execute(update(tables.runs).values(state=State.FAILED))
    clock.append(MONDAY + timedelta(minutes=4, seconds=1))
    schedules.fire(engine, None)
    assert due(engine, made)[1:] == [MONDAY + timedelta(minutes=4)]


def test_a_pause_passes_without_runs_and_is_not_made_up_for(engine: Engine, clock: list[datetime]):
    made = schedules.add(engine, "small", "0 15 * * *", "UTC", "ann")
    for _ in range(2):
        schedules.pause(engine, made, "bob", "holidays")
    assert (row(engine, made).state, row(engine, made).next_at) == (ScheduleState.PAUSED, None)
    clock.append(MONDAY + timedelta(days=5))
    assert schedules.fire(engine, None) == []
    for _ in range(2):
        schedules.resume(engine, made, "bob")
    assert schedules.fire(engine, None) == []
    assert row(engine, made).next_at == MONDAY + timedelta(days=5, hours=3)
    assert [line.action for line in reversed(audits.read(engine))] == ["schedule", "pause", "resume"]


def test_a_run_now_leaves_the_moments_as_they_are(engine: Engine, clock: list[datetime]):
    made = schedules.add(engine, "small", "0 15 * * *", "UTC", "ann")
    before = row(engine, made).next_at
    run = schedules.run_now(engine, made, "bob", "cannot wait")
    assert schedules.run_now(engine, made, "bob") == run
    record = Records(engine).run(run)
    assert (record.schedule, record.due_at, record.asked_by, record.why) == (made, None, "bob", "cannot wait")
    assert (row(engine, made).next_at, row(engine, made).last_run) == (before, run)
    end_all(engine)
    assert schedules.run_now(engine, made, "bob") != run


def test_pilot_yaml_is_followed(engine: Engine, clock: list[datetime], spec: PilotSpec):
    write(engine, spec, "0 3 * * 1")
    first = row(engine, "small")
    assert (first.source, first.time_zone, first.cron) == (Source.PILOT, "UTC", "0 3 * * 1")
    assert first.next_at == datetime(2026, 6, 8, 3, tzinfo=UTC)
    schedules.sync(engine)
    assert row(engine, "small") == first
    write(engine, spec, "0 4 * * 1")
    assert row(engine, "small").next_at == datetime(2026, 6, 8, 4, tzinfo=UTC)
    schedules.pause(engine, "small", "bob")
    write(engine, spec, "0 5 * * 1")
    assert (row(engine, "small").cron, row(engine, "small").next_at) == ("0 5 * * 1", None)
    with pytest.raises(errors.Conflict, match=r"pilot\.yaml"):
        schedules.remove(engine, "small", "bob")
    write(engine, spec, None)
    with pytest.raises(errors.NotFound):
        schedules.pause(engine, "small", "bob")


def test_a_clock_that_was_put_back_brings_no_moment_twice(
    engine: Engine, clock: list[datetime], spec: PilotSpec
):
    made = schedules.add(engine, "small", "0 15 * * *", "UTC", "ann")
    write(engine, spec, "0 15 * * *")
    clock.append(MONDAY + timedelta(hours=3, seconds=1))
    assert len(schedules.fire(engine, None)) == 2
    end_all(engine)
    clock.append(MONDAY + timedelta(hours=2, minutes=59))
    schedules.pause(engine, made, "bob")
    schedules.resume(engine, made, "bob")
    write(engine, spec, "0 15 * * 1-5")
    for schedule in (made, "small"):
        assert row(engine, schedule).next_at == MONDAY + timedelta(days=1, hours=3)


def test_one_that_cannot_be_fired_holds_up_no_other(engine: Engine, clock: list[datetime], caplog):
    broken = [schedules.add(engine, "small", f"{minute} 15 * * *", "UTC", "ann") for minute in range(3)]
    well = schedules.add(engine, "small", "5 15 * * *", "UTC", "ann")
    table = tables.schedules
    with engine.begin() as connection:
        for schedule, values in zip(
            broken, ({"cron": "nonsense"}, {"time_zone": "Nowhere/Land"}, {"pilot": "gone"}), strict=True
        ):
            connection.execute(update(table).where(table.c.id == schedule).values(values))
    clock.append(MONDAY + timedelta(hours=4))
    assert len(schedules.fire(engine, None)) == 1
    assert due(engine, well) == [MONDAY + timedelta(hours=3, minutes=5)]
    assert all(schedule in caplog.text for schedule in broken)


def test_pilot_yaml_is_followed_while_a_person_changes_another_schedule(
    engine: Engine, clock: list[datetime], spec: PilotSpec
):
    if engine.dialect.name == "sqlite":
        pytest.skip("transactions that write exclude each other")
    second = spec.model_copy(update={"pilot": "tiny"})
    for cron in ("0 3 * * 1", "0 4 * * 1"):
        with engine.begin() as connection:
            for one in (spec, second):
                content = {**one.model_dump(mode="json", exclude_unset=True), "retrain": {"schedule": cron}}
                catalogues.put(connection, PilotSpec.model_validate(content), Path("/pilot"))
        if cron == "0 3 * * 1":
            schedules.sync(engine)
    with engine.begin() as connection:
        schedules._locked(connection, "tiny")  # a person is about to pause it
        leader = threading.Thread(target=schedules.sync, args=(engine,))
        leader.start()
        leader.join(0.5)
        audits.write(connection, "pause", "tiny", "bob", "")
    leader.join(10)
    assert {row(engine, name).cron for name in ("small", "tiny")} == {"0 4 * * 1"}


def test_what_people_made_is_theirs_to_remove(engine: Engine, spec: PilotSpec):
    made = schedules.add(engine, "small", "0 15 * * *", "UTC", "ann")
    schedules.run_now(engine, made, "bob")
    schedules.sync(engine)
    schedules.remove(engine, made, "bob", "done with it")
    assert len(Records(engine).runs()) == 1
    with pytest.raises(errors.NotFound, match=made):
        schedules.remove(engine, made, "bob")


@pytest.mark.parametrize(
    ("pilot", "cron", "zone", "said"),
    [
        ("other", "0 3 * * *", "UTC", "no pilot `other`"),
        ("small", "0 3 * *", "UTC", "not a cron expression"),
        ("small", "61 3 * * *", "UTC", "not a cron expression"),
        ("small", "0 0 30 2 *", "UTC", "not a cron expression"),
        ("small", "@reboot", "UTC", "not a cron expression"),
        ("small", "0 3 * * *", "Europe/Berln", "not a time zone"),
        ("small", "0 3 * * *", "../../etc/passwd", "not a time zone"),
        ("small", "0 3 * * *", "", "not a time zone"),
    ],
)
def test_what_cannot_be_is_refused(engine: Engine, pilot: str, cron: str, zone: str, said: str):
    with pytest.raises(errors.InputError, match=said):
        schedules.add(engine, pilot, cron, zone, "ann")
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.schedules)) == 0


def test_words_are_english():
    assert schedules.words("0 3 * * 1") == "At 03:00 on Monday"


def test_moments_follow_the_zones_clocks():
    spring = schedules.moments("30 2 * * *", BERLIN, datetime(2026, 3, 28, 12, tzinfo=UTC), 2)
    assert [moment.isoformat() for moment in spring] == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    autumn = schedules.moments("30 2 * * *", BERLIN, datetime(2026, 10, 24, 12, tzinfo=UTC), 2)
    assert [moment.isoformat() for moment in autumn] == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


def expected(zone: ZoneInfo, hour: int, minute: int, first: date, days: int) -> list[datetime]:
    """A daily moment of each day, reckoned from the zone's offsets alone."""
    found = []
    for number in range(days):
        day = first + timedelta(days=number)
        wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
        moment = wall.astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None):  # it does not exist
            moment = moment.astimezone(zone).replace(minute=0).astimezone(UTC)
        found.append(moment)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("first", [date(2026, 3, 1), date(2026, 10, 10)], ids=["spring", "autumn"])
def test_weeks_of_leaders_that_come_and_go_lose_no_moment_and_double_none(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, first: date
):
    """Weeks in which both time zones put their clocks forward, or back."""
    draw, start = random.Random(1), datetime(first.year, first.month, first.day, tzinfo=UTC)
    simulated = [start]
    monkeypatch.setattr(tables, "now", lambda: simulated[-1])
    daily = schedules.add(engine, "small", "30 2 * * *", "Europe/Berlin", "ann")
    other = schedules.add(engine, "small", "15 1 * * *", "America/New_York", "ann")
    holders: list[leases.Lease] = []
    killed = 0
    while simulated[-1] < start + timedelta(days=40):
        simulated.append(simulated[-1] + timedelta(minutes=draw.randint(600, 1380)))
        if draw.random() < 0.3:
            lease = leases.acquire(engine, leases.LEADER, draw.choice("abc"), draw.choice([1e9, 60.0, 0.0]))
            holders += [lease] if lease is not None else []
        if draw.random() < 0.2:  # dies after the run was asked for, before the schedule moved on

            def die(*_: object, **__: object) -> None:
                raise KeyboardInterrupt

            with monkeypatch.context() as patch:
                patch.setattr(schedules, "_change", die)
                try:
                    schedules.fire(engine, None)
                except KeyboardInterrupt:
                    killed += 1
        for old in holders[-2:] if draw.random() < 0.3 else ():  # leaders of before try as well
            try:
                schedules.fire(engine, old)
            except errors.LeaseLost:
                continue
        schedules.fire(engine, None)
        end_all(engine)
        if draw.random() < 0.1:
            with engine.begin() as connection:
                connection.execute(update(tables.leases).values(expires_at=start))
    berlin = expected(BERLIN, 2, 30, first, 42)
    york = expected(ZoneInfo("America/New_York"), 1, 15, first, 42)
    assert due(engine, daily) == [moment for moment in berlin if start < moment <= simulated[-1]]
    assert due(engine, other) == [moment for moment in york if start < moment <= simulated[-1]]
    assert row(engine, daily).missed == row(engine, other).missed == 0
    assert killed > 2
