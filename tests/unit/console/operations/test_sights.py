"""Which rows a query gives to whom."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, MetaData, String, Table, create_engine, insert, select
from tests.unit.console.desks import actor

from pilotage.console.access.actors import Actor, Role
from pilotage.console.operations import sights
from pilotage.core import errors

ROWS = Table("rows", MetaData(), Column("pilot", String))


def seen(who: Actor, pilot: str | None = None) -> list[str | None]:
    """Pilots of the rows that `who` sees."""
    query = select(ROWS.c.pilot).where(sights.visible(who, ROWS.c.pilot, pilot))
    with create_engine("sqlite://").begin() as connection:
        ROWS.create(connection)
        connection.execute(insert(ROWS), [{"pilot": name} for name in ("a", "b", None)])
        return list(connection.scalars(query))


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        pytest.param(actor(Role.VIEWER), ["a", "b", None], id="everything"),
        pytest.param(actor(Role.ADMIN, "b"), ["b"], id="one-pilot"),
        pytest.param(Actor("nobody", frozenset()), [], id="nothing"),
    ],
)
def test_lists_hold_what_somebody_may_look_at(who: Actor, expected: list[str | None]):
    assert seen(who) == expected


def test_a_pilot_that_is_asked_for_is_the_only_one_or_not_there():
    assert seen(actor(Role.VIEWER), "a") == ["a"]
    assert seen(actor(Role.VIEWER, "a"), "a") == ["a"]
    with pytest.raises(errors.NotFound, match="`b`"):
        seen(actor(Role.VIEWER, "a"), "b")
