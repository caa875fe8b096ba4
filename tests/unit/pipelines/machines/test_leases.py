"""One leader at a time: terms grow, time runs out, and who was replaced cannot act."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update

from pilotage.core.errors import LeaseLost
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.machines import leases
from pilotage.pipelines.machines.leases import Lease

pytestmark = pytest.mark.databases


@pytest.fixture
def engine(installation: Settings) -> Engine:
    return tables.connect(installation)


def require(engine: Engine, lease: Lease | None) -> None:
    with engine.begin() as connection:
        leases.require(connection, lease)


def test_the_first_gets_it_and_keeps_it_by_asking_again(engine: Engine):
    first = leases.acquire(engine, "l", "one")
    assert first == Lease("l", "one", 1)
    assert leases.acquire(engine, "l", "two") is None
    assert leases.acquire(engine, "l", "one") == first
    require(engine, first)


def test_asking_again_prolongs_it(engine: Engine):
    leases.acquire(engine, "l", "one", 10.0)
    leases.acquire(engine, "l", "one", 100.0)
    with engine.connect() as connection:
        row = connection.execute(select(tables.leases)).one()
    assert (row.expires_at - row.acquired_at).total_seconds() > 90


def test_one_that_fell_silent_is_replaced_and_cannot_act_any_more(engine: Engine):
    old = leases.acquire(engine, "l", "one", 0.05)
    time.sleep(0.06)
    with pytest.raises(LeaseLost, match="`one` does not hold the lease `l` of term 1"):
        require(engine, old)
    new = leases.acquire(engine, "l", "two")
    assert new == Lease("l", "two", 2)
    with pytest.raises(LeaseLost):
        require(engine, old)
    require(engine, new)


def test_a_clock_that_was_put_back_holds_up_no_successor_and_no_two_lead(engine: Engine):
    old = leases.acquire(engine, "l", "one")
    with engine.begin() as connection:
        ahead = tables.now() + timedelta(hours=2)
        connection.execute(update(tables.leases).values(acquired_at=ahead, expires_at=ahead))
    new = leases.acquire(engine, "l", "two")
    assert new == Lease("l", "two", 2)
    with pytest.raises(LeaseLost):
        require(engine, old)
    require(engine, new)


def test_one_that_comes_back_too_late_gets_another_term(engine: Engine):
    leases.acquire(engine, "l", "one", 0.0)
    assert leases.acquire(engine, "l", "one") == Lease("l", "one", 2)


def test_what_is_given_back_is_free_at_once_and_only_by_its_holder(engine: Engine):
    first = leases.acquire(engine, "l", "one")
    assert first is not None
    leases.release(engine, Lease("l", "two", 1))
    leases.release(engine, Lease("l", "one", 7))
    assert leases.acquire(engine, "l", "two") is None
    leases.release(engine, first)
    assert leases.acquire(engine, "l", "two") == Lease("l", "two", 2)


def test_leases_of_other_names_do_not_matter(engine: Engine):
    assert leases.acquire(engine, "a", "one") is not None
    assert leases.acquire(engine, "b", "two") is not None


def test_without_a_lease_there_is_nothing_to_make_sure_of(engine: Engine):
    require(engine, None)
    with pytest.raises(LeaseLost):
        require(engine, Lease("l", "one", 1))


def test_a_successor_waits_for_a_leaders_transaction(engine: Engine):
    old = leases.acquire(engine, "l", "one", 0.3)
    taken: list[float] = []

    def take() -> None:
        while leases.acquire(engine, "l", "two") is None:
            time.sleep(0.01)
        taken.append(time.monotonic())

    with engine.begin() as connection:
        leases.require(connection, old)
        thread = threading.Thread(target=take)
        thread.start()
        time.sleep(0.6)
        until = time.monotonic()
    thread.join(30)
    assert taken
    assert taken[0] >= until
