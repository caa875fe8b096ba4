"""Events are fanned out once, leased to one sender, tried again at growing intervals, given up, replayed."""

from __future__ import annotations

import multiprocessing
from datetime import timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from pilotage.core import settings
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import outbox
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.webhooks import deliveries
from pilotage.pipelines.webhooks.deliveries import DeliveryState
from pilotage.pipelines.webhooks.endpoints import Endpoint
from pilotage.pipelines.webhooks.senders import Answer

OPS = Endpoint(name="ops", url="https://hooks.example.org/a", secret=("env:A",))
DEV = Endpoint(
    name="dev", url="https://hooks.example.org/b", secret=("env:A",), events=("pilotage.trigger.*",)
)
GOOD, BAD = Answer(204, 0.1, None), Answer(500, 0.1, "answered 500")

pytestmark = pytest.mark.databases


@pytest.fixture
def engine(installation: Settings) -> Engine:
    return tables.connect(installation)


def emit(engine: Engine, kind: Kind = Kind.ALARM_RAISED, count: int = 1) -> None:
    with engine.begin() as connection:
        for number in range(count):
            outbox.emit(connection, kind, "small", f"alarm/{number}", {"number": number})


def pass_time(engine: Engine, by: timedelta) -> None:
    """As if everything had happened that much earlier."""
    table = tables.deliveries
    with engine.begin() as connection:
        for row in connection.execute(table.select()).all():
            earlier = {"since": row.since - by, "next_at": row.next_at - by}
            if row.leased_until is not None:
                earlier["leased_until"] = row.leased_until - by
            connection.execute(update(table).where(table.c.id == row.id), earlier)


def test_each_event_is_for_those_who_want_it_once(engine: Engine):
    emit(engine)
    emit(engine, Kind.TRIGGER_OPENED)
    for _ in range(3):
        deliveries.relay(engine, [OPS, DEV])
    found = deliveries.find(engine)
    assert sorted((item.endpoint, item.type) for item in found) == [
        ("dev", Kind.TRIGGER_OPENED),
        ("ops", Kind.ALARM_RAISED),
        ("ops", Kind.TRIGGER_OPENED),
    ]


def test_what_is_rolled_back_was_never_told(engine: Engine):
    with engine.connect() as connection:
        outbox.emit(connection, Kind.ALARM_RAISED, "small", "alarm/1", {})
        connection.rollback()
    deliveries.relay(engine, [OPS])
    assert deliveries.find(engine) == []


def test_an_event_of_last_week_is_told_to_nobody(engine: Engine):
    emit(engine)
    with engine.begin() as connection:
        connection.execute(update(tables.outbox).values(at=tables.now() - timedelta(days=7)))
    deliveries.relay(engine, [OPS])
    assert deliveries.find(engine) == []


def test_deliveries_are_leased_in_order_and_to_one_sender(engine: Engine):
    emit(engine, count=2)
    deliveries.relay(engine, [OPS])
    first, second = deliveries.lease_next(engine, "ops"), deliveries.lease_next(engine, "ops")
    assert first is not None
    assert second is not None
    assert (first.event.data, second.event.data) == ({"number": 0}, {"number": 1})
    assert deliveries.lease_next(engine, "ops") is None
    pass_time(engine, timedelta(minutes=5))
    again = deliveries.lease_next(engine, "ops")
    assert again is not None
    assert again.event.event == first.event.event
    assert deliveries.settle(engine, first, BAD) is DeliveryState.PENDING, "its lease ran out: only logged"
    assert deliveries.settle(engine, again, GOOD) is DeliveryState.DELIVERED
    assert [item.status for item in deliveries.get(engine, first.id).log] == [500, 204]


def test_attempts_grow_apart_and_end_after_a_day_or_so(engine: Engine):
    emit(engine)
    deliveries.relay(engine, [OPS])
    waits, state = [], DeliveryState.PENDING
    while state is DeliveryState.PENDING:
        leased = deliveries.lease_next(engine, "ops")
        assert leased is not None
        state = deliveries.settle(engine, leased, BAD)
        found = deliveries.get(engine, leased.id)
        if found.next_at is not None:
            waits.append(found.next_at - tables.now())
            assert deliveries.lease_next(engine, "ops") is None
            pass_time(engine, waits[-1] + timedelta(seconds=1))
    assert state is DeliveryState.DEAD
    assert 10 <= len(waits) <= 20
    assert waits[0] < timedelta(seconds=7)
    assert timedelta(hours=16) < sum(waits, timedelta()) <= timedelta(days=1)
    assert waits[:6] == sorted(waits[:6])


def test_a_receiver_that_wants_to_be_left_alone_is(engine: Engine):
    emit(engine)
    deliveries.relay(engine, [OPS])
    leased = deliveries.lease_next(engine, "ops")
    assert leased is not None
    deliveries.settle(engine, leased, Answer(503, 0.1, "answered 503", retry_after_seconds=600))
    found = deliveries.get(engine, leased.id)
    assert found.next_at is not None
    assert found.next_at > tables.now() + timedelta(minutes=9)


def test_a_replay_has_the_same_id_and_a_day_of_its_own(engine: Engine):
    emit(engine)
    deliveries.relay(engine, [OPS])
    leased = deliveries.lease_next(engine, "ops")
    assert leased is not None
    deliveries.settle(engine, leased, BAD, last=True)
    pass_time(engine, timedelta(days=30))
    deliveries.replay(engine, [leased.id])
    again = deliveries.lease_next(engine, "ops")
    assert again is not None
    assert again.event.event == leased.event.event
    assert deliveries.settle(engine, again, BAD) is DeliveryState.PENDING


def test_an_endpoint_that_is_gone_is_told_nothing_until_its_url_changes(engine: Engine):
    emit(engine, count=2)
    deliveries.relay(engine, [OPS])
    deliveries.disable(engine, OPS, "it answered 410 Gone")
    assert {item.state for item in deliveries.find(engine)} == {DeliveryState.DEAD}
    emit(engine)
    deliveries.relay(engine, [OPS])
    assert len(deliveries.find(engine)) == 2
    emit(engine)
    deliveries.relay(engine, [OPS.model_copy(update={"url": "https://hooks.example.org/new"})])
    assert len(deliveries.find(engine)) == 3


def test_what_is_for_an_endpoint_that_nobody_names_any_more_is_given_up(engine: Engine):
    emit(engine)
    deliveries.relay(engine, [OPS])
    pass_time(engine, timedelta(days=2))
    deliveries.relay(engine, [DEV])
    assert [item.state for item in deliveries.find(engine)] == [DeliveryState.DEAD]


def _lease(home: str, sent: multiprocessing.Queue, stop: Event) -> None:
    engine = tables.connect(settings.load(home=Path(home)))
    while not stop.is_set():
        deliveries.relay(engine, [OPS, DEV])
        leased = deliveries.lease_next(engine, "ops")
        if leased is not None:
            sent.put(leased.event.event)
            deliveries.settle(engine, leased, GOOD)
    sent.put(None)


def test_senders_that_race_never_send_the_same_twice(engine: Engine, installation: Settings):
    context = multiprocessing.get_context("spawn")
    sent, stop = context.Queue(), context.Event()
    arguments = (str(installation.home), sent, stop)
    racers = [context.Process(target=_lease, args=arguments) for _ in range(3)]
    for racer in racers:
        racer.start()
    for _ in range(8):
        emit(engine, Kind.TRIGGER_OPENED, count=5)
    events = [sent.get(timeout=120) for _ in range(40)]
    stop.set()
    assert [sent.get(timeout=120) for _ in racers] == [None] * 3
    for racer in racers:
        racer.join(60)
    assert len(set(events)) == 40
    assert len(deliveries.find(engine, limit=1000)) == 80
