"""Which rows of a table somebody may see in a list; the one place where that is a condition of a query."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, true

from pilotage.console.access.actors import Actor, Permission


def visible(actor: Actor, column: ColumnElement[Any], pilot: str | None = None) -> ColumnElement[bool]:
    """The condition for rows about `pilot`, or about any pilot that the actor may look at.

    Args:
        actor: who asks.
        column: holds the pilot's name; rows without one are for those who may look at everything.
        pilot: the only one that is wanted.

    Raises:
        NotFound: `pilot` is not for this actor.
    """
    if pilot is not None:
        actor.require(Permission.READ, pilot)
        return column == pilot
    return true() if actor.readable is None else column.in_(actor.readable)
